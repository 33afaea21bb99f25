"""How values come into tables: many rows at once, and instants as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, func, insert, select
from sqlalchemy.dialects import sqlite

from incidents.record.bulk import BulkInsert
from incidents.record.database import UtcDateTime, open_engine, writing

INSTANTS = [
    datetime(2026, 11, 22, 9, 30, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=8))),
    datetime(1, 1, 1, tzinfo=UTC),
]


def test_an_instant_is_written_as_sqlalchemy_writes_it() -> None:
    dialect = sqlite.dialect()  # type: ignore[no-untyped-call]
    ours, theirs = (kind.dialect_impl(dialect).bind_processor(dialect) for kind in (UtcDateTime(), DateTime()))
    assert ours is not None
    assert theirs is not None
    for at in INSTANTS:
        assert ours(at) == theirs(at.astimezone(UTC))
    assert ours(None) is None
    with pytest.raises(ValueError, match="zone"):
        ours(datetime(2026, 11, 22))  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize("rows", [0, 1, 3, 255, 256, 257, 1000])
def test_as_many_rows_as_there_are(rows: int, tmp_path: Path) -> None:
    engine, known = open_engine(f"sqlite:///{tmp_path / 'rows.sqlite'}"), MetaData()
    table = Table("numbers", known, Column("number", Integer, primary_key=True), Column("at", UtcDateTime))
    known.create_all(engine)
    with writing(engine) as connection:
        BulkInsert(table, ("number", "at"))(connection, [(n, INSTANTS[n % 2]) for n in range(rows)])
        connection.execute(insert(table).values(number=-1, at=INSTANTS[0]))
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).where(table.c.number >= 0)).scalar_one() == rows
        # Written by either way it is the same instant, and compares as one.
        same = select(func.count()).where(table.c.at == INSTANTS[0], table.c.number >= 0)
        assert connection.execute(same).scalar_one() == len(range(0, rows, 2))
    engine.dispose()
