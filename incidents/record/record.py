"""The record: the one sequence of all events, on the `eventsourcing` library's recorders.

`Record` is an application of that library with our mapper and a process recorder, so that a position can be saved
in the transaction that holds its effects. SQLite and PostgreSQL differ only in the settings given to `open_record`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, TypeVar, cast
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError, Application, ProcessingEvent
from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    Mapper,
    Notification,
    PersistenceError,
    ProcessRecorder,
    Recording,
    Tracking,
)
from sqlalchemy.engine import URL, make_url

from incidents.errors import Conflict, NotFound
from incidents.record.aggregate import Aggregate
from incidents.record.database import CONNECTIONS, PATIENCE, open_engine, turns
from incidents.record.event import Event
from incidents.record.mapper import EventMapper, Registry

A = TypeVar("A", bound=Aggregate)
T = TypeVar("T")

MAX_ATTEMPTS = 8
"""How often `retrying` repeats a command that lost a race before it gives the conflict to the caller."""


_OPENING = 0x746F6373_0001
"""The advisory lock that openings of one PostgreSQL record wait for."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event and its position in the one sequence (positions grow, gaps are possible, none is ever reused)."""

    position: int
    event: Event


class Record(Application[UUID]):
    """All events of one installation."""

    name = "tocsin"

    def __init__(self, registry: Registry, env: dict[str, str]) -> None:
        self._registry = registry
        self._wakers: list[Callable[[], None]] = []
        super().__init__(env)

    def construct_mapper(self) -> Mapper[UUID]:
        return EventMapper(self._registry)

    def construct_recorder(self) -> ApplicationRecorder:
        return self.factory.process_recorder()

    @property
    def registry(self) -> Registry:
        return self._registry

    @property
    def process_recorder(self) -> ProcessRecorder:
        return cast(ProcessRecorder, self.recorder)

    def load(self, kind: type[A], aggregate_id: UUID, *, version: int | None = None) -> A:
        """Rebuild an aggregate. NotFound when no event names it."""
        found = self.find(kind, aggregate_id, version=version)
        if found is None:
            raise NotFound(f"There is no {kind.__name__.lower()} {aggregate_id}.", field="id")
        return found

    def find(self, kind: type[A], aggregate_id: UUID, *, version: int | None = None) -> A | None:
        """Rebuild an aggregate, or None when no event names it."""
        try:
            found: A | None = self.repository.get(
                aggregate_id,
                version=version,
                projector_func=cast(Any, kind.project),
            )
        except AggregateNotFoundError:
            return None
        return found

    def find_as_of(self, kind: type[A], aggregate_id: UUID, as_of: datetime) -> A | None:
        """The aggregate as it was on record at an instant; None when nothing of it had been recorded by then."""
        return kind.project(None, self.stream_until(aggregate_id, as_of))

    def stream_until(self, aggregate_id: UUID, as_of: datetime) -> Iterator[Event]:
        """The events of one stream up to the first that was recorded after an instant.

        A machine's clock may have been put back: what follows such an event was decided in its knowledge, and so is
        left out with it, whatever its own time says.
        """
        return takewhile(lambda event: event.recorded_at <= as_of, self.stream(aggregate_id))

    def commit(self, *aggregates: Aggregate | None, tracking: Tracking | None = None) -> list[int]:
        """Save all pending events of these aggregates in one transaction, with a follower's position if given.

        Returns the positions. Conflict when another writer was first: nothing was saved.
        """
        processing: ProcessingEvent[UUID] = ProcessingEvent(tracking=tracking)
        for aggregate in aggregates:
            if aggregate is not None:
                processing.collect_events(*cast(Any, aggregate.collect_events()))
        if not processing.events and tracking is None:
            return []
        if not processing.events and tracking is not None:
            self.process_recorder.insert_tracking(tracking)
            return []
        try:
            recordings: list[Recording[UUID]] = self._record(processing)
        except IntegrityError as error:
            raise Conflict(
                "Somebody else recorded something here first. Load it again and repeat the command."
            ) from error
        self.wake()
        return [recording.notification.id for recording in recordings]

    def read(self, after: int, limit: int, *, kinds: Sequence[str] = ()) -> list[Recorded]:
        """The next events after a position, oldest first."""
        topics = [
            f"{kind}/{version}"
            for kind in kinds
            for version in range(1, self._registry.classes[kind].schema_version + 1)
        ]
        return [
            self._recorded(notification)
            for notification in self.recorder.select_notifications(
                start=after, limit=limit, topics=topics, inclusive_of_start=False
            )
        ]

    def stream(self, aggregate_id: UUID, *, after: int = 0) -> Iterator[Event]:
        """The events of one stream, oldest first."""
        return cast(Iterator[Event], self.events.get(aggregate_id, gt=after))

    def head(self) -> int:
        """The position of the newest event, 0 when there is none."""
        return self.recorder.max_notification_id() or 0

    def position_of(self, follower: str) -> int:
        """How far a follower has come."""
        return self.process_recorder.max_tracking_id(follower) or 0

    def add_waker(self, waker: Callable[[], None]) -> None:
        """Call `waker` after every commit of this process, so that followers need not poll fast."""
        self._wakers.append(waker)

    def remove_waker(self, waker: Callable[[], None]) -> None:
        """Stop calling it."""
        self._wakers.remove(waker)

    @contextmanager
    def waking(self, waker: Callable[[], None]) -> Iterator[None]:
        """`add_waker` for as long as a block runs."""
        self.add_waker(waker)
        try:
            yield
        finally:
            self.remove_waker(waker)

    def wake(self) -> None:
        """Call the wakers: something was recorded."""
        for waker in tuple(self._wakers):
            waker()

    def _recorded(self, notification: Notification) -> Recorded:
        return Recorded(notification.id, cast(Event, self.mapper.to_domain_event(notification)))


def retrying(command: Callable[[], T], *, attempts: int = MAX_ATTEMPTS) -> T:
    """Run a command that loads, decides and saves; run it again from the load when another writer was first."""
    for _ in range(attempts - 1):
        try:
            return command()
        except Conflict:
            continue
    return command()


def open_record(url: str, registry: Registry, *, patience: int = PATIENCE, connections: int = CONNECTIONS) -> Record:
    """Open the record named by a database address (`sqlite:///path` or `postgresql://user:pass@host:port/db`, with
    libpq's parameters such as `?sslmode=verify-full&sslrootcert=...`).

    Any number of processes may open a fresh one at once.
    """
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        return _open_sqlite(address, registry)
    from incidents.record.postgres import settings_of  # its driver is installed with the extra `postgres`

    with _alone(url):
        return Record(registry, settings_of(address, patience=patience, connections=connections))


def _open_sqlite(address: URL, registry: Registry) -> Record:
    if not address.database:
        raise ValueError("the record needs a file: sqlite:///path")
    settings = {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": address.database,
        "SQLITE_LOCK_TIMEOUT": "30",
    }
    for last in turns():
        try:
            return Record(registry, settings)
        except (PersistenceError, sqlite3.OperationalError):
            # The library sets up a fresh file in several steps, and its first does not wait for its turn; of two
            # openings at once the later one trips over the earlier, and finds everything in place the next time.
            if last:
                raise
    raise AssertionError("the last try returns or raises")


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """One process at a time: the library creates its tables with statements that fail when two run them at once."""
    engine = open_engine(url)
    try:
        with engine.connect() as connection, connection.begin():
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_OPENING})")
            yield
    finally:
        engine.dispose()
