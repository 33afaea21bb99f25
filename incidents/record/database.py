"""The database beside the record: one SQLAlchemy engine and one `MetaData` that all rooms hang their tables on.

Projections, timers, vault and deliveries are tables; the migrations that create them live with the front door.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, DateTime, Engine, MetaData, create_engine, event, text
from sqlalchemy.engine import URL, Dialect, ExceptionContext, make_url
from sqlalchemy.types import TypeDecorator

from incidents.record.standstill import end_standstill, waited_in_vain

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


_WITHOUT_ZONE = len("2026-11-22 09:30:00.000000")


class UtcDateTime(TypeDecorator[datetime]):
    """An instant. SQLite drops zones, so it is stored in UTC and comes back with the zone on."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a zone")
        return value.astimezone(UTC)

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any] | None:
        """On SQLite the same text as SQLAlchemy's own, written in a third of the time: some rows hold several."""
        if dialect.name != "sqlite":
            return super().bind_processor(dialect)

        def written(value: datetime | None) -> str | None:
            at = self.process_bind_param(value, dialect)
            return None if at is None else at.isoformat(" ", "microseconds")[:_WITHOUT_ZONE]

        return written

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


PATIENCE = 30
"""Seconds that a statement may take on PostgreSQL before it is given up."""
CONNECTIONS = 10
"""Most connections that an engine, and the record beside it, keep to PostgreSQL."""
_POOL_WAIT = 10
"""Seconds to wait for one of them to be free."""


def open_engine(url: str, *, patience: int = PATIENCE, connections: int = CONNECTIONS) -> Engine:
    """An engine for `sqlite:///path` or `postgresql://...` (psycopg 3). Its errors do not repeat parameters: they are
    logged, and parameters may be about people."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        engine = create_engine(address, connect_args={"timeout": 30, "check_same_thread": False}, hide_parameters=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return _open_postgresql(address, patience, connections)


def _open_postgresql(address: URL, patience: int, connections: int) -> Engine:
    # The driver comes with the extra `postgres`.
    from incidents.record.connections import bounded_by, limits_for, without_pooler

    kept = min(2, connections)
    engine = create_engine(
        without_pooler(address).set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=kept,
        max_overflow=connections - kept,
        pool_timeout=_POOL_WAIT,
        hide_parameters=True,
        connect_args=limits_for(address, patience),
    )
    bounded = bounded_by(patience)

    def connect(_dialect: Any, _record: Any, cargs: tuple[Any, ...], cparams: dict[str, Any]) -> Any:
        return bounded.connect(*cargs, **cparams)

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "handle_error", _forget_stale_plans)
    return engine


def _forget_stale_plans(context: ExceptionContext) -> None:
    """A statement that this connection has prepared before a migration changed its columns fails for as long as the
    connection lives, so it is given up as if it were broken; the next one prepares anew."""
    error = context.original_exception
    if getattr(error, "sqlstate", None) == "0A000" and "cached plan must not change" in str(error):
        context.is_disconnect = True


def turns(patience: float = PATIENCE) -> Iterator[bool]:
    """Times to try what SQLite refuses at once instead of waiting for its turn: one now, then one after each growing
    pause, until `patience` seconds have passed. Yields whether this try is the last."""
    end = time.monotonic() + patience
    pause = 0.02
    while time.monotonic() < end:
        yield False
        time.sleep(pause)
        pause = min(1.0, pause * 2)
    yield True


def time_of(engine: Engine) -> datetime:
    """The present instant by a PostgreSQL server's clock."""
    with engine.connect() as connection:
        told: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return told.astimezone(UTC)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # We issue BEGIN ourselves: the driver's own habit of opening transactions late breaks isolation.
    connection.isolation_level = None
    cursor = connection.cursor()
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        _turn_to_wal(cursor)
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _turn_to_wal(cursor: sqlite3.Cursor) -> None:
    """Several first connections to a fresh file at once: this one statement does not wait for its turn, or two wait for
    each other, so each try is short."""
    (patience,) = cursor.execute("PRAGMA busy_timeout").fetchone()
    cursor.execute("PRAGMA busy_timeout=200")
    for last in turns():
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:
            if last:
                raise
    cursor.execute(f"PRAGMA busy_timeout={patience}")


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that means to write.

    On SQLite it takes the write lock at once (`BEGIN IMMEDIATE`): a read that later turns into a write would
    fail with "database is locked" as soon as another connection has written in between, without waiting. Where a
    wait on PostgreSQL was in vain, a process that stands still in its way is ended, so that the next try may succeed.
    """
    try:
        with engine.connect().execution_options(sqlite_begin="IMMEDIATE") as connection, connection.begin():
            yield connection
    except Exception as error:
        if waited_in_vain(error):
            end_standstill(engine)
        raise


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: all its statements see one state."""
    with engine.connect() as connection, connection.begin():
        yield connection
