"""Rows for any schema: read from the database itself, so that a new step needs no new test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import sqlalchemy as sa
from sqlalchemy import Column, Engine, MetaData, Table, select, text

from incidents.record.database import reading, writing
from tocsin.migrations import run

START = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
OURS = {"alembic_version", "schema_support"}
"""Tables about the schema itself."""
WORDS: dict[str, tuple[str, ...]] = {
    "channel": ("sms", "email"),
    "channels": ("sms,email", "email"),
    "channel_order": ("sms,email", "email"),
    "state": ("planned", "sent", "delivered", "failed"),
    "phase": ("ready", "wire", "done"),
    "language": ("en", "zh-Hans", "vi"),
    "outcome": ("open", "reached", "failed"),
    "dialect": ("wazuh", "ocsf"),
    "country": ("CN", "VN", "DE"),
    "time_zone": ("Asia/Shanghai", "Europe/Berlin"),
    "name": ("灯笼银行 {}", "Phòng khám Bến Cảng {}", "O'Neil & Sons {}"),
    "title": ("Odd traffic from the billing database {}", "客户数据外泄 {}"),
}
"""What such columns really hold; `{}` is the row's number."""

Rows = dict[str, list[dict[str, Any]]]


class Tables:
    """The tables at each step, looked up once: a step and back gives the same ones (test_migrations holds that)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str | None, dict[str, Table]] = {}

    def now(self) -> dict[str, Table]:
        """Those there are now, partitions and those about the schema left out."""
        at = run.current(self._engine)
        if at not in self._known:
            self._known[at] = self._look()
        return self._known[at]

    def _look(self) -> dict[str, Table]:
        partitions: set[str] = set()
        if self._engine.dialect.name == "postgresql":
            with reading(self._engine) as connection:
                partitions = set(
                    connection.execute(text("SELECT relname FROM pg_class WHERE relispartition")).scalars()
                )
        found = MetaData()
        found.reflect(self._engine, only=lambda name, _: name not in OURS | partitions)
        return {table.name: table for table in found.sorted_tables}

    def seed(self, numbers: range) -> None:
        """A row for each number in every table; optional columns are filled in every second row."""
        with writing(self._engine) as connection:
            for table in self.now().values():
                connection.execute(table.insert(), [{c.name: value_of(c, n) for c in table.columns} for n in numbers])

    def rows(self) -> Rows:
        """Everything in every table."""
        with reading(self._engine) as connection:
            return {
                name: sorted((dict(row) for row in connection.execute(select(table)).mappings()), key=repr)
                for name, table in self.now().items()
            }


def value_of(column: Column[Any], number: int) -> Any:
    """What a column holds in the row of that number; the same names and numbers give the same ids."""
    if column.nullable and number % 2:
        return None
    for kind, make in MAKERS:
        if isinstance(column.type, kind) and (kind is not sa.CHAR or column.type.length == 32):  # type: ignore[attr-defined]
            return make(column, number)
    raise AssertionError(f"no rows for {column.table.name}.{column.name}: {column.type!r}")


def _id(column: Column[Any], number: int) -> UUID:
    return uuid5(NAMESPACE_URL, f"{column.name}/{number}")


def _words(column: Column[Any], number: int) -> str:
    known = WORDS.get(column.name, (f"{column.name}-{{}}",))
    word = known[number % len(known)]
    if column.primary_key and "{}" not in word:
        word += "{}"
    return word.format(number)[: column.type.length]  # type: ignore[attr-defined]


def _instant(column: Column[Any], number: int) -> datetime:
    instant = START + timedelta(minutes=number)
    return instant if column.type.timezone else instant.replace(tzinfo=None)  # type: ignore[attr-defined]


MAKERS: tuple[tuple[type[Any], Callable[[Column[Any], int], Any]], ...] = (
    (sa.Uuid, _id),
    (sa.CHAR, lambda column, number: _id(column, number).hex),  # how SQLite keeps one
    (sa.JSON, lambda _, number: [{"n": number, "text": "客户"}] if number % 4 else {"n": number}),
    (sa.String, _words),
    (sa.Boolean, lambda _, number: number % 3 == 0),
    (sa.Integer, lambda _, number: number),
    (sa.DateTime, _instant),
    (sa.LargeBinary, lambda column, number: _id(column, number).bytes * 3),
    (sa.Float, lambda _, number: number / 4),
    (sa.Numeric, lambda _, number: Decimal(number) / 4),
)


def shared(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    """The columns that both have, of the tables that both have."""
    left: Rows = {}
    right: Rows = {}
    for name in set(before) & set(after):
        columns = set(before[name][0]) & set(after[name][0]) if before[name] and after[name] else set()
        left[name], right[name] = _only(before[name], columns), _only(after[name], columns)
    return left, right


def _only(rows: list[dict[str, Any]], columns: set[str]) -> list[dict[str, Any]]:
    return sorted(({name: row[name] for name in sorted(columns)} for row in rows), key=repr)
