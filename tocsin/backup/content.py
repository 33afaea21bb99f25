"""What a backup holds, and how a row becomes a line.

Left out is what is made again by itself: the read models (from the record) and leases (they belong to processes).
Rows keep their Python types, so that a backup of SQLite can be restored into PostgreSQL and the other way round.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt
from sqlalchemy import Table

from tocsin.migrations.all_tables import all_tables, tables_of

EVENTS = "events"
POSITIONS = "positions"
"""The two sections that are the record's, beside one for each table."""

NOT_KEPT = frozenset({"leases", "backups", "schema_support"})


class Model(BaseModel):
    """A line that describes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Beginning(Model):
    """The first line."""

    made_at: AwareDatetime
    tocsin: str
    schema_step: str | None
    head: NonNegativeInt
    """Position of the newest event."""


class Section(Model):
    """The line before a section's rows."""

    section: str
    columns: tuple[str, ...]


class Sum(Model):
    """Rows of a section, counted and summed. The digest does not depend on their order (databases sort differently)."""

    rows: NonNegativeInt
    digest: str


class Ending(Model):
    """The last line."""

    sums: dict[str, Sum]


@dataclass
class RunningSum:
    """Adds up rows: the sum modulo 2^256 of their SHA-256 digests. Who wants to forge it must open the seal first."""

    rows: int = 0
    total: int = field(default=0, repr=False)

    def add(self, line: str) -> None:
        """Count a row's line."""
        self.rows += 1
        self.total = (self.total + int.from_bytes(hashlib.sha256(line.encode()).digest(), "big")) % (1 << 256)

    def result(self) -> Sum:
        """What was added up."""
        return Sum(rows=self.rows, digest=f"{self.total:064x}")


def kept_tables() -> list[Table]:
    """The tables whose rows are kept, those first that others refer to."""
    made_again = tables_of("projections") | NOT_KEPT
    return [table for table in all_tables().sorted_tables if table.name not in made_again]


def line_of(values: Iterable[Any]) -> str:
    """A row as a line. What JSON has no type for is tagged with one."""
    return json.dumps([_tagged(value) for value in values], ensure_ascii=False, separators=(",", ":"))


def values_of(line: str) -> list[Any]:
    """The row of a line. ValueError, KeyError or TypeError when it is none."""
    return [_untagged(value) for value in json.loads(line)]


def in_groups(rows: Iterable[Any], size: int = 1_000) -> Iterator[Sequence[Any]]:
    """Rows, so many at a time."""
    group: list[Any] = []
    for row in rows:
        group.append(row)
        if len(group) >= size:
            yield group
            group = []
    if group:
        yield group


_TAGS: tuple[tuple[type, str, Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    (UUID, "u", lambda value: value.hex, UUID),
    (datetime, "t", datetime.isoformat, datetime.fromisoformat),  # before date, of which it is one
    (date, "d", date.isoformat, date.fromisoformat),
    (bytes, "b", lambda value: base64.b64encode(value).decode(), base64.b64decode),
    (memoryview, "b", lambda value: base64.b64encode(value).decode(), base64.b64decode),
    (Decimal, "n", str, Decimal),
    (dict, "j", lambda value: value, lambda value: value),
    (list, "j", lambda value: value, lambda value: value),
)
_FROM_TAG = {tag: read for _, tag, _, read in _TAGS}


def _tagged(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    for kind, tag, write, _ in _TAGS:
        if isinstance(value, kind):
            return {tag: write(value)}
    raise TypeError(f"a backup cannot hold a {type(value).__name__}")


def _untagged(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    return _FROM_TAG[tag](content)
