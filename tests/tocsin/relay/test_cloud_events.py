"""An event as a CloudEvent: the envelope, the key, the stored bytes, the older schemas."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import Notification

from incidents.alerts.events import AlertReceived
from incidents.clock import ManualClock
from incidents.incident.events import AlertSummary, IncidentReported
from incidents.record import Event, Record, Registry
from incidents.record.mapper import EventMapper
from incidents.tracing import traceparent_of
from notifier.campaigns.events import DeliveriesRecorded
from playbooks.duties.events import DutyWaived
from tests.projections.stories import Teller, many_stories
from tests.relayed import key_of
from tocsin.relay.cloud_events import CloudEvents, Message, Mode, recorded_at

SOURCE = "https://tocsin.example"
INCIDENT = UUID("5f2c1f0a-6b35-4d59-9e0c-0d6a8f2a4b11")
STREAM = UUID("0b9f9f52-3d0c-4c0f-8a1b-9b6f5c1d2e3f")
WHEN = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
COMMON: dict[str, Any] = {
    "originator_version": 3,
    "actor": "user:lan",
    "recorded_at": WHEN,
    "happened_at": WHEN,
    "cause": "command:6d0f3f38-5d15-4a2d-8f2e-1f8a2f6c7d10",
}
REGISTRY = Registry([IncidentReported, AlertReceived, DutyWaived, DeliveriesRecorded])


def at(position: int, stream: Any, version: int, topic: str, state: bytes) -> Notification:
    return Notification(id=position, originator_id=stream, originator_version=version, topic=topic, state=state)


def stored(event: Event, position: int = 41) -> Notification:
    row = EventMapper(REGISTRY).to_stored_event(event)
    return at(position, row.originator_id, row.originator_version, row.topic, row.state)


def waived() -> DutyWaived:
    return DutyWaived(originator_id=STREAM, incident_id=INCIDENT, duty_id="d", reason='加密，未泄露 "quoted"', **COMMON)


def test_structured_mode_has_every_attribute_and_the_stored_bytes() -> None:
    row = stored(waived())

    message = CloudEvents(REGISTRY, SOURCE + "/").message(row)

    assert message.key == str(INCIDENT).encode()
    assert message.value.endswith(b'"data":' + row.state + b"}")
    assert dict(message.headers)["content-type"] == b"application/cloudevents+json; charset=UTF-8"
    assert dict(message.headers)["traceparent"].decode() == traceparent_of(INCIDENT)
    assert json.loads(message.value) == {
        "specversion": "1.0",
        "id": f"{STREAM}/3",
        "source": SOURCE,
        "type": "tocsin.duty.waived.v1",
        "dataschema": f"{SOURCE}/v1/events/schemas/duty.waived.v1",
        "datacontenttype": "application/json",
        "subject": str(STREAM),
        "time": "2026-11-20T01:00:00Z",
        "sequence": "00000000000000000041",
        "partitionkey": str(INCIDENT),
        "traceparent": traceparent_of(INCIDENT),
        "data": json.loads(row.state),
    }


def test_binary_mode_says_the_same_in_headers() -> None:
    row = stored(waived())

    structured = json.loads(CloudEvents(REGISTRY, SOURCE).message(row).value)
    binary = CloudEvents(REGISTRY, SOURCE, mode=Mode.BINARY).message(row)

    headers = {name: value.decode() for name, value in binary.headers}
    assert binary.value == row.state
    assert headers.pop("content-type") == structured.pop("datacontenttype")
    assert headers.pop("traceparent") == structured["traceparent"]
    del structured["data"]
    assert headers == {f"ce_{name}": value for name, value in structured.items()}


def test_the_same_event_gives_the_same_bytes_again() -> None:
    row = stored(waived())

    assert CloudEvents(REGISTRY, SOURCE).message(row) == CloudEvents(REGISTRY, SOURCE).message(row)


def test_positions_compare_as_text() -> None:
    events = CloudEvents(REGISTRY, SOURCE)

    sequences = [json.loads(events.message(stored(waived(), n)).value)["sequence"] for n in (9, 10, 99, 100_000)]

    assert sequences == sorted(sequences)


def test_an_alert_is_ordered_within_its_own_stream_whatever_incident_it_names() -> None:
    alert = AlertSummary(
        alert_id=STREAM, dialect="wazuh", source="s", rule="r", title="t", severity_id=4, digest="d", detected_at=WHEN
    )
    with_one = AlertReceived(
        originator_id=STREAM, alert=alert, correlation_key="k", incident_id=INCIDENT, outcome="linked", **COMMON
    )

    message = CloudEvents(REGISTRY, SOURCE).message(stored(with_one))

    assert message.key == str(STREAM).encode()
    assert "traceparent" not in json.loads(message.value)


def test_an_incident_is_its_own_key() -> None:
    event = IncidentReported(originator_id=INCIDENT, title="t", reported_by="person", **COMMON)

    message = CloudEvents(REGISTRY, SOURCE).message(stored(event))

    assert message.key == str(INCIDENT).encode()
    assert json.loads(message.value)["traceparent"] == traceparent_of(INCIDENT)


def test_every_event_of_many_stories_has_the_key_of_its_incident(record: Record, clock: ManualClock) -> None:
    """Whatever the order of fields, and however large: what is cut out of the bytes is what the event says."""
    for _ in many_stories(Teller(record, clock), 3):
        pass
    events = CloudEvents(record.registry, SOURCE)
    rows = record.recorder.select_notifications(start=0, limit=100_000, inclusive_of_start=False)

    assert len(rows) > 100
    for row, recorded in zip(rows, record.read(0, 100_000), strict=True):
        message = events.message(row)
        envelope = json.loads(message.value)
        assert message.key.decode() == key_of(recorded.event)
        assert datetime.fromisoformat(envelope["time"]) == recorded_at(row) == recorded.event.recorded_at
        assert envelope["data"] == json.loads(row.state)


class Renamed(Event, kind="test.renamed", version=3):
    """Had another field before, and none at first."""

    incident_id: UUID
    reason: str
    weight: int


def renamed(version: int, state: dict[str, Any]) -> Message:
    registry = Registry([Renamed])
    registry.add_upcaster("test.renamed", 1, lambda state: {**state, "why": "not said"})
    registry.add_upcaster(
        "test.renamed",
        2,
        lambda state: {**{k: v for k, v in state.items() if k != "why"}, "reason": state["why"], "weight": 1},
    )
    base = {"actor": "user:lan", "recorded_at": "2026-11-20T01:00:00Z", "happened_at": "2026-11-20T01:00:00Z"}
    written = {**base, "cause": COMMON["cause"], "incident_id": str(INCIDENT), **state}
    row = at(7, STREAM, 1, f"test.renamed/{version}", json.dumps(written).encode())
    return CloudEvents(registry, SOURCE).message(row)


@pytest.mark.parametrize(("version", "state"), [(1, {}), (2, {"why": "because"}), (3, {"reason": "r", "weight": 2})])
def test_older_schemas_are_brought_up(version: int, state: dict[str, Any]) -> None:
    message = renamed(version, state)

    envelope = json.loads(message.value)
    data = envelope["data"]
    assert envelope["type"] == "tocsin.test.renamed.v3"
    assert (data["reason"], data["weight"]) == {1: ("not said", 1), 2: ("because", 1), 3: ("r", 2)}[version]
    assert "why" not in data
    assert "originator_id" not in data
    assert message.key == str(INCIDENT).encode()


@pytest.mark.parametrize("topic", ["test.renamed/4", "test.from-the-future/1"])
def test_what_a_newer_program_wrote_goes_out_as_stored(topic: str) -> None:
    """During an upgrade old and new run side by side; the old relay must neither stop nor leave gaps."""
    state = {"recorded_at": "2026-11-20T01:00:00Z", "new": {"incident_id": str(uuid4())}, "incident_id": str(INCIDENT)}
    row = at(7, STREAM, 1, topic, json.dumps(state).encode())

    message = CloudEvents(Registry([Renamed]), SOURCE).message(row)

    envelope = json.loads(message.value)
    kind, _, version = topic.partition("/")
    assert envelope["type"] == f"tocsin.{kind}.v{version}"
    assert envelope["data"] == state
    assert message.key == str(INCIDENT).encode()
