"""One transaction of the database that saves events together with rows of other tables.

The library saves events on connections of its own. Here they are saved on the engine's connection, by the recorder's
own statement, so that rows which must not differ from the events by one instruction (how far a message queue has been
taken in, say) are in their transaction. Events go last: on PostgreSQL they take the lock that orders the commits of all
events, and nothing but the commit comes after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, cast
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteProcessRecorder
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from incidents.errors import Conflict, EventsDetached
from incidents.record.aggregate import Aggregate
from incidents.record.database import writing
from incidents.record.event import Event
from incidents.record.record import Record

if TYPE_CHECKING:
    from incidents.record.postgres_recorder import EventRecorder

A = TypeVar("A", bound=Aggregate)

_AT_ONCE = 500
"""Streams named by one statement on SQLite."""


class Transaction:
    """Reads and writes on `connection`; what `record` is given is saved as the block's last statement."""

    def __init__(self, record: Record, connection: Connection) -> None:
        self._record = record
        self.connection = connection
        self._events: list[Event] = []
        self._afterwards: list[Callable[[], None]] = []

    def record(self, *aggregates: Aggregate | None) -> None:
        """Save what these aggregates have emitted, in this order, when the block ends."""
        for aggregate in aggregates:
            if aggregate is not None:
                self._events += aggregate.collect_events()

    def afterwards(self, work: Callable[[], None]) -> None:
        """Call this once everything is saved."""
        self._afterwards.append(work)

    def find_many(
        self, kind: type[A], ids: Collection[UUID], *, known: Mapping[UUID, A] | None = None
    ) -> dict[UUID, A]:
        """Rebuild aggregates by few statements; ids that nothing is recorded of are left out.

        `known` are aggregates in an older state (nothing pending): only what is new is read, and folded into them. One
        whose last event is not on record any more (a database that failed over to a copy lost its last commits) is
        rebuilt from what there is.
        """
        known = known or {}
        found = {aggregate_id: known[aggregate_id] for aggregate_id in ids if aggregate_id in known}
        lost = set[object](found)
        others = set[object]()  # streams of another kind of thing
        for stored in self._stored(
            {aggregate_id: found[aggregate_id].version for aggregate_id in found}
            | {aggregate_id: 0 for aggregate_id in ids if aggregate_id not in found}
        ):
            if stored.originator_id in others:
                continue
            if stored.originator_id in lost:
                if stored.originator_version == found[cast(UUID, stored.originator_id)].version:
                    lost.discard(stored.originator_id)
                continue
            event = cast(Event, self._record.mapper.to_domain_event(stored))
            before = found.get(event.originator_id)
            if event.originator_version != (before.version if before else 0) + 1:
                raise EventsDetached(
                    f"The events of {event.originator_id} before version {event.originator_version} were taken off "
                    "this database. `tocsin record segments` lists what was; `tocsin record attach` puts it back."
                )
            aggregate = kind.project(before, (event,))
            if aggregate is None:
                others.add(event.originator_id)
            else:
                found[event.originator_id] = aggregate
        if lost:
            found = {one: aggregate for one, aggregate in found.items() if one not in lost}
            found |= self.find_many(kind, cast(set[UUID], lost))
        return found

    def _stored(self, since: Mapping[UUID, int]) -> Iterator[StoredEvent]:
        """Events of these streams from these versions on, each stream's in order."""
        fresh = [stream for stream, version in since.items() if version == 0]
        older = [stream for stream, version in since.items() if version > 0]
        on_server = self.connection.dialect.name == "postgresql"
        if on_server:
            condition = (
                "JOIN unnest(%s::uuid[], %s::bigint[]) AS wanted (stream, version) "
                "ON originator_id = stream AND originator_version >= version"
            )
            streams = [*fresh, *older]
            yield from self._select(condition, (streams, [since[stream] for stream in streams]))
            return
        for start in range(0, len(fresh), _AT_ONCE):
            part = [stream.hex for stream in fresh[start : start + _AT_ONCE]]
            yield from self._select(f"WHERE originator_id IN ({','.join('?' * len(part))})", tuple(part))
        for start in range(0, len(older), _AT_ONCE):
            known = older[start : start + _AT_ONCE]
            wanted = f"(VALUES {','.join(['(?,?)'] * len(known))}) AS wanted"
            # By name, or statistics may lead the planner to an index that it makes of the whole record each time.
            yield from self._select(
                f"INDEXED BY sqlite_autoindex_{self._table}_1 "
                f"JOIN {wanted} ON originator_id = column1 AND originator_version >= column2",
                tuple(value for stream in known for value in (stream.hex, since[stream])),
            )

    @property
    def _table(self) -> str:
        return cast(SQLiteProcessRecorder, self._record.recorder).events_table_name

    def _select(self, condition: str, parameters: tuple[object, ...]) -> Iterator[StoredEvent]:
        rows = self.connection.exec_driver_sql(
            f"SELECT originator_id, originator_version, topic, state FROM {self._table} {condition} "
            "ORDER BY originator_id, originator_version",
            parameters,
        )
        for stream, version, topic, state in rows:
            yield StoredEvent(stream if isinstance(stream, UUID) else UUID(stream), version, topic, bytes(state))

    def save(self) -> bool:
        """Insert the events. Returns whether there were any. Conflict when a version of a stream is taken."""
        if not self._events:
            return False
        stored = [self._record.mapper.to_stored_event(event) for event in self._events]
        try:
            if self.connection.dialect.name == "postgresql":
                self._save_on_server(stored)
            else:
                rows = [
                    (cast(UUID, one.originator_id).hex, one.originator_version, one.topic, one.state) for one in stored
                ]
                insert = cast(SQLiteProcessRecorder, self._record.recorder).insert_events_statement
                self.connection.exec_driver_sql(insert, rows)
        except IntegrityError as error:
            raise Conflict(
                "Somebody else recorded something here first. Load it again and repeat the command."
            ) from error
        return True

    def _save_on_server(self, stored: Sequence[StoredEvent]) -> None:
        recorder = cast("EventRecorder", self._record.recorder)
        try:
            positions = self.connection.exec_driver_sql(*recorder.saving(stored)).scalars().all()
        except DBAPIError as error:
            recorder.failed(error.orig)
            raise
        self.afterwards(lambda: recorder.saved(positions[-1]))

    def close(self, *, recorded: bool) -> None:
        """Everything is saved: wake the followers, do what was to be done afterwards."""
        for work in self._afterwards:
            work()
        if recorded:
            self._record.wake()


@contextmanager
def transaction(record: Record, engine: Engine) -> Iterator[Transaction]:
    """A transaction that saves rows and events together, or nothing. `engine` is of the record's own database.

    Conflict when another writer was first.
    """
    with writing(engine) as connection:
        work = Transaction(record, connection)
        yield work
        recorded = work.save()
    work.close(recorded=recorded)
