"""Commands on incidents: one effect each, clear conflicts, no contact data in words."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from incidents.errors import Conflict, InvalidInput, NotFound
from incidents.facts import OrganisationProfile
from incidents.incident.incident import Incident
from incidents.incident.known import known_facts
from incidents.incident.service import IncidentService
from incidents.record import Record
from tests.conftest import NIGHT, ContextMaker


@pytest.fixture
def service(record: Record) -> IncidentService:
    return IncidentService(record)


@pytest.fixture
def incident(service: IncidentService, analyst: ContextMaker) -> Incident:
    return service.report(uuid4(), analyst(), title="Stolen backup tape", facts={"persons_affected": 40})


def test_a_repeated_command_has_one_effect(service: IncidentService, incident: Incident, analyst: ContextMaker) -> None:
    command = uuid4()

    first = service.add_note(incident.id, analyst(command), "Called the courier.")
    second = service.add_note(incident.id, analyst(command), "Called the courier.")

    assert first.version == second.version


def test_the_same_report_twice_is_one_incident_and_another_under_its_id_is_a_conflict(
    service: IncidentService, analyst: ContextMaker
) -> None:
    incident_id, command = uuid4(), uuid4()
    service.report(incident_id, analyst(command), title="Stolen tape")

    assert service.report(incident_id, analyst(command), title="Stolen tape").version == 1
    with pytest.raises(Conflict):
        service.report(incident_id, analyst(), title="Another")


def test_a_decision_from_an_old_state_is_a_conflict(
    service: IncidentService, incident: Incident, analyst: ContextMaker
) -> None:
    service.add_note(incident.id, analyst(), "Something new.")

    with pytest.raises(Conflict, match="decided from 2"):
        service.triage(incident.id, analyst(), expected_version=2)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("title", ""),
        ("title", "x" * 201),
        ("title", "Ask wang@example.com"),
    ],
)
def test_titles_are_checked(service: IncidentService, analyst: ContextMaker, field: str, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        service.report(uuid4(), analyst(), title=text)

    assert caught.value.errors[0].field == field


def test_a_note_with_a_phone_number_is_refused_and_nothing_recorded(
    service: IncidentService, record: Record, incident: Incident, analyst: ContextMaker
) -> None:
    with pytest.raises(InvalidInput) as caught:
        service.add_note(incident.id, analyst(), "Mrs Wang called from +86 138 0013 8000.")

    assert "138" not in caught.value.detail
    assert record.load(Incident, incident.id).version == incident.version


def test_an_unknown_transition_lists_those_there_are(
    service: IncidentService, incident: Incident, analyst: ContextMaker
) -> None:
    with pytest.raises(InvalidInput, match="eradicate"):
        service.move(incident.id, analyst(), "explode")
    with pytest.raises(NotFound):
        service.move(uuid4(), analyst(), "contain")


def test_merging_saves_both_incidents_or_none(
    service: IncidentService, record: Record, incident: Incident, analyst: ContextMaker
) -> None:
    other = service.report(uuid4(), analyst(), title="The same tape")

    service.merge(other.id, analyst(), incident.id, reason="One theft.")

    assert record.load(Incident, incident.id).absorbed == {other.id}
    assert record.load(Incident, other.id).merged_into == incident.id


def test_the_lifecycle_tells_times_that_nobody_must_type(
    service: IncidentService, incident: Incident, analyst: ContextMaker
) -> None:
    an_hour_ago = NIGHT - timedelta(hours=1)
    triaged = service.triage(incident.id, analyst(happened_at=an_hour_ago))

    assert known_facts(triaged).instant("aware_at") == an_hour_ago

    earlier = (NIGHT - timedelta(hours=5)).isoformat()
    stated = service.state_facts(incident.id, analyst(), {"aware_at": earlier})
    assert known_facts(stated).instant("aware_at") == NIGHT - timedelta(hours=5)


def test_reopening_does_not_make_anybody_aware_later(
    service: IncidentService, incident: Incident, analyst: ContextMaker
) -> None:
    service.triage(incident.id, analyst(happened_at=NIGHT - timedelta(hours=3)))
    service.move(incident.id, analyst(), "close", comment="False alarm.")

    reopened = service.move(incident.id, analyst(), "reopen", comment="It was not.")

    assert known_facts(reopened).instant("aware_at") == NIGHT - timedelta(hours=3)
    assert known_facts(reopened).get("handled_at") is None


def test_the_organisations_facts_join_and_the_incidents_go_before_them(
    service: IncidentService, incident: Incident, analyst: ContextMaker
) -> None:
    profile = OrganisationProfile.parse({"name": "Example", "roles": ["controller"], "countries": ["DE", "FR"]})
    stated = service.state_facts(incident.id, analyst(), {"countries": ["DE"]})

    known = known_facts(stated, profile)

    assert known.get("countries") == frozenset({"DE"})
    assert known.get("roles") == frozenset({"controller"})
