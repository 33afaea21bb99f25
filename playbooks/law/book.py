"""The law a running service uses: the last good packs, read again when files of the operator's folder change."""

from __future__ import annotations

import threading
from pathlib import Path

import structlog

from incidents.errors import InvalidInput
from playbooks.law.law import Law, load_law

log = structlog.get_logger(__name__)

_Signature = tuple[tuple[str, int, int], ...]


class LawBook:
    """Holds the law in use. The first reading must succeed; a later one that fails leaves the last good law in use.

    `refresh` may be called from any thread and as often as liked: it reads files only when one changed.
    """

    def __init__(self, *folders: Path) -> None:
        """Read the law, unless there is only what comes along: that is sound, so it is read when it is first asked for.
        Raises `InvalidInput` naming file and line when a pack is faulty."""
        self._folders = folders
        self._lock = threading.Lock()
        self._seen = self._signature()
        self._law: Law | None = load_law(*folders) if folders else None

    @property
    def law(self) -> Law:
        """The law in use. Take it once for one piece of work, so that all of it is judged alike."""
        if self._law is None:
            self._law = load_law()
        return self._law

    def refresh(self) -> bool:
        """Read the folders again if a file in them changed. True when a new law came into use.

        A faulty pack is logged with its places, and once for each change, not at every call.
        """
        with self._lock:
            now = self._signature()
            if now == self._seen:
                return False
            self._seen = now
            try:
                law = load_law(*self._folders)
            except InvalidInput as fault:
                places = [f"{one.field}: {one.reason}" for one in fault.errors] or [fault.detail]
                log.error("law.not_reloaded", faults=places[:20], in_use=self.law.version())
                return False
            self._law = law
            log.info("law.reloaded", packs=len(law.packs), rules=sum(1 for _ in law.rules()), in_use=law.version())
            return True

    def _signature(self) -> _Signature:
        found = []
        for folder in self._folders:
            for path in sorted(folder.rglob("*.yaml")) if folder.is_dir() else ():
                try:
                    state = path.stat()
                except OSError:  # gone between listing and looking: it counts as changed
                    found.append((str(path), 0, 0))
                    continue
                found.append((str(path), state.st_mtime_ns, state.st_size))
        return tuple(found)
