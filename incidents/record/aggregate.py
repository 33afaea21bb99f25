"""The base of everything that is rebuilt from its own events.

A command method checks the rules and calls `emit`; `apply` folds an event into the state and never refuses.
A command repeated with the same cause has no second effect: the aggregate remembers the causes it has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, ClassVar, Self, TypeVar
from uuid import UUID

from incidents.record.event import Context, Event

A = TypeVar("A", bound="Aggregate")


class Aggregate:
    """State folded from events. Subclasses register folds with `@folds(EventClass)` on methods."""

    _folds: ClassVar[dict[type[Event], str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._folds = dict(cls._folds)
        for name, member in vars(cls).items():
            for event_class in getattr(member, "__folds__", ()):
                cls._folds[event_class] = name

    def __init__(self, aggregate_id: UUID) -> None:
        self.id = aggregate_id
        self.version = 0
        self.modified_at: datetime | None = None
        self._causes: set[str] = set()
        self._pending: list[Event] = []

    def has_done(self, context: Context) -> bool:
        """Whether a command of this cause already had its effect here (promise 4)."""
        return context.cause in self._causes

    def emit(self, event_class: type[Event], context: Context, **payload: Any) -> None:
        """Record that something happened: build the event, fold it in, keep it for `collect_events`."""
        event = event_class(
            originator_id=self.id,
            originator_version=self.version + 1,
            actor=context.actor,
            cause=context.cause,
            recorded_at=context.recorded_at,
            happened_at=context.happened_at or context.recorded_at,
            **payload,
        )
        self._fold(event)
        self._pending.append(event)

    @property
    def has_pending(self) -> bool:
        """Whether something was emitted that is not saved yet."""
        return bool(self._pending)

    def collect_events(self) -> list[Event]:
        """Hand over what was emitted since the last call (the library's CollectEventsProtocol)."""
        pending, self._pending = self._pending, []
        return pending

    def _fold(self, event: Event) -> None:
        fold = self._folds.get(type(event))
        if fold is not None:
            getattr(self, fold)(event)
        self.version = event.originator_version
        self.modified_at = event.recorded_at
        self._causes.add(event.cause)

    @classmethod
    def project(cls, aggregate: Self | None, events: Iterable[Event]) -> Self | None:
        """The library's projector function: fold events into an aggregate, starting from nothing if None.

        The first event of a stream says what kind of thing it is; a stream of another kind gives None.
        """
        for event in events:
            if aggregate is None:
                if type(event) not in cls._folds:
                    return None  # the stream of another kind of thing: there is no such aggregate here
                aggregate = cls(event.originator_id)
            aggregate._fold(event)
        return aggregate


def folds(*event_classes: type[Event]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a method as the one that folds these events into the state."""

    def mark(method: Callable[..., None]) -> Callable[..., None]:
        method.__folds__ = event_classes  # type: ignore[attr-defined]
        return method

    return mark
