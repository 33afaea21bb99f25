"""Keeps this process's share of the leases, and gives way to processes that come.

Every process of a role is on the books as a member (a lease of its own name). All see the same members in the same
order and the same work, so each can reckon its share by itself: work is spread evenly, moves over within a lease's time
when a process dies, and at once when one ends well.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from incidents.record.leases import Lease, Leases, Row

log = structlog.get_logger(__name__)

ROUNDS_PER_LEASE = 4
"""How often a lease is renewed in its time: a few renewals may fail before it is lost."""
GONE = timedelta(hours=1)
"""How long the names of ended processes stay on the books."""

Names = Callable[[], Collection[str]]
"""What there is to do in a role; may change while the process runs."""


class Keeper:
    """The leases of one process, renewed in a thread of its own until `close`."""

    def __init__(self, leases: Leases, work: Mapping[str, Names], *, duration: timedelta) -> None:
        """`work` names what there is to do, by role."""
        self._leases = leases
        self._work = dict(work)
        self._pause = duration.total_seconds() / ROUNDS_PER_LEASE
        self._held: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.on_change: Callable[[], None] = lambda: None
        """Called when there is more to do than before."""
        self.failures = 0
        """Rounds that failed in a row."""

    def holds(self, name: str) -> bool:
        """Whether this process may do it now. Asks nobody: it trusts what was told, for as long as that can be true."""
        lease = self._held.get(name)
        return lease is not None and self._leases.uptime() < lease.trusted_until

    def held(self) -> list[str]:
        """What this process may do now."""
        return sorted(name for name in list(self._held) if self.holds(name))

    def start(self) -> None:
        """Take the first share, as far as that can be had, and go on in the background."""
        self._try()
        run = partial(contextvars.copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name="leases", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give everything back. What cannot be given back runs out by itself."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(10)
        with self._lock:
            mine = [*self._held, *map(self._member, self._work)]
            self._held = {}
        try:
            self._leases.release(mine)
        except SQLAlchemyError as error:
            log.warning("leases.not-given-back", reason=type(error).__name__)

    def round(self) -> None:
        """Renew, take and give back, once."""
        with self._lock:
            before, trusted = set(self._held), set(self.held())
            members = [self._member(role) for role in self._work]
            kept = self._leases.renew([*members, *self._held])
            if lost := [member for member in members if member not in kept]:
                kept |= self._leases.acquire(lost)
                for role in self._work:
                    self._leases.forget(f"{role}/member/", GONE)
            self._held = {name: lease for name, lease in kept.items() if name not in members}
            for role, names in self._work.items():
                self._share(role, names())
            changed = set(self._held) ^ before
        if changed:
            log.info("leases.changed", held=self.held())
        if set(self._held) - trusted:  # what it held and could not trust any more may lie about too
            self.on_change()

    def _share(self, role: str, names: Collection[str]) -> None:
        rows = self._leases.rows(f"{role}/")
        members = sorted(row.holder for name, row in rows.items() if name.startswith(f"{role}/member/") and row.live)
        wanted = share(sorted(names), members, self._leases.holder, rows)
        mine = {name for name in self._held if name.startswith(f"{role}/")}
        if given := mine - wanted:
            self._held = {name: lease for name, lease in self._held.items() if name not in given}
            self._leases.release(given)
        free = {name for name in wanted - mine if name not in rows or not rows[name].live}
        self._held = self._held | self._leases.acquire(free)

    def _member(self, role: str) -> str:
        return f"{role}/member/{self._leases.holder}"

    def _run(self) -> None:
        while not self._ended.wait(self._pause):
            self._try()

    def _try(self) -> None:
        try:
            self.round()
            self.failures = 0
        except Exception as error:  # noqa: BLE001 - what is held runs out by itself, and the next round tries again
            self.failures += 1
            log.warning("leases.failed", reason=f"{type(error).__name__}: {str(error).splitlines()[0]}")


def share(names: Sequence[str], members: Sequence[str], me: str, rows: Mapping[str, Row]) -> set[str]:
    """What a member should hold: as many as its turn among the members gives it, first what it has already, then what
    nobody has. Both lists sorted. A member that is not on the books should hold nothing."""
    if me not in members:
        return set()
    place, each = members.index(me), len(names) // len(members)
    quota = each + (place < len(names) % len(members))
    has = [name for name in names if name in rows and rows[name].live and rows[name].holder == me]
    free = [name for name in names if name not in rows or not rows[name].live]
    start = place * each  # members that look at once look at different ones first
    free = free[start:] + free[:start] if start < len(free) else free
    return set((has + free)[:quota])
