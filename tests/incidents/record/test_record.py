"""The record keeps what it is given, in order, once, and says so clearly when two want the same place."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest
from eventsourcing.persistence import MapperDeserialisationError, StoredEvent

from incidents.clock import ManualClock
from incidents.errors import Conflict, NotFound
from incidents.incident.events import IncidentReported, NoteAdded
from incidents.incident.incident import Incident
from incidents.record import Context, Record, retrying
from playbooks.runs.run import Run
from tests.conftest import NIGHT, ContextMaker


def reported(record: Record, analyst: ContextMaker) -> Incident:
    incident = Incident.report(uuid4(), analyst(), title="Odd traffic from the billing database")
    record.commit(incident)
    return incident


def test_an_aggregate_comes_back_as_it_was_saved(record: Record, analyst: ContextMaker) -> None:
    incident = reported(record, analyst)
    incident.triage(analyst(), "Confirmed on the host.")
    record.commit(incident)

    again = record.load(Incident, incident.id)

    assert (again.title, again.phase, again.version) == (incident.title, "triaged", 2)


def test_every_event_says_who_when_and_why(record: Record, clock: ManualClock) -> None:
    command_id = uuid4()
    an_hour_ago = NIGHT - timedelta(hours=1)
    context = Context.of_command("user:lan", clock, command_id=command_id, happened_at=an_hour_ago)

    record.commit(Incident.report(uuid4(), context, title="Lost laptop"))

    (stored,) = record.read(0, 10)
    assert stored.event.actor == "user:lan"
    assert stored.event.cause == f"command:{command_id}"
    assert (stored.event.recorded_at, stored.event.happened_at) == (NIGHT, an_hour_ago)


def test_instants_are_kept_in_utc_whatever_zone_they_came_in(record: Record, clock: ManualClock) -> None:
    in_shanghai = datetime(2026, 11, 20, 8, 30, tzinfo=timezone(timedelta(hours=8)))
    context = Context.of_command("user:lan", clock, happened_at=in_shanghai)
    incident = Incident.report(uuid4(), context, title="Lost laptop")
    record.commit(incident)

    (event,) = record.stream(incident.id)

    assert event.happened_at == datetime(2026, 11, 20, 0, 30, tzinfo=UTC)
    assert event.happened_at.tzinfo is UTC or event.happened_at.utcoffset() == timedelta(0)


def test_two_writers_one_gets_a_clear_conflict(record: Record, analyst: ContextMaker) -> None:
    incident_id = reported(record, analyst).id
    hers, his = record.load(Incident, incident_id), record.load(Incident, incident_id)
    hers.add_note(analyst(), "Isolated the host.")
    his.add_note(analyst(), "Called the hoster.")
    record.commit(hers)

    with pytest.raises(Conflict, match="recorded something here first"):
        record.commit(his)

    assert [e.text for e in record.stream(incident_id) if isinstance(e, NoteAdded)] == ["Isolated the host."]


def test_a_lost_race_saves_nothing_of_the_other_aggregates_in_the_same_commit(
    record: Record, analyst: ContextMaker
) -> None:
    incident_id = reported(record, analyst).id
    winner, loser = record.load(Incident, incident_id), record.load(Incident, incident_id)
    winner.add_note(analyst(), "First.")
    record.commit(winner)
    loser.add_note(analyst(), "Second.")
    bystander = Incident.report(uuid4(), analyst(), title="Saved together with the loser")

    with pytest.raises(Conflict):
        record.commit(loser, bystander)

    assert record.find(Incident, bystander.id) is None


def test_retrying_repeats_from_the_load(record: Record, analyst: ContextMaker) -> None:
    incident_id = reported(record, analyst).id
    disturbances = iter([True, False])

    def command() -> None:
        mine = record.load(Incident, incident_id)
        if next(disturbances):
            other = record.load(Incident, incident_id)
            other.add_note(analyst(), "Quicker.")
            record.commit(other)
        mine.add_note(analyst(), "Slower.")
        record.commit(mine)

    retrying(command)

    texts = [e.text for e in record.stream(incident_id) if isinstance(e, NoteAdded)]
    assert texts == ["Quicker.", "Slower."]


def test_nothing_is_found_where_nothing_was_recorded(record: Record) -> None:
    with pytest.raises(NotFound, match="no incident"):
        record.load(Incident, uuid4())


def test_the_stream_of_another_kind_is_not_found(record: Record, analyst: ContextMaker) -> None:
    incident = reported(record, analyst)

    with pytest.raises(NotFound, match="no run"):
        record.load(Run, incident.id)


def test_positions_grow_and_reading_resumes_after_one(record: Record, analyst: ContextMaker) -> None:
    for _ in range(5):
        reported(record, analyst)

    first = record.read(0, 3)
    rest = record.read(first[-1].position, 10)

    positions = [r.position for r in (*first, *rest)]
    assert positions == sorted(set(positions))
    assert len(positions) == 5
    assert record.head() == positions[-1]


def test_reading_can_ask_for_some_kinds_only(record: Record, analyst: ContextMaker) -> None:
    incident = reported(record, analyst)
    incident.add_note(analyst(), "A note.")
    record.commit(incident)

    assert [r.event.kind for r in record.read(0, 10, kinds=["incident.note-added"])] == ["incident.note-added"]


def test_the_stored_form_is_plain_json_under_a_stable_name(record: Record, analyst: ContextMaker) -> None:
    incident = reported(record, analyst)

    (stored,) = record.recorder.select_events(incident.id)

    state = json.loads(stored.state)
    assert stored.topic == "incident.reported/1"
    assert state["title"] == "Odd traffic from the billing database"
    assert "originator_id" not in state


def test_an_event_nobody_knows_is_an_error_that_names_it(record: Record) -> None:
    stranger = StoredEvent(originator_id=uuid4(), originator_version=1, topic="circus.opened/1", state=b"{}")

    with pytest.raises(MapperDeserialisationError, match=r"circus\.opened/1"):
        record.mapper.to_domain_event(stranger)


def test_an_event_of_a_future_version_is_refused_not_guessed(record: Record) -> None:
    newer = StoredEvent(
        originator_id=uuid4(),
        originator_version=1,
        topic=f"incident.reported/{IncidentReported.schema_version + 1}",
        state=b"{}",
    )

    with pytest.raises(MapperDeserialisationError, match="knows up to"):
        record.mapper.to_domain_event(newer)
