"""Hears of other processes' commits, so that this one's workers need not poll fast.

PostgreSQL tells whoever listens when events are saved. A worker that hears nothing looks once a second all the same:
this makes things quicker and is needed for nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import structlog
from psycopg import Connection, Error
from psycopg.sql import SQL, Identifier
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from incidents.record import Record

log = structlog.get_logger(__name__)

LISTEN_SECONDS = 1.0
"""How long to listen before looking whether the process ends."""
PROVE_EVERY = 15
"""After so many silent turns the server is asked something, to see whether it is still there."""
BACK_OFF = 2.0


class Listener:
    """A worker that wakes others when the record grows. Its failures make nothing unready: the others poll."""

    name = "listener"
    failures = 0

    def __init__(self, engine: Engine, record: Record, wake: Callable[[], None]) -> None:
        self._engine = engine
        self._channel: str = record.process_recorder.channel_name  # type: ignore[attr-defined]
        self._wake = wake

    def wake(self) -> None:
        """There is nothing to do."""

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    try:
                        driver: Any = connection.connection.driver_connection
                        self._listen(driver, stop)
                    finally:
                        connection.invalidate()  # it must not go on listening in the pool
            except (SQLAlchemyError, Error) as error:
                log.info("listener.lost", reason=type(error).__name__)
                stop.wait(BACK_OFF)

    def _listen(self, driver: Connection[Any], stop: threading.Event) -> None:
        driver.execute(SQL("LISTEN {}").format(Identifier(self._channel)))
        self._wake()  # for what happened before
        silent = 0
        while not stop.is_set():
            if any(True for _ in driver.notifies(timeout=LISTEN_SECONDS, stop_after=1)):
                silent = 0
                self._wake()
                continue
            silent += 1
            if silent % PROVE_EVERY == 0:
                driver.execute("SELECT 1")
