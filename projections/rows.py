"""A batch's working set of one table: load what the batch touches, change it in memory, write it back at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Column, Connection, Executable, Integer, Table, insert, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.schema import ScalarElementColumnDefault

Key = tuple[Any, ...]
Row = dict[str, Any]

_KEYS_PER_SELECT = 400


def generation_column() -> Column[int]:
    """The first part of every projection table's key."""
    return Column("generation", Integer, primary_key=True)


class Rows:
    """The rows of one table and one generation that a batch works on, by key (the primary key after `generation`).

    Only one runner can be in a generation's transaction at a time, so what was loaded stays true until the flush.
    """

    def __init__(self, connection: Connection, table: Table, generation: int) -> None:
        self._connection = connection
        self._table = table
        self._generation = generation
        self._key_columns = [c for c in table.primary_key.columns if c.name != "generation"]
        self._key_names = [c.name for c in self._key_columns]
        self._blank: Row = dict.fromkeys((c.name for c in table.columns), None)
        self._blank |= {
            c.name: c.default.arg for c in table.columns if isinstance(c.default, ScalarElementColumnDefault)
        }
        self._rows: dict[Key, Row] = {}
        self._changed: dict[Key, Row] = {}

    def load(self, prefixes: Iterable[Key]) -> None:
        """Fetch the rows whose key begins with one of these (each of the same length)."""
        wanted = sorted(set(prefixes), key=repr)
        for start in range(0, len(wanted), _KEYS_PER_SELECT):
            part = wanted[start : start + _KEYS_PER_SELECT]
            columns = self._key_columns[: len(part[0])]
            condition = columns[0].in_([key[0] for key in part]) if len(columns) == 1 else tuple_(*columns).in_(part)
            found = self._connection.execute(
                select(self._table).where(self._table.c.generation == self._generation, condition)
            )
            for mapping in found.mappings():
                row = dict(mapping)
                self._rows[self._key(row)] = row

    def get(self, *key: Any) -> Row | None:
        """A loaded (or just added) row. Change it through `put`."""
        return self._rows.get(key)

    def put(self, *key: Any, **values: Any) -> Row:
        """Change a row, or add it with the table's defaults for what is not given."""
        row = self._rows.get(key)
        if row is None:
            row = {**self._blank, "generation": self._generation, **dict(zip(self._key_names, key, strict=True))}
            self._rows[key] = row
        row.update(values)
        self._changed[key] = row
        return row

    def __iter__(self) -> Iterator[Row]:
        return iter(list(self._rows.values()))

    def flush(self) -> None:
        """Write all changed rows with one statement, executed over many."""
        if self._changed:
            self._connection.execute(self._upsert(), [_storable(row) for row in self._changed.values()])
            self._changed = {}

    def _key(self, row: Row) -> Key:
        return tuple(row[name] for name in self._key_names)

    def _upsert(self) -> Executable:
        dialect = self._connection.dialect.name
        key = [c.name for c in self._table.primary_key.columns]
        others = [c.name for c in self._table.columns if c.name not in key]
        if dialect == "postgresql":
            into = postgresql.insert(self._table)
            return into.on_conflict_do_update(index_elements=key, set_={name: into.excluded[name] for name in others})
        onto = sqlite.insert(self._table)
        return onto.on_conflict_do_update(index_elements=key, set_={name: onto.excluded[name] for name in others})


def append(connection: Connection, table: Table, generation: int, rows: list[Row]) -> None:
    """Add rows that cannot be there yet, all with the same columns."""
    if rows:
        connection.execute(insert(table), [_storable(row) | {"generation": generation} for row in rows])


def _storable(row: Row) -> Row:
    # PostgreSQL has no place for NUL in a text, and an event that holds one must not stop a projection for ever.
    for name, value in row.items():
        if isinstance(value, str) and "\x00" in value:
            row = {**row, name: value.replace("\x00", "\ufffd")}
    return row
