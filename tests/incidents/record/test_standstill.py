"""A process that stops in the middle of a COPY keeps nobody waiting for longer than a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, text
from sqlalchemy.exc import OperationalError

from incidents.record import standstill
from incidents.record.bulk import COPY_MARK, BulkInsert
from incidents.record.database import open_engine, writing
from incidents.record.standstill import end_standstill, waited_in_vain
from tests.servers import emptied_database
from tests.world import wait_for

pytestmark = pytest.mark.slow

THINGS = Table("things", MetaData(), Column("id", Integer, primary_key=True), Column("name", String, nullable=False))
LOCK = text("UPDATE things SET name = 'mine' WHERE id = 1")


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A database with one thing, whose statements may take a second."""
    monkeypatch.setattr(standstill, "STANDSTILL_SECONDS", 1)
    with emptied_database("postgresql", tmp_path) as url:
        engine = open_engine(url, patience=1)
        THINGS.create(engine)
        with writing(engine) as connection:
            BulkInsert(THINGS, ("id", "name"))(connection, [(1, "free")])
        yield engine
        THINGS.drop(engine)
        engine.dispose()


def stand_still(connection: Connection, mark: str, until: threading.Event) -> None:
    """Lock the thing, begin a COPY and send nothing of it."""
    connection.execute(LOCK)
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy(f"COPY {mark} things (id, name) FROM STDIN"):
        until.wait()


def copies(engine: Engine, mark: str) -> int | None:
    with engine.connect() as connection:
        asked = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE :copy AND wait_event = 'ClientRead'")
        count: int = connection.execute(asked, {"copy": f"COPY {mark} things%"}).scalar_one()
    return count or None


@pytest.mark.parametrize(("mark", "ends"), [(COPY_MARK, True), ("", False)])
def test_who_waited_in_vain_ends_who_stands_still(engine: Engine, mark: str, *, ends: bool) -> None:
    """A COPY that is not one of ours may take as long as it likes."""
    until = threading.Event()

    def stopped() -> None:
        with suppress(psycopg.Error, OperationalError), engine.connect() as connection:
            stand_still(connection, mark, until)

    thread = threading.Thread(target=stopped)
    thread.start()
    wait_for(lambda: copies(engine, mark), "the COPY to wait for its rows")
    time.sleep(1.1)  # the age that a standstill has
    with pytest.raises(OperationalError) as waited, writing(engine) as connection:
        connection.execute(LOCK)
    assert waited_in_vain(waited.value)
    if ends:
        with writing(engine) as connection:
            connection.execute(LOCK)
    else:
        assert end_standstill(engine) == 0
        assert copies(engine, mark) == 1
    until.set()
    thread.join(30)
    assert not thread.is_alive()


def test_another_error_ends_nobody(engine: Engine) -> None:
    with pytest.raises(OperationalError) as slow, engine.begin() as connection:
        connection.execute(text("SELECT pg_sleep(10)"))
    assert waited_in_vain(slow.value), "nobody can tell what a statement waited for"
    assert end_standstill(engine) == 0
    assert not waited_in_vain(ValueError())


def test_nothing_is_raised_while_another_error_is_on_its_way(engine: Engine) -> None:
    away = open_engine("postgresql://nobody@127.0.0.1:1/nothing")
    assert end_standstill(away) == 0
