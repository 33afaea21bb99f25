"""Many rows into one table at once: COPY on PostgreSQL, statements of many rows on SQLite.

Several times faster than an insert that is built from dictionaries, and used where a row per recipient is written. On
SQLite a statement of many rows has a second merit: the driver lets go of Python's lock once for all of them, not once
for each, so a thread that writes does not queue for it behind the loop that sends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, Dialect, Table

Row = tuple[Any, ...]
Converter = Callable[[Any], Any]

COPY_MARK = "/* bulk insert */"
"""Tells these COPYs, which never take long, from others (see `incidents.record.standstill`). In front, because servers
show only the beginning of a long statement."""

_CHUNKS = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Rows of one statement on SQLite: few sizes, so that the driver keeps the prepared statements."""


class BulkInsert:
    """Inserts rows of the given columns, in that order. Every column that may not be NULL must be among them: the
    defaults that SQLAlchemy fills in elsewhere are not known to the database."""

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self._table = table
        self._columns: tuple[Column[Any], ...] = tuple(table.c[name] for name in columns)
        self._converters = cache(self._make_converters)

    def __call__(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert within the connection's transaction. Raises what the driver raises (a key that is there already)."""
        if not rows:
            return
        driver = connection.connection.dbapi_connection
        assert driver is not None  # noqa: S101 - in a transaction there is one
        preparer = connection.dialect.identifier_preparer
        names = ", ".join(preparer.format_column(column) for column in self._columns)
        target = f"{preparer.format_table(self._table)} ({names})"
        cursor = driver.cursor()
        try:
            if connection.dialect.name == "postgresql":
                with cursor.copy(f"COPY {COPY_MARK} {target} FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
            else:
                self._insert(cursor, target, self._converted(rows, connection.dialect))
        finally:
            cursor.close()

    def _insert(self, cursor: Any, target: str, values: Sequence[Any]) -> None:
        wide = len(self._columns)
        one = "(" + ",".join("?" * wide) + ")"
        at, left = 0, len(values) // wide
        for chunk in _CHUNKS:
            while left >= chunk:
                statement = f"INSERT INTO {target} VALUES {','.join([one] * chunk)}"
                cursor.execute(statement, values[at : at + chunk * wide])
                at, left = at + chunk * wide, left - chunk

    def _converted(self, rows: Sequence[Row], dialect: Dialect) -> list[Any]:
        """All values one after another, as the driver takes them."""
        values = [value for row in rows for value in row]
        wide = len(self._columns)
        for at, convert in self._converters(dialect):
            values[at::wide] = map(convert, values[at::wide])
        return values

    def _make_converters(self, dialect: Dialect) -> tuple[tuple[int, Converter], ...]:
        """What SQLAlchemy would do to each value on its way to the driver, which takes truth values as they are."""
        types = (column.type.dialect_impl(dialect) for column in self._columns)
        found = ((at, kind.bind_processor(dialect)) for at, kind in enumerate(types) if kind.python_type is not bool)
        return tuple(
            (at, _remembering(convert) if self._columns[at].type.python_type is datetime else convert)
            for at, convert in found
            if convert is not None
        )


def _remembering(convert: Converter) -> Converter:
    """The same, for instants: a group of rows shares a few."""
    last: list[Any] = [None, None]

    def remembered(value: Any) -> Any:
        known, converted = last
        if value is not known:
            converted = convert(value)
            last[:] = value, converted
        return converted

    return remembered
