"""One serving process on a database at a time.

The workers of a second one would take the first one's claims for their own and send again what is being sent. The lock
belongs to the process: the operating system or the database server releases it when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import structlog
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from incidents.errors import TocsinError

log = structlog.get_logger(__name__)

SUFFIX = ".lock"
"""Of the lock file beside an SQLite database. It stays there; only a running process holds it locked."""
ADVISORY_KEY = 0x746F6373696E
"""Of the advisory lock on PostgreSQL ("tocsin" in ASCII); such locks are apart for each database."""
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


class AlreadyRunning(TocsinError):
    """Another process serves this database."""

    code = "already-running"
    title = "Another Tocsin runs"

    def __init__(self) -> None:
        super().__init__("Another Tocsin runs on this database. Stop it first, or name another database.")


class Instance(Protocol):
    """A held lock."""

    def fault(self) -> str | None:
        """Why this process may no longer be the only one; None when it is."""


@contextmanager
def only_instance(database_url: str) -> Iterator[Instance]:
    """Be the only one on this database for as long as the block runs. AlreadyRunning when somebody is."""
    address = make_url(database_url)
    if address.get_backend_name() != "sqlite":
        lock = _ServerLock(address)
        try:
            yield lock
        finally:
            lock.close()
    elif address.database in (None, "", ":memory:"):
        yield _FileLock()
    else:
        with _locked(Path(f"{address.database}{SUFFIX}")):
            yield _FileLock()


class _FileLock:
    """A lock on a file is held until the process ends."""

    def fault(self) -> str | None:
        return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise TocsinError(f"The lock file {path} cannot be opened: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning from None
        yield
    finally:
        os.close(handle)


class _ServerLock:
    """A session's advisory lock. Should its connection break (the server was restarted), it is taken again."""

    def __init__(self, address: URL) -> None:
        url = address.set(drivername="postgresql+psycopg")
        self._engine = create_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=dict(_KEEPALIVE)
        )
        self._turn = threading.Lock()
        self._connection: Connection | None = None
        try:
            self._take()
        except OperationalError as error:
            raise TocsinError("The database server does not answer, or refuses these settings.") from error

    def fault(self) -> str | None:
        with self._turn:
            try:
                if self._connection is not None:
                    self._connection.execute(text("SELECT 1"))
                    return None
            except DBAPIError as error:
                log.warning("instance.lock-lost", reason=type(error.orig).__name__)
                self._drop()
            try:
                self._take()
            except (DBAPIError, AlreadyRunning) as error:
                return "the lock on the database was lost" if isinstance(error, DBAPIError) else error.detail
            log.info("instance.lock-taken-again")
            return None

    def close(self) -> None:
        with self._turn:
            self._drop()
            self._engine.dispose()

    def _take(self) -> None:
        connection = self._engine.connect()
        if not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_KEY}).scalar_one():
            connection.close()
            raise AlreadyRunning
        self._connection = connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()
