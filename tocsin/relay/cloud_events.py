"""Events as CloudEvents 1.0 (structured or binary mode of the Kafka binding).

Events are stored as JSON already, so an event of the present schema is not decoded: its stored bytes are put into the
envelope as they are. Only an event of an older schema is decoded, brought up and encoded again.

Sources: CloudEvents 1.0.2 with its JSON format, Kafka protocol binding, and the extensions `partitionkey`, `sequence`
and `traceparent`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote
from uuid import UUID

import structlog

from incidents.record import Event, Registry
from incidents.tracing import traceparent_of

log = structlog.get_logger(__name__)

SPEC_VERSION = "1.0"
TYPE_PREFIX = "tocsin"
STRUCTURED = "application/cloudevents+json; charset=UTF-8"
JSON = "application/json"
SEQUENCE_DIGITS = 20
"""Positions are padded, because `sequence` is compared as text."""

OWN_STREAM = frozenset({"alert", "correlation"})
"""Kinds whose events name an incident but are ordered within their own stream: an alert exists before its incident, and
a correlation key outlives it, so the incident differs from event to event of one stream."""

_STRUCTURED = ("content-type", STRUCTURED.encode())
_HEAD = re.compile(
    rb'\{"actor":"[^"\\]*","recorded_at":"([^"\\]*)","happened_at":"[^"\\]*","cause":"[^"\\]*"'
    rb'(?:,"incident_id":"([0-9a-f-]{36})")?'
)
"""How the mapper writes the fields that all events have, and the incident where it comes right after them."""


class StoredEvent(Protocol):
    """What is read of a row of the record."""

    @property
    def id(self) -> int:
        """The position."""
        ...

    @property
    def originator_id(self) -> UUID | str: ...

    @property
    def originator_version(self) -> int: ...

    @property
    def topic(self) -> str: ...

    @property
    def state(self) -> bytes: ...


def recorded_at(event: StoredEvent) -> datetime:
    """When an event was recorded, whether this program knows it or not."""
    head = _HEAD.match(event.state)
    return datetime.fromisoformat(head[1].decode() if head else json.loads(event.state)["recorded_at"])


class Mode(StrEnum):
    """Where the attributes go: into the value beside the data, or into headers with the data alone as the value."""

    STRUCTURED = "structured"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent to Kafka for one event."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


TraceOf = Callable[[UUID], str]
"""The `traceparent` (W3C Trace Context) of an incident."""


def type_of(kind: str, version: int) -> str:
    """The `type` attribute: `tocsin.incident.reported.v1`."""
    return f"{TYPE_PREFIX}.{kind}.v{version}"


def id_of(stream: UUID | str, version: int) -> str:
    """The `id` attribute: what other events call this one in their `cause`, after `event:`."""
    return f"{stream}/{version}"


@dataclass(frozen=True, slots=True)
class _Form:
    """What all events of one stored topic have in common."""

    kind: str
    newer: type[Event] | None
    """The class to bring an event of an older schema up to; None when its bytes go out as they are."""
    stored_version: int
    by_incident: bool
    """Whether its incident is named in it and orders it."""
    of_incident: bool
    """Whether the key is an incident's id."""
    opening: bytes
    """The structured envelope up to the id."""
    headers: tuple[tuple[str, bytes], ...]


class CloudEvents:
    """Turns stored events into messages. Pure: the same event gives the same message, every time it is sent."""

    def __init__(
        self, registry: Registry, source: str, *, mode: Mode = Mode.STRUCTURED, trace_of: TraceOf = traceparent_of
    ) -> None:
        """`source` is a URI that names this installation; `dataschema` is made from it."""
        self._registry = registry
        self._source = source.rstrip("/")
        self._mode = mode
        self._trace_of = lru_cache(maxsize=10_000)(lambda incident: trace_of(UUID(incident.decode())).encode())
        self._forms: dict[str, _Form] = {}

    def message(self, event: StoredEvent) -> Message:
        """The message for one event. ValueError for stored bytes that are not an event's."""
        form = self._forms.get(event.topic)
        if form is None:
            form = self._forms[event.topic] = self._form(event.topic)
        state = event.state if form.newer is None else self._brought_up(form, event)
        stream = str(event.originator_id).encode()
        time, key = self._read(form, stream, state)
        trace = self._trace_of(key) if form.of_incident else None
        if self._mode is Mode.BINARY:
            return Message(key, bytes(state), self._headers(form, event, time, key, trace))
        value = b'%s"%s/%d","subject":"%s","time":"%s","sequence":"%020d","partitionkey":"%s",%s"data":%s}' % (
            form.opening,
            stream,
            event.originator_version,
            stream,
            time,
            event.id,
            key,
            b"" if trace is None else b'"traceparent":"%s",' % trace,
            state,
        )
        return Message(key, value, [_STRUCTURED] if trace is None else [_STRUCTURED, ("traceparent", trace)])

    def _headers(
        self, form: _Form, event: StoredEvent, time: bytes, key: bytes, trace: bytes | None
    ) -> list[tuple[str, bytes]]:
        return [
            *form.headers,
            ("ce_id", id_of(event.originator_id, event.originator_version).encode()),
            ("ce_subject", str(event.originator_id).encode()),
            ("ce_time", time),
            ("ce_sequence", b"%020d" % event.id),
            ("ce_partitionkey", key),
            *([] if trace is None else [("ce_traceparent", trace), ("traceparent", trace)]),
        ]

    def _form(self, topic: str) -> _Form:
        kind, _, number = topic.rpartition("/")
        stored_version = int(number)
        known = self._registry.classes.get(kind)
        if known is None or known.schema_version < stored_version:
            # A newer program writes beside this one. Its bytes are of the newest schema there is.
            log.warning("relay.newer-event", topic=topic, reason="this program does not know it; sent as stored")
        newer = known if known is not None and known.schema_version > stored_version else None
        version = known.schema_version if newer and known else stored_version
        room = kind.partition(".")[0]
        by_incident = room not in OWN_STREAM and (known is None or "incident_id" in known.model_fields)
        return _Form(
            kind=kind,
            newer=newer,
            stored_version=stored_version,
            by_incident=by_incident,
            of_incident=room == "incident" or (by_incident and known is not None),
            opening=self._opening(kind, version),
            headers=self._common_headers(kind, version),
        )

    def _attributes(self, kind: str, version: int) -> dict[str, str]:
        return {
            "specversion": SPEC_VERSION,
            "source": self._source,
            "type": type_of(kind, version),
            "dataschema": f"{self._source}/v1/events/schemas/{quote(f'{kind}.v{version}')}",
        }

    def _opening(self, kind: str, version: int) -> bytes:
        attributes = {**self._attributes(kind, version), "datacontenttype": JSON}
        return json.dumps(attributes, separators=(",", ":")).encode()[:-1] + b',"id":'

    def _common_headers(self, kind: str, version: int) -> tuple[tuple[str, bytes], ...]:
        attributes = self._attributes(kind, version)
        return (("content-type", JSON.encode()), *((f"ce_{name}", text.encode()) for name, text in attributes.items()))

    @staticmethod
    def _read(form: _Form, stream: bytes, state: bytes) -> tuple[bytes, bytes]:
        """The instant of recording, and the key."""
        head = _HEAD.match(state)
        if head is not None and (not form.by_incident or head[2] is not None):
            return head[1], head[2] if form.by_incident else stream
        read = json.loads(state)
        incident = read.get("incident_id") if form.by_incident else None
        return str(read["recorded_at"]).encode(), incident.encode() if isinstance(incident, str) else stream

    def _brought_up(self, form: _Form, event: StoredEvent) -> bytes:
        assert form.newer is not None  # noqa: S101 - only called for forms that have one
        state = self._registry.upcast(form.newer, form.stored_version, json.loads(event.state))
        state["originator_id"] = event.originator_id
        state["originator_version"] = event.originator_version
        present = form.newer.model_validate(state)
        return present.model_dump_json(exclude={"originator_id", "originator_version"}).encode()
