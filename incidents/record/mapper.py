"""Events to bytes and back: pydantic-core straight to JSON, schema versions, upcasting.

The stored topic is `kind/version`; the stored state is compact UTF-8 JSON of all fields but the stream's id and
version, which have columns of their own. Reading an event of an older version runs its upcasters, one step each;
stored bytes are never rewritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast
from uuid import UUID

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, MapperDeserialisationError, StoredEvent, Transcoder

from incidents.record.event import Event

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes the state as version n stored it and returns it as version n + 1 would have."""

E = TypeVar("E", bound=type[Event])


class Registry:
    """The event classes by stored kind, and the steps from older schema versions to the present one."""

    def __init__(self, classes: Iterable[type[Event]] = ()) -> None:
        self._classes: dict[str, type[Event]] = {}
        self._upcasters: dict[tuple[str, int], Upcaster] = {}
        for cls in classes:
            self.add(cls)

    def add(self, cls: type[Event]) -> type[Event]:
        """Register a class under its kind. Two classes of one kind are a programming error."""
        if not cls.kind:
            raise ValueError(f"{cls.__qualname__} has no kind")
        if self._classes.setdefault(cls.kind, cls) is not cls:
            raise ValueError(f"two event classes are called {cls.kind}")
        return cls

    def add_upcaster(self, kind: str, from_version: int, step: Upcaster) -> None:
        """Register the step that turns a stored `from_version` of `kind` into `from_version` + 1."""
        self._upcasters[(kind, from_version)] = step

    @property
    def classes(self) -> dict[str, type[Event]]:
        return dict(self._classes)

    def resolve(self, topic: str) -> tuple[type[Event], int]:
        """The class and the stored schema version that a topic names. KeyError when nobody knows it."""
        kind, _, version = topic.rpartition("/")
        return self._classes[kind], int(version)

    def upcast(self, cls: type[Event], from_version: int, state: dict[str, Any]) -> dict[str, Any]:
        """Bring a stored state from `from_version` to the version of `cls`."""
        if from_version > cls.schema_version:
            raise ValueError(
                f"{cls.kind} was stored with schema {from_version}; this Tocsin knows up to {cls.schema_version}"
            )
        for version in range(from_version, cls.schema_version):
            state = self._upcasters[(cls.kind, version)](state)
        return state


_STREAM_FIELDS = {"originator_id", "originator_version"}


class EventMapper(Mapper[UUID]):
    """The library's mapper, with pydantic-core in place of dict-and-transcoder.

    `to_json` and `validate_json` run in Rust over the whole event at once, which is faster than building the
    dict that the stock transcoder wants.
    """

    def __init__(self, registry: Registry) -> None:
        super().__init__(transcoder=_NoTranscoder())
        self._registry = registry
        self._readers: dict[str, tuple[type[Event], int]] = {}

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        event = cast(Event, domain_event)
        cls = type(event)
        return StoredEvent(
            originator_id=event.originator_id,
            originator_version=event.originator_version,
            topic=f"{cls.kind}/{cls.schema_version}",
            state=cls.__pydantic_serializer__.to_json(event, exclude=_STREAM_FIELDS),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        try:
            reader = self._readers.get(stored_event.topic)
            if reader is None:
                reader = self._readers[stored_event.topic] = self._registry.resolve(stored_event.topic)
            cls, version = reader
            if version == cls.schema_version:
                return self._read(cls, stored_event)
            state = self._registry.upcast(cls, version, json.loads(stored_event.state))
            state["originator_id"] = stored_event.originator_id
            state["originator_version"] = stored_event.originator_version
            return cls.model_validate(state)
        except (KeyError, ValueError) as error:
            raise MapperDeserialisationError(
                f"Event {stored_event.originator_id}/{stored_event.originator_version} "
                f"of topic {stored_event.topic!r} cannot be read: {error}"
            ) from error

    @staticmethod
    def _read(event_class: type[Event], stored: StoredEvent) -> Event:
        # The stream's columns are spliced in as JSON so that one validate_json call does everything.
        head = b'{"originator_id":"%s","originator_version":%d,' % (
            cast(UUID, stored.originator_id).hex.encode(),  # read with and without dashes; this is faster
            stored.originator_version,
        )
        event: Event = event_class.__pydantic_validator__.validate_json(head + stored.state[1:])
        return event


class _NoTranscoder(Transcoder):
    """The library's mapper wants a transcoder; ours never calls it."""

    def encode(self, obj: Any) -> bytes:
        raise TypeError("events are encoded by pydantic")

    def decode(self, data: bytes) -> Any:
        raise TypeError("events are decoded by pydantic")
