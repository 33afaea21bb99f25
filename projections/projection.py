"""What a projection is: the event kinds it wants, its tables, and a fold from a batch of events to rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Connection, Table

from incidents.incident import events as incident_events
from incidents.record import Event, Recorded


class Projection(ABC):
    """A read model. `version` is raised when the fold or the tables change; the runner then builds it anew."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    events: ClassVar[tuple[type[Event], ...]]
    """The event classes that it folds; the runner hands it no other."""
    tables: ClassVar[tuple[Table, ...]]
    weights: ClassVar[Mapping[str, Callable[[Any], int]]] = {}
    """How many rows an event of a kind may touch, where that is many; the runner reads less at once then."""

    @abstractmethod
    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        """Write what a batch of events means, in the caller's transaction, with statements over many rows.

        It depends on nothing but the rows of this generation and the events: no clock, no other table.
        """

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(event.kind for event in self.events)


_INCIDENT_EVENTS = incident_events.EVENTS


def incident_of(event: Event) -> UUID:
    """The incident that an event belongs to: its own stream, or the one that it names."""
    if isinstance(event, _INCIDENT_EVENTS):
        return event.originator_id
    incident_id: UUID = event.incident_id  # type: ignore[attr-defined]
    return incident_id


def incidents_in(batch: Iterable[Recorded]) -> set[tuple[UUID]]:
    """The keys of all incidents that a batch touches."""
    return {(incident_of(recorded.event),) for recorded in batch}


LAST_INSTANT = datetime.fromisoformat("9999-12-31T00:00:00+00:00")
"""Stands in sort columns for "no time", so that keyset paging meets no NULL."""
