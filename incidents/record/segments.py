"""The events on PostgreSQL divided by position, which is time order, so that old ones may lie elsewhere.

An installation has one table of events until an operator divides it. Then `tocsin_events` is partitioned by ranges of
`notification_id`; what was there becomes the first segment where it lies, and every segment has the library's primary
key. PostgreSQL cannot hold (originator_id, originator_version) unique over all of them, for a key must contain what a
table is partitioned by. So a trigger holds it: `tocsin_event_streams` knows the newest version of every stream, and
events that do not follow on it are refused as a unique violation, whoever writes them. It remembers the streams of
segments that were taken off as well, so nothing can be written over what is not there to be seen.

What it costs and why it is not otherwise: docs/decisions/0006.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from incidents.errors import Conflict, InvalidInput
from incidents.record import segments_sql as sql
from incidents.record.database import reading, writing
from incidents.record.segments_sql import EVENTS

log = structlog.get_logger(__name__)

SIZE = 10_000_000
"""Positions in a segment; some ten gigabytes."""
LOCK_SECONDS = 5
"""How long a change waits for the table at a time: whoever comes later waits behind it."""
TRIES = 20


@dataclass(frozen=True, slots=True)
class Segment:
    """Positions from `first` up to but not including `end`."""

    name: str
    first: int
    end: int
    attached: bool
    tablespace: str | None
    bytes: int
    newest: datetime | None
    """When its newest event was recorded; None where there is none."""


class Segments:
    """The segments of one database."""

    def __init__(self, engine: Engine) -> None:
        if engine.dialect.name != "postgresql":
            raise InvalidInput("Only a record on PostgreSQL can be divided.", field="database_url")
        self._engine = engine

    def is_divided(self) -> bool:
        """Whether the events lie in segments."""
        with reading(self._engine) as connection:
            return _is_divided(connection)

    def divide(self, size: int = SIZE) -> None:
        """Divide the one table. Writers wait for moments only; a repeated or interrupted call goes on.

        First what takes long and disturbs nobody (proving the range, counting streams), then, under a lock, what takes
        no time.
        """
        if self.is_divided():
            return
        with writing(self._engine) as connection:
            head = _head(connection)
            connection.execute(text(sql.STREAMS))
        end = (head + size // 2) // size * size + size
        self._alone(lambda c: _run(c, sql.PREPARE.format(end=end)))
        with writing(self._engine) as connection, _unhurried(connection):
            _run(connection, f"ALTER TABLE {EVENTS} VALIDATE CONSTRAINT {EVENTS}_1_range")
            # All up to `head` is committed: positions are given out in the order of the commits.
            connection.execute(text(sql.COUNT), {"after": 0, "until": head})
        self._alone(lambda c: _turn_over(c, head=head, end=end, size=size))
        self.make_room()

    def list(self) -> list[Segment]:
        """All segments, oldest first, those that were taken off included."""
        with reading(self._engine) as connection:
            if not _is_divided(connection):
                return []
            rows = connection.execute(text(sql.LIST)).all()
            return [
                Segment(r.name, r.first, r.end, r.attached, r.tablespace, r.bytes, _newest(connection, r.name))
                for r in rows
            ]

    def make_room(self) -> None:
        """See to it that empty segments are ready ahead of the events. The recorder does so by itself as it saves."""
        self._alone(lambda connection: _run(connection, sql.MAKE_ROOM))

    def move(self, name: str, tablespace: str) -> None:
        """Move a full segment to other storage. Who reads its events waits meanwhile; nobody else does."""
        self._full(name)
        with writing(self._engine) as connection, _unhurried(connection):
            place = _quoted(connection, tablespace)
            indexes = connection.execute(text("SELECT indexname FROM pg_indexes WHERE tablename = :t"), {"t": name})
            _run(connection, f"ALTER TABLE {name} SET TABLESPACE {place}")
            for index in indexes.scalars().all():
                _run(connection, f"ALTER INDEX {_quoted(connection, index)} SET TABLESPACE {place}")

    def detach(self, name: str, *, readers: Mapping[str, int]) -> None:
        """Take a full segment off: a table of its own, to be dumped and dropped, or attached again.

        `readers` says how far who reads the record in order has come; Conflict when one of them has not read all of it.
        """
        segment = self._full(name)
        behind = sorted(reader for reader, position in readers.items() if position < segment.end - 1)
        if behind:
            raise Conflict(f"Not all of {name} has been read yet by {', '.join(behind)}.")

        def work(connection: Connection) -> None:
            _close(connection, name)
            _run(connection, f"ALTER TABLE {EVENTS} DETACH PARTITION {name}")
            connection.execute(
                text(f"INSERT INTO {EVENTS}_detached VALUES (:name, :first, :end)"),
                {"name": name, "first": segment.first, "end": segment.end},
            )

        self._alone(work)

    def attach(self, name: str) -> None:
        """Put a segment back that was taken off. It takes no writes."""
        with reading(self._engine) as connection:
            row = connection.execute(
                text(f"SELECT first_position, end_position FROM {EVENTS}_detached WHERE name = :name"), {"name": name}
            ).one_or_none()
            there = connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar()
        if row is None:
            raise InvalidInput(f"{name} was not taken off.", field="segment")
        if there is None:
            raise Conflict(f"The table {name} is not in this database: restore it from its dump first.")

        def work(connection: Connection) -> None:
            _close(connection, name)
            first = "MINVALUE" if row.first_position <= 1 else row.first_position
            values = f"FROM ({first}) TO ({row.end_position})"
            _run(connection, f"ALTER TABLE {EVENTS} ATTACH PARTITION {name} FOR VALUES {values}")
            connection.execute(text(f"DELETE FROM {EVENTS}_detached WHERE name = :name"), {"name": name})

        self._alone(work)

    def _full(self, name: str) -> Segment:
        """A segment that is attached and gets no more events."""
        found = next((segment for segment in self.list() if segment.name == name and segment.attached), None)
        if found is None:
            raise InvalidInput(f"There is no segment {name}; `tocsin record segments` lists them.", field="segment")
        with reading(self._engine) as connection:
            if _head(connection) < found.end:
                raise Conflict(f"{name} is still written to; only segments that are full can be moved or taken off.")
        return found

    def _alone(self, work: Callable[[Connection], None]) -> None:
        """In a transaction that waits for the table for a short while only, and tries again."""
        for attempt in range(1, TRIES + 1):
            try:
                with writing(self._engine) as connection:
                    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
                    connection.execute(text(f"SELECT {sql.TURN}"))
                    work(connection)
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) not in {"55P03", "40P01"} or attempt == TRIES:
                    raise
                log.info("segments.waits", attempt=attempt)
                time.sleep(1)
            else:
                return


def _turn_over(connection: Connection, *, head: int, end: int, size: int) -> None:
    if _is_divided(connection):
        return
    _run(connection, f"LOCK TABLE {EVENTS} IN ACCESS EXCLUSIVE MODE")
    connection.execute(text(sql.COUNT), {"after": head, "until": 2**62})
    _run(connection, sql.TURN_OVER.format(end=end, size=size))


def _close(connection: Connection, name: str) -> None:
    _run(connection, f"DROP TRIGGER IF EXISTS {EVENTS}_closed ON {name}")
    _run(connection, sql.CLOSE.format(name=name))


def _is_divided(connection: Connection) -> bool:
    kind = connection.execute(text(f"SELECT relkind FROM pg_class WHERE oid = to_regclass('{EVENTS}')")).scalar()
    if kind is None:
        raise Conflict("There are no events in this database yet: `tocsin migrate` makes the tables.")
    return str(kind) == "p"


def _head(connection: Connection) -> int:
    return int(connection.execute(text(f"SELECT coalesce(max(notification_id), 0) FROM {EVENTS}")).scalar_one())


def _newest(connection: Connection, name: str) -> datetime | None:
    if connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar() is None:
        return None
    found: datetime | None = connection.execute(
        text(
            "SELECT (convert_from(state, 'UTF8')::json ->> 'recorded_at')::timestamptz "
            f"FROM {name} ORDER BY notification_id DESC LIMIT 1"
        )
    ).scalar()
    return found


def _unhurried(connection: Connection) -> AbstractContextManager[None]:
    """For a look through a large table: neither the server nor this process gives it up."""
    from incidents.record.connections import without_limits  # the driver comes with the extra `postgres`

    return without_limits(connection)


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


def _run(connection: Connection, script: str) -> None:
    for statement in filter(None, (part.strip() for part in script.split(";;"))):
        connection.exec_driver_sql(statement.replace("%", "%%"))  # nothing is to be filled in
