"""Reading a backup: nothing of it is believed before its last line has come and all sums agree."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from eventsourcing.persistence import StoredEvent
from pydantic import ValidationError

from incidents.errors import InvalidInput
from incidents.record.mapper import EventMapper, Registry
from notifier.vault import MasterKeys
from tocsin.backup.content import EVENTS, Beginning, Ending, Model, RunningSum, Section, Sum, values_of
from tocsin.backup.sealed_file import BackupDamaged, read_lines

M = TypeVar("M", bound=Model)

Rows = Iterator[list[Any]]
Take = Callable[[Section, Rows], None]
"""Given each section in turn; must take all its rows."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A backup whose every part opened and whose sums agree."""

    made_at: datetime
    tocsin: str
    schema_step: str | None
    head: int
    rows: dict[str, int]


def inspect_backup(path: Path, keys: MasterKeys, registry: Registry) -> Inspection:
    """Read a backup to its end: open every part, check every sum, and decode every event.

    BackupDamaged says what is wrong; InvalidInput when there is no such file.
    """
    mapper = EventMapper(registry)

    def take(section: Section, rows: Rows) -> None:
        for row in rows:
            if section.section == EVENTS:
                _, stream, version, topic, state = row
                try:
                    mapper.to_domain_event(StoredEvent(stream, version, topic, state))
                except (KeyError, ValueError) as error:
                    raise BackupDamaged(
                        f"The event at position {row[0]} ({topic}) cannot be read by this program: {error}."
                    ) from error

    beginning, ending = read_backup(path, keys, take)
    return Inspection(
        beginning.made_at,
        beginning.tocsin,
        beginning.schema_step,
        beginning.head,
        {section: one.rows for section, one in ending.sums.items()},
    )


def read_beginning(path: Path, keys: MasterKeys) -> Beginning:
    """The first line alone."""
    with _opened(path) as file:
        return _parse(Beginning, next(read_lines(file, keys), ""))


def read_backup(path: Path, keys: MasterKeys, take: Take) -> tuple[Beginning, Ending]:
    """Hand each section to `take`, and check its rows against the sums at the end."""
    with _opened(path) as file:
        lines = read_lines(file, keys)
        beginning = _parse(Beginning, next(lines, ""))
        sums: dict[str, Sum] = {}
        line = next(lines, "")
        while line.startswith('{"section"'):
            section, summed, after = _parse(Section, line), RunningSum(), _Rest(lines)
            take(section, _rows(after, summed))
            if after.line is None:
                raise BackupDamaged(f"The section {section.section} was not read to its end.")
            sums[section.section] = summed.result()
            line = after.line
        ending = _parse(Ending, line)
        if next(lines, None) is not None:
            raise BackupDamaged("Something follows the backup's last line.")
    if sums != ending.sums:
        wrong = sorted(name for name in sums.keys() | ending.sums.keys() if sums.get(name) != ending.sums.get(name))
        raise BackupDamaged(f"The rows are not those that were written: {', '.join(wrong)}.")
    return beginning, ending


class _Rest:
    """The lines of one section; `line` is the first that is not a row."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.line: str | None = None

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            if not line.startswith("["):
                self.line = line
                return
            yield line
        self.line = ""


def _rows(lines: Iterable[str], summed: RunningSum) -> Rows:
    for line in lines:
        summed.add(line)
        try:
            yield values_of(line)
        except (ValueError, TypeError, KeyError) as error:
            raise BackupDamaged(f"A row cannot be read: {error}.") from error


def _parse(kind: type[M], line: str) -> M:
    try:
        return kind.model_validate(json.loads(line))
    except (json.JSONDecodeError, ValidationError) as error:
        raise BackupDamaged(f"A line that should be its {kind.__name__.lower()} is not.") from error


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.", field="file") from error
