"""Making a backup while everything runs: one snapshot of the database, sealed into one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, insert, select

from incidents.clock import Clock
from incidents.errors import InvalidInput, TocsinError
from incidents.record.database import writing
from incidents.record.stored import head_of, read_events, read_positions
from notifier.vault import MasterKeys
from tocsin.backup.content import (
    EVENTS,
    POSITIONS,
    Beginning,
    Ending,
    RunningSum,
    Section,
    Sum,
    in_groups,
    kept_tables,
    line_of,
)
from tocsin.backup.sealed_file import SealedWriter
from tocsin.backup.tables import backups

Progress = Callable[[str, int], None]
"""Told the section and how many of its rows are written."""


class BackupFailed(TocsinError):
    """The backup could not be written. There is no half of it."""

    code = "backup-failed"
    title = "The backup was not made"


@dataclass(frozen=True, slots=True)
class Written:
    """A finished backup. `rows` of all sections; `head` is the position of the newest event in it."""

    path: Path
    head: int
    events: int
    rows: int
    bytes: int


def write_backup(
    engine: Engine,
    keys: MasterKeys,
    path: Path,
    clock: Clock,
    *,
    replace: bool = False,
    progress: Progress = lambda _section, _rows: None,
) -> Written:
    """Write all that cannot be made again into `path`, as one instant saw it. The service may go on meanwhile.

    The file appears at its name only when it is complete and on disk. InvalidInput when there is one already (unless
    `replace`), BackupFailed when it cannot be written.
    """
    if path.exists() and not replace:
        raise InvalidInput(f"{path} exists. Name another file, or give --replace.", field="file")
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with _private(unfinished) as file:
            beginning, sums = _write(engine, keys, file, clock, progress)
        size = unfinished.stat().st_size
        unfinished.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise BackupFailed(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
    rows = sum(one.rows for one in sums.values())
    _note(engine, beginning, rows, size)
    return Written(path, beginning.head, sums[EVENTS].rows, rows, size)


def _note(engine: Engine, beginning: Beginning, rows: int, size: int) -> None:
    """Let the alarms know that there is a backup, and how old it is."""
    values = {"made_at": beginning.made_at, "head": beginning.head, "rows": rows, "bytes": size}
    with writing(engine) as connection:
        connection.execute(insert(backups).values(backup_id=uuid4(), **values))


def _write(
    engine: Engine, keys: MasterKeys, file: BinaryIO, clock: Clock, progress: Progress
) -> tuple[Beginning, dict[str, Sum]]:
    sums: dict[str, Sum] = {}
    with _snapshot(engine) as connection, SealedWriter(file, keys) as sealed:
        beginning = Beginning(
            made_at=clock.now(),
            tocsin=version("tocsin"),
            schema_step=MigrationContext.configure(connection).get_current_revision(),
            head=head_of(connection),
        )
        sealed.write_line(beginning.model_dump_json())
        for section, columns, rows in _sections(connection):
            sealed.write_line(Section(section=section, columns=columns).model_dump_json())
            summed = RunningSum()
            for group in in_groups(rows):
                for row in group:
                    line = line_of(row)
                    summed.add(line)
                    sealed.write_line(line)
                progress(section, summed.rows)
            sums[section] = summed.result()
        sealed.write_line(Ending(sums=sums).model_dump_json())
    return beginning, sums


def _sections(connection: Connection) -> Iterator[tuple[str, tuple[str, ...], Iterator[Any]]]:
    events = ((row.position, row.stream, row.version, row.topic, row.state) for row in read_events(connection))
    yield EVENTS, ("position", "stream", "version", "topic", "state"), events
    yield POSITIONS, ("follower", "position"), iter(sorted(read_positions(connection).items()))
    for table in kept_tables():
        found = connection.execute(select(table), execution_options={"yield_per": 1_000})
        yield table.name, tuple(table.columns.keys()), iter(found)


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction whose statements all see one state, and which stops nobody."""
    on_server: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    options = on_server if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


@contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    """A new file that only its owner may read, on disk when the block ends."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
