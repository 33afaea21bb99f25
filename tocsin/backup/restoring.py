"""Restoring a backup into an empty database, in one transaction, and checking what stands there afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, TableClause, column, func, insert, inspect, select, table

from incidents.clock import Clock
from incidents.errors import Conflict
from incidents.record import Registry, open_record
from incidents.record.database import reading, writing
from incidents.record.stored import (
    StoredRow,
    go_on_after,
    head_of,
    read_events,
    read_positions,
    write_events,
    write_positions,
)
from notifier.vault import MasterKeys, Vault
from tocsin.backup.content import (
    EVENTS,
    POSITIONS,
    Ending,
    RunningSum,
    Section,
    Sum,
    in_groups,
    kept_tables,
    line_of,
)
from tocsin.backup.hold import place_hold
from tocsin.backup.reading import Rows, read_backup, read_beginning
from tocsin.backup.sealed_file import BackupDamaged
from tocsin.migrations.all_tables import all_tables
from tocsin.migrations.run import upgrade_on

Progress = Callable[[str, int], None]
"""Told the section and how many of its rows stand in the database."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What stands in the database now. `erased_again`: people who were erased after the backup."""

    made_at: datetime
    head: int
    events: int
    rows: int
    erased_again: int


def restore_backup(
    path: Path,
    keys: MasterKeys,
    engine: Engine,
    registry: Registry,
    clock: Clock,
    *,
    erased: Sequence[UUID] = (),
    progress: Progress = lambda _section, _rows: None,
) -> Restored:
    """Put a backup into the empty database of `engine` (of either kind, whichever the backup came from).

    In one transaction: the schema is made as it was when the backup was made, filled, compared with the backup's sums,
    brought to the present one; all sending is held, and people who were `erased` after the backup are erased again.
    Conflict when the database is not empty, BackupDamaged when the backup cannot be trusted: nothing was restored.
    """
    beginning = read_beginning(path, keys)
    if beginning.schema_step is None:
        raise BackupDamaged("The backup does not say which schema it has.")
    _demand_empty(engine)
    with open_record(engine.url.render_as_string(hide_password=False), registry):
        pass  # opening it makes the record's own tables
    with writing(engine) as connection:
        upgrade_on(connection, beginning.schema_step)
        _, ending = read_backup(path, keys, _Filler(connection, progress))
        go_on_after(connection, beginning.head)
        _let_numbers_go_on(connection)
        _compare(connection, ending)
        upgrade_on(connection)
        made = beginning.made_at.isoformat(timespec="seconds")
        place_hold(connection, clock.now(), f"Restored from the backup of {made}.")
        again = _erase_again(Vault(engine, keys, clock), connection, erased)
    rows = sum(one.rows for one in ending.sums.values())
    return Restored(beginning.made_at, beginning.head, ending.sums[EVENTS].rows, rows, again)


def _demand_empty(engine: Engine) -> None:
    with reading(engine) as connection:
        there = inspect(connection).get_table_names()
        if "alembic_version" in there or ({"stored_events", "tocsin_events"} & set(there) and head_of(connection)):
            raise Conflict(
                "The database is not empty: a backup is restored into an empty one. Name another with --into, and "
                "point `database_url` there when you have looked at it."
            )


class _Filler:
    """Writes each section into its table."""

    def __init__(self, connection: Connection, progress: Progress) -> None:
        self._connection = connection
        self._progress = progress
        self._tables = set(inspect(connection).get_table_names())

    def __call__(self, section: Section, rows: Rows) -> None:
        done = 0
        for group in in_groups(rows):
            self._write(section, group)
            done += len(group)
            self._progress(section.section, done)

    def _write(self, section: Section, group: Sequence[Sequence[Any]]) -> None:
        if section.section == EVENTS:
            write_events(self._connection, [StoredRow(*row) for row in group])
        elif section.section == POSITIONS:
            write_positions(self._connection, {row[0]: row[1] for row in group})
        elif section.section in self._tables:
            kept = _as_stored(self._connection, section.section)
            self._connection.execute(insert(kept), [dict(zip(section.columns, row, strict=True)) for row in group])
        else:
            raise BackupDamaged(f"The backup holds rows of {section.section}, which its schema does not have.")


def _as_stored(connection: Connection, name: str) -> TableClause:
    """The table as it is in the database, with our types for the columns that we still know: a schema of before may
    have had others."""
    known = all_tables().tables.get(name)
    types = {} if known is None else {one.name: one.type for one in known.columns}
    there = inspect(connection).get_columns(name)
    return table(name, *(column(one["name"], types.get(one["name"], one["type"])) for one in there))


def _let_numbers_go_on(connection: Connection) -> None:
    """Let numbers that PostgreSQL hands out go on after those restored. SQLite looks at the rows."""
    if connection.dialect.name != "postgresql":
        return
    for kept in kept_tables():
        number = kept.autoincrement_column
        if number is None or not inspect(connection).has_table(kept.name):
            continue
        sequence = connection.execute(select(func.pg_get_serial_sequence(kept.name, number.name))).scalar_one()
        highest = connection.execute(select(func.max(number))).scalar_one()
        if sequence is not None and highest is not None:
            connection.execute(select(func.setval(sequence, highest)))


def _compare(connection: Connection, ending: Ending) -> None:
    """Read everything back."""
    found: dict[str, Sum] = {}
    for section in ending.sums:
        summed = RunningSum()
        for row in _read_back(connection, section):
            summed.add(line_of(row))
        found[section] = summed.result()
    if wrong := sorted(name for name, one in ending.sums.items() if found[name] != one):
        raise BackupDamaged(f"What was restored differs from the backup: {', '.join(wrong)}. Nothing was kept.")


def _read_back(connection: Connection, section: str) -> Iterable[Sequence[Any]]:
    if section == EVENTS:
        return ((row.position, row.stream, row.version, row.topic, row.state) for row in read_events(connection))
    if section == POSITIONS:
        return list(read_positions(connection).items())
    kept = _as_stored(connection, section)
    return connection.execute(select(kept), execution_options={"yield_per": 1_000})


def _erase_again(vault: Vault, connection: Connection, people: Sequence[UUID]) -> int:
    known = vault.read_many(people, connection)
    return sum(vault.erase(person, connection) for person in known)
