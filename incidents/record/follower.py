"""Following the record: read a batch of events, act on each, keep the position.

A follower's position and the events it adds are saved in one transaction, so that a kill between reading and
acting repeats the work and a kill after it does not. Handlers must decide from recorded state only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from uuid import UUID

import structlog
from eventsourcing.persistence import IntegrityError, PersistenceError, Tracking
from sqlalchemy.exc import SQLAlchemyError

from incidents.errors import Conflict
from incidents.record.aggregate import Aggregate
from incidents.record.event import Event
from incidents.record.record import MAX_ATTEMPTS, Record, Recorded
from incidents.tracing import incident_span, span

log = structlog.get_logger(__name__)

PARK_AFTER = 5
"""Failures at one event after which it is passed over."""

PASSING = (PersistenceError, SQLAlchemyError, OSError, Conflict)
"""Faults that pass by themselves."""

_OWN_STREAM = "incident."
"""Events of this kind are in the stream of their incident; others name it, if they have one."""

GoesOn = Callable[[], bool]
Handler = Callable[[Recorded], Sequence[Aggregate]]
"""Takes an event, returns the changed aggregates to save with the position (often none)."""


def incident_named_by(event: Event) -> UUID | None:
    """The incident that an event is about; None for what is about none (assets, parties)."""
    named: UUID | None = getattr(event, "incident_id", None)
    return event.originator_id if named is None and event.kind.startswith(_OWN_STREAM) else named


class Follower:
    """Reads the record from where it stopped and hands each event of the wanted kinds to a handler."""

    def __init__(
        self,
        record: Record,
        name: str,
        handler: Handler,
        *,
        kinds: Sequence[str],
        batch: int = 200,
        newest_of: Callable[[Event], Hashable] | None = None,
        concerns: Callable[[Event], bool] | None = None,
        start: int = 0,
    ) -> None:
        """With `newest_of`, only the newest event of each key in a batch is handled: for handlers that look at the
        present state of what the key names, and would find the same for each of them. With `concerns`, other events are
        passed over. A follower that never saved a position begins after `start`."""
        self._record = record
        self.name = name
        self._handler = handler
        self._kinds = tuple(kinds)
        self._batch = batch
        self._newest_of = newest_of
        self._concerns = concerns
        self._start = start
        self._failing_at = 0
        self._failures = 0
        self.parked: list[int] = []
        """Positions of events that could not be handled and were passed over by this process."""

    @property
    def position(self) -> int:
        """How far it has come."""
        return max(self._start, self._record.position_of(self.name))

    def oldest_waiting(self) -> Recorded | None:
        """The oldest event of the wanted kinds that is not handled yet; None when all are."""
        return next(iter(self._record.read(self.position, 1, kinds=self._kinds)), None)

    def is_caught_up(self) -> bool:
        """Whether there is nothing new of the wanted kinds."""
        return self.oldest_waiting() is None

    def run_once(self, goes_on: GoesOn = lambda: True) -> int:
        """Handle one batch. Returns how many events were read (0: nothing new of the wanted kinds).

        `goes_on` is asked before each event; once it says no, the rest is left to the next turn, whoever's that is.
        """
        position = self.position
        batch = self._record.read(position, self._batch, kinds=self._kinds)
        saved = position
        for recorded in self._to_handle(batch):
            if not goes_on():
                return 0
            if self._handle_or_park(recorded):
                saved = recorded.position
        if batch and batch[-1].position > saved:
            self._save_position(batch[-1].position)
        return len(batch)

    def _to_handle(self, batch: Sequence[Recorded]) -> Sequence[Recorded]:
        if self._concerns is not None:
            batch = [recorded for recorded in batch if self._concerns(recorded.event)]
        if self._newest_of is None:
            return batch
        newest = {self._newest_of(recorded.event): recorded for recorded in batch}
        return sorted(newest.values(), key=lambda recorded: recorded.position)

    def _handle_or_park(self, recorded: Recorded) -> bool:
        """Handle an event; after `PARK_AFTER` failures that repeating cannot mend, pass over it, loudly.

        One event that cannot be handled must not stop the clocks of all other incidents. A database that is away or a
        full disk is another matter: then nothing is passed over, the work waits.
        """
        try:
            return self._handle(recorded)
        except PASSING:
            raise
        except Exception:
            # Whatever it was, it is logged with its trace here, counted by the worker, and shown by readiness.
            self._failures = self._failures + 1 if self._failing_at == recorded.position else 1
            self._failing_at = recorded.position
            if self._failures < PARK_AFTER:
                raise
            log.exception(
                "follower.parked", follower=self.name, position=recorded.position, reference=recorded.event.reference
            )
            self.parked.append(recorded.position)
            return False

    def _handle(self, recorded: Recorded) -> bool:
        """Returns whether the position was saved along with effects."""
        event = recorded.event
        said = {"tocsin.event": event.kind, "tocsin.cause": event.reference}
        incident_id = incident_named_by(event)
        with span(self.name, said) if incident_id is None else incident_span(self.name, incident_id, said):
            return self._handled(recorded)

    def _handled(self, recorded: Recorded) -> bool:
        tracking = Tracking(self.name, recorded.position)
        for attempt in range(MAX_ATTEMPTS):
            changed = [a for a in self._handler(recorded) if a is not None]
            if not changed:
                return False
            try:
                self._record.commit(*changed, tracking=tracking)
            except Conflict:
                if self.position >= recorded.position:
                    return True  # another process of the same follower was faster
                log.info("follower.repeats", follower=self.name, position=recorded.position, attempt=attempt)
                continue
            return True
        raise Conflict(f"Follower {self.name} could not save its effects at position {recorded.position}.")

    def _save_position(self, position: int) -> None:
        try:
            self._record.process_recorder.insert_tracking(Tracking(self.name, position))
        except IntegrityError:
            # Another process of the same follower is already further; positions only grow.
            log.info("follower.overtaken", follower=self.name, position=position)

    def drain(self, stop: threading.Event | None = None) -> int:
        """Run until nothing is left (or `stop` is set). Returns how many events were handled."""
        total = 0
        while (stop is None or not stop.is_set()) and (handled := self.run_once()):
            total += handled
        return total
