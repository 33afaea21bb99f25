"""Who may open a database that is a file.

`tocsin serve` and `tocsin demo` are alone on theirs: what an earlier process claimed there can be taken up at once, and
nobody else writes. `tocsin api` and `tocsin worker` share a file with each other. The lock belongs to the process: the
operating system releases it when the process ends, however it ends. On a database server nobody is locked out: there,
what only one process should do is held by leases (`incidents.record.leases`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url

from incidents.errors import TocsinError

SUFFIX = ".lock"
"""Of the lock file beside an SQLite database. It stays there; only a running process holds it locked."""


class AlreadyRunning(TocsinError):
    """Another process serves this database."""

    code = "already-running"
    title = "Another Tocsin runs"

    def __init__(self) -> None:
        super().__init__("Another Tocsin runs on this database. Stop it first, or name another database.")


@contextmanager
def only_instance(database_url: str) -> Iterator[None]:
    """Be the only process on a database file for as long as the block runs. AlreadyRunning when there is another."""
    with _locked(database_url, fcntl.LOCK_EX):
        yield


@contextmanager
def one_of_many(database_url: str) -> Iterator[None]:
    """Share a database file with others that share it. AlreadyRunning when somebody has it alone."""
    with _locked(database_url, fcntl.LOCK_SH):
        yield


@contextmanager
def _locked(database_url: str, how: int) -> Iterator[None]:
    path = _lock_file(database_url)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise TocsinError(f"The lock file {path} cannot be opened: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning from None
        yield
    finally:
        os.close(handle)


def _lock_file(database_url: str) -> Path | None:
    address = make_url(database_url)
    if address.get_backend_name() != "sqlite" or address.database in (None, "", ":memory:"):
        return None
    return Path(f"{address.database}{SUFFIX}")
