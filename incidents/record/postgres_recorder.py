"""The library's PostgreSQL recorder with one round trip for a small save and COPY for a large one.

What a save means is the library's: a table lock orders the commits as the positions, so that no follower passes over
a position that is filled later; a follower's position is saved first and in the same transaction; listeners are
notified; a taken version or an overtaken position is an `IntegrityError` that saved nothing; the positions come back
in the order of the events. Only the way to the server differs:

- Up to `COPY_FROM` events go as four arrays to a function in the database. It is one statement, so the lock is never
  held while the server waits for this process. (The library has a function too; it takes no lock and knows no
  position, so it is not used.)
- More go by COPY, which the server takes in at up to 1.6 times the rate. The lock is taken before it, so a process that
  stands still in the middle holds up every other; the server ends no such COPY by itself (neither `statement_timeout`
  nor `idle_in_transaction_session_timeout` counts while it waits for data). Who has waited for the lock for long enough
  therefore ends the holder's connection, if the server is waiting for that process.

The functions carry a number: a program that needs them otherwise makes others beside them, so that programs of two
versions may write side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from eventsourcing.persistence import (
    IntegrityError,
    InterfaceError,
    Notification,
    OperationalError,
    PersistenceError,
    StoredEvent,
    Tracking,
)
from eventsourcing.postgres import PostgresDatastore, PostgresProcessRecorder
from eventsourcing.utils import retry
from psycopg import Connection, Cursor
from psycopg.errors import CheckViolation, LockNotAvailable
from psycopg.pq import Format
from psycopg.rows import DictRow
from psycopg.sql import SQL, Composed, Identifier, Literal

from incidents.errors import EventsDetached

log = structlog.get_logger(__name__)

COPY_FROM = 1_000
"""Events from which COPY is the faster way (measured: equal at 1,000, 1.6 times at 20,000)."""
COPY_FROM_BYTES = 8 * 1_048_576
"""Size of all states from which COPY is used: it streams, where a statement's parameters are held in memory whole."""
LOCK_SECONDS = 10
"""How long a save waits for the lock before it looks who holds it, and then tries again."""
STANDSTILL_SECONDS = 60
"""Age of a transaction that holds the lock and waits for its client, from which another ends it."""

_LOOK_FOR_ROOM = 100_000
"""Positions after which an undivided record is asked again whether it has been divided."""
_COPIED = ("originator_id", "originator_version", "topic", "state", "notification_id")


class BinaryCursor(Cursor[Any]):
    """Asks for results in binary: states are bytes, which as text would be twice as long."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.format = Format.BINARY


class EventRecorder(PostgresProcessRecorder):
    """Where the record's events and the positions of its followers are kept."""

    def __init__(
        self,
        datastore: PostgresDatastore,
        *,
        events_table_name: str = "stored_events",
        tracking_table_name: str = "notification_tracking",
    ) -> None:
        super().__init__(datastore, events_table_name=events_table_name, tracking_table_name=tracking_table_name)
        begin, save = f"{events_table_name}_begin_1", f"{events_table_name}_save_1"
        for name in (begin, save):
            self.check_identifier_length(name)
        names = {
            "begin": Identifier(datastore.schema, begin),
            "save": Identifier(datastore.schema, save),
            "events": Identifier(datastore.schema, events_table_name),
            "tracking": Identifier(datastore.schema, tracking_table_name),
            "channel": Identifier(self.channel_name),
            "id_type": Identifier(datastore.originator_id_type),
            "wait": Literal(f"{datastore.lock_timeout}s"),
        }
        self.sql_create_statements.append(SQL(_BEGIN).format(**names))
        self.sql_create_statements.append(SQL(_SAVE).format(**names))
        self._call_begin: Composed = SQL("SELECT {begin}({wait}, %s, %s)").format(**names)
        self._call_save: Composed = SQL(
            "SELECT * FROM {save}({wait}, %s, %s, %b::{id_type}[], %b::bigint[], %b::text[], %b::bytea[])"
        ).format(**names)
        self._allocate: Composed = SQL(
            "SELECT array_agg(nextval(pg_get_serial_sequence({events}, 'notification_id'))) FROM generate_series(1, %s)"
        ).format(events=Literal(names["events"].as_string()))
        self._end_standstill: Composed = SQL(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN pg_locks USING (pid) "
            "WHERE relation = {events}::regclass AND mode = 'ExclusiveLock' AND granted AND wait_event = 'ClientRead' "
            "AND clock_timestamp() - xact_start > make_interval(secs => %s)"
        ).format(events=Literal(names["events"].as_string()))
        self._copy: Composed = SQL("COPY {events} ({columns}) FROM STDIN (FORMAT BINARY)").format(
            **names, columns=SQL(", ").join(map(Identifier, _COPIED))
        )
        room = Identifier(datastore.schema, f"{events_table_name}_make_room")
        self._room_function: Composed = SQL("SELECT to_regproc({}) IS NOT NULL AS there").format(
            Literal(room.as_string())
        )
        self._detached: Composed = SQL("SELECT name FROM {} ORDER BY first_position").format(
            Identifier(datastore.schema, f"{events_table_name}_detached")
        )
        self._make_room_now: Composed = SQL("SELECT {}()").format(room)
        self._look_for_room_at = 0
        self._is_divided = False
        self._select_of_segments: Composed = SQL(
            "SELECT e.* FROM {streams} AS s JOIN {events} AS e ON e.originator_id = s.originator_id "
            "AND e.notification_id BETWEEN s.first_position AND s.last_position WHERE s.originator_id = %s"
        ).format(streams=Identifier(datastore.schema, f"{events_table_name.removesuffix('s')}_streams"), **names)
        self._copied_types = (datastore.originator_id_type, "int8", "text", "bytea", "int8")

    @retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)
    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Save events, with a follower's position if given. Returns their positions, None without events.

        IntegrityError when a version is taken or the follower is already further: nothing was saved.
        """
        tracking: Tracking | None = kwargs.get("tracking")
        if not stored_events:
            if tracking is not None:
                self.insert_tracking(tracking)
            return None
        large = len(stored_events) >= COPY_FROM or sum(len(e.state) for e in stored_events) >= COPY_FROM_BYTES
        save = self._save_by_copy if large else self._save_by_function
        try:
            with self.datastore.get_connection() as connection:
                positions = save(connection, stored_events, tracking)
        except OperationalError as error:
            self.failed(error.__cause__)
            raise
        except IntegrityError as error:
            if self.failed(error.__cause__):
                raise OperationalError(str(error)) from error
            raise
        self.saved(positions[-1])
        return positions

    def saved(self, newest: int) -> None:
        """To be called after events were saved up to a position."""
        if newest >= self._look_for_room_at:
            self._make_room()

    def failed(self, error: BaseException | None) -> bool:
        """To be called with what the driver said when saving failed. Whether something was mended: then try again."""
        match error:
            case LockNotAvailable():
                self._end_a_standstill()
            case CheckViolation():  # the last segment is full
                self._make_room()
            case _:
                return False
        return True

    def saving(self, events: Sequence[StoredEvent]) -> tuple[str, tuple[Any, ...]]:
        """The statement that saves events, with its parameters, for a transaction on another connection."""
        ids, versions, topics, states = zip(
            *((e.originator_id, e.originator_version, e.topic, e.state) for e in events), strict=True
        )
        return self._call_save.as_string(), (None, None, list(ids), list(versions), list(topics), list(states))

    def _save_by_function(
        self, connection: Connection[DictRow], events: Sequence[StoredEvent], tracking: Tracking | None
    ) -> list[int]:
        ids, versions, topics, states = zip(
            *((e.originator_id, e.originator_version, e.topic, e.state) for e in events), strict=True
        )
        found = connection.execute(
            self._call_save,
            (*_position(tracking), list(ids), list(versions), list(topics), list(states)),
            prepare=True,
        )
        return [position for row in found for position in row.values()]

    def _save_by_copy(
        self, connection: Connection[DictRow], events: Sequence[StoredEvent], tracking: Tracking | None
    ) -> list[int]:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(self._call_begin, _position(tracking))
            # Taken under the lock, so nobody else takes any between them, nor any lower one later.
            (row,) = cursor.execute(self._allocate, (len(events),)).fetchall()
            (positions,) = row.values()
            with cursor.copy(self._copy) as copy:
                copy.set_types(self._copied_types)
                for event, position in zip(events, positions, strict=True):
                    copy.write_row((event.originator_id, event.originator_version, event.topic, event.state, position))
        return list(positions)

    def create_table(self) -> None:
        """Make what is not there, and look whether the events are divided."""
        super().create_table()
        with self.datastore.get_connection() as connection:
            self._look_whether_divided(connection)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The events of a stream. EventsDetached when some of those that were asked for were taken off."""
        found: Sequence[StoredEvent] = super().select_events(originator_id, gt=gt, lte=lte, desc=desc, limit=limit)
        if found and not desc and found[0].originator_version != (gt or 0) + 1:
            raise EventsDetached(
                f"The events of {originator_id} before version {found[0].originator_version} were taken off this "
                "database. `tocsin record segments` lists what was; `tocsin record attach` puts it back."
            )
        return found

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Events in their order. EventsDetached when reading from the beginning would leave out what was taken off."""
        if not start:
            with self.datastore.get_connection() as connection:
                is_divided = self._look_whether_divided(connection)
                missing = [row["name"] for row in connection.execute(self._detached).fetchall()] if is_divided else []
            if missing:
                raise EventsDetached(
                    f"Reading from the beginning would leave out {', '.join(missing)}: `tocsin record attach` puts "
                    "segments back."
                )
        found: Sequence[Notification] = super().select_notifications(
            start, limit, stop, topics, inclusive_of_start=inclusive_of_start
        )
        return found

    def _look_whether_divided(self, connection: Connection[DictRow]) -> bool:
        if not self._is_divided and connection.execute(self._room_function).fetchall()[0]["there"]:
            self._is_divided = True
            self.select_events_statement = self._select_of_segments
        return self._is_divided

    def _make_room(self) -> None:
        """Keep segments ready ahead where the events are divided (`incidents.record.segments`)."""
        try:
            with self.datastore.get_connection() as connection:
                if self._look_whether_divided(connection):
                    (row,) = connection.execute(self._make_room_now).fetchall()
                    (self._look_for_room_at,) = row.values()
                else:
                    self._look_for_room_at = (self.max_notification_id() or 0) + _LOOK_FOR_ROOM
        except PersistenceError as error:
            # What was saved is saved; the next save tries again, long before the room is used up.
            log.error("record.no-room-made", reason=type(error).__name__)

    def _end_a_standstill(self) -> None:
        with self.datastore.get_connection() as connection:
            ended = connection.execute(self._end_standstill, (STANDSTILL_SECONDS,)).fetchall()
        log.warning("record.lock-waited", waited_seconds=self.datastore.lock_timeout, connections_ended=len(ended))


def _position(tracking: Tracking | None) -> tuple[str | None, int | None]:
    return (None, None) if tracking is None else (tracking.application_name, tracking.notification_id)


_BEGIN = """
CREATE OR REPLACE FUNCTION {begin}(wait text, follower text, reached bigint) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    IF follower IS NOT NULL THEN
        INSERT INTO {tracking} AS t (application_name, notification_id) VALUES (follower, reached)
        ON CONFLICT (application_name) DO UPDATE SET notification_id = reached WHERE t.notification_id < reached;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'Follower % is already at % or further.', follower, reached USING ERRCODE = '23505';
        END IF;
    END IF;
    PERFORM set_config('lock_timeout', wait, true);
    LOCK TABLE {events} IN EXCLUSIVE MODE;
    NOTIFY {channel};
END;
$body$
"""

_SAVE = """
CREATE OR REPLACE FUNCTION {save}(
    wait text, follower text, reached bigint, ids {id_type}[], versions bigint[], topics text[], states bytea[]
) RETURNS SETOF bigint LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM {begin}(wait, follower, reached);
    RETURN QUERY
    INSERT INTO {events} (originator_id, originator_version, topic, state)
    SELECT * FROM unnest(ids, versions, topics, states) RETURNING notification_id;
END;
$body$
"""
