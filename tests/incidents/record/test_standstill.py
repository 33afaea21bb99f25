"""A process that stops while the server waits for it keeps nobody waiting for longer than a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, text
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
AGE = 2

Begin = Callable[[Any], None]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A database with one thing, whose statements may take a second."""
    monkeypatch.setattr(standstill, "STANDSTILL_SECONDS", AGE)
    with emptied_database("postgresql", tmp_path) as url:
        engine = open_engine(url, patience=1)
        THINGS.create(engine)
        with writing(engine) as connection:
            BulkInsert(THINGS, ("id", "name"))(connection, [(1, "free")])
        yield engine
        engine.dispose()
        with open_engine(url).begin() as connection:
            THINGS.drop(connection)


def copying(mark: str) -> Begin:
    """Begin a COPY and send nothing of it."""

    def begin(driver: Any) -> None:
        driver.pgconn.send_query(f"COPY {mark} things (id, name) FROM STDIN".encode())
        driver.pgconn.flush()

    return begin


def half_said(driver: Any) -> None:
    """Send a statement and not that it is all."""
    driver.pgconn.enter_pipeline_mode()
    driver.pgconn.send_query_params(b"SELECT 1", [])
    driver.pgconn.send_flush_request()
    driver.pgconn.flush()


def unread(driver: Any) -> None:
    """Ask for much and read nothing."""
    driver.pgconn.send_query(b"SELECT repeat('x', 1000) FROM generate_series(1, 1000000)")
    driver.pgconn.flush()


@contextmanager
def standing_still(engine: Engine, begin: Begin, *, locks: bool = True) -> Iterator[int]:
    """The server's process of somebody who has locked the thing and went no further."""
    with ExitStack() as stack:
        connection = stack.enter_context(engine.connect())
        process: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        if locks:
            connection.execute(LOCK)
        driver = connection.connection.driver_connection
        assert driver is not None
        stack.callback(connection.invalidate)
        stack.callback(driver.pgconn.finish)
        begin(driver)
        wait_for(lambda: waits_for_client(engine, process) or None, "the server to wait for its client")
        yield process


def waits_for_client(engine: Engine, process: int) -> bool:
    with engine.connect() as connection:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE pid = :pid AND wait_event IN ('ClientRead', 'ClientWrite')"
        return bool(connection.execute(text(asked), {"pid": process}).scalar_one())


@pytest.mark.parametrize("begin", [copying(COPY_MARK), half_said, unread], ids=["copy", "half said", "unread"])
def test_who_waited_in_vain_ends_who_stands_still(engine: Engine, begin: Begin) -> None:
    with standing_still(engine, begin) as process:
        assert end_standstill(engine) == 0, "too young"
        time.sleep(AGE)  # the age that a standstill has
        with pytest.raises(OperationalError) as waited, writing(engine) as connection:
            connection.execute(LOCK)
        assert waited_in_vain(waited.value)
        wait_for(lambda: None if waits_for_client(engine, process) else True, "it to be ended")
        with writing(engine) as connection:
            connection.execute(LOCK)


def test_nobody_else_is_ended(engine: Engine) -> None:
    """A COPY that is none of ours may take as long as it likes, and who holds nothing is in nobody's way."""
    with standing_still(engine, copying("")) as copy, standing_still(engine, half_said, locks=False) as reader:
        time.sleep(AGE)
        with pytest.raises(OperationalError), writing(engine) as connection:
            connection.execute(LOCK)
        assert end_standstill(engine) == 0
        assert waits_for_client(engine, copy)
        assert waits_for_client(engine, reader)


def test_another_error_ends_nobody(engine: Engine) -> None:
    with standing_still(engine, copying(COPY_MARK)) as process:
        time.sleep(AGE)
        with pytest.raises(ValueError, match="not a matter of waiting"), writing(engine):
            raise ValueError("not a matter of waiting")
        assert waits_for_client(engine, process)


def test_nothing_is_raised_while_another_error_is_on_its_way() -> None:
    assert end_standstill(open_engine("postgresql://nobody@127.0.0.1:1/nothing")) == 0
