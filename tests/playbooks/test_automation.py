"""What follows by itself: grades, duties and runs, from one event, in one transaction, once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from incidents.clock import ManualClock
from incidents.facts import OrganisationProfile
from incidents.incident.incident import Incident
from incidents.incident.service import IncidentService
from incidents.record import Record
from incidents.record.database import open_engine
from incidents.record.partitioned import Divisions, PartitionedFollower
from incidents.record.tables import partitionings
from playbooks.automation import Automation
from playbooks.definitions.definition import load_library
from playbooks.duties.on_record import WHERE_PEOPLE_LIVE
from playbooks.duties.register import DutyRegister, DutyState
from playbooks.duties.service import DutyService
from playbooks.law.book import LawBook
from playbooks.law.calendars import standard_calendars
from playbooks.runs.run import Run
from tests.conftest import NIGHT, ContextMaker

PROFILE = OrganisationProfile.parse(
    {
        "name": "Example",
        "roles": ["controller", "network_operator", "network_data_processor"],
        "establishments": [
            {"place": "CN-HN", "time_zone": "Asia/Shanghai", "main": True},
            {"place": "DE-BE", "time_zone": "Europe/Berlin"},
        ],
    }
)
BREACH: dict[str, Any] = {
    "event_kinds": ["personal_data_breach", "cybersecurity_incident"],
    "data_classes": ["personal"],
    "data_events": ["leaked"],
    "risk_to_persons": "risk",
    "persons_affected": 212,
}
CAC, CAC_FINAL = "cn-measures-4-other-4h", "cn-measures-8-final-30d"
GDPR, GDPR_PEOPLE = "eu-gdpr-33-1-authority", "eu-gdpr-34-individuals"


@pytest.fixture
def automation(record: Record, database_url: str, clock: ManualClock) -> PartitionedFollower:
    engine = open_engine(database_url)
    partitionings.create(engine, checkfirst=True)
    return Automation(
        record,
        law=LawBook(),
        calendar=standard_calendars(),
        profile=PROFILE,
        playbooks=load_library(),
        clock=clock,
    ).follower(Divisions(engine, record, clock))


@pytest.fixture
def incidents(record: Record) -> IncidentService:
    return IncidentService(record)


@pytest.fixture
def incident_id(incidents: IncidentService, analyst: ContextMaker) -> UUID:
    return incidents.report(uuid4(), analyst(), title="Bulk export").id


def duty(record: Record, incident_id: UUID, rule: str) -> DutyState:
    register = record.load(DutyRegister, DutyRegister.id_for(incident_id))
    (state,) = [state for state in register.duties.values() if state.duty.rule == rule]
    return state


def test_facts_lead_to_grade_duties_and_a_run(
    record: Record,
    automation: PartitionedFollower,
    incidents: IncidentService,
    incident_id: UUID,
    analyst: ContextMaker,
) -> None:
    incidents.triage(incident_id, analyst())
    incidents.state_facts(incident_id, analyst(), {**BREACH, "direct_loss": {"CNY": 5_000_000}})
    automation.drain()

    assert record.load(Incident, incident_id).grades["cn-2025"].level == "relatively_major"
    cac = duty(record, incident_id, CAC).duty
    assert (cac.status, cac.clock_at, cac.strict_due) == ("due", NIGHT, NIGHT + timedelta(hours=4))
    assert duty(record, incident_id, GDPR).duty.strict_due == NIGHT + timedelta(hours=72)
    run = record.load(Run, Run.id_for(incident_id, "personal-data-breach"))
    assert {"contain", "draft-notice", "file"} <= set(run.open_steps())


def test_a_revised_fact_lifts_a_duty_and_brings_it_back(
    record: Record,
    automation: PartitionedFollower,
    incidents: IncidentService,
    incident_id: UUID,
    analyst: ContextMaker,
) -> None:
    incidents.triage(incident_id, analyst())
    incidents.state_facts(incident_id, analyst(), BREACH)
    automation.drain()
    assert duty(record, incident_id, GDPR).is_open

    incidents.state_facts(incident_id, analyst(), {"risk_to_persons": "unlikely"})
    automation.drain()
    assert not duty(record, incident_id, GDPR).is_open

    incidents.state_facts(incident_id, analyst(), {"risk_to_persons": "high"})
    automation.drain()
    assert duty(record, incident_id, GDPR).is_open


def test_unknown_facts_make_possible_duties_that_name_them(
    record: Record,
    automation: PartitionedFollower,
    incidents: IncidentService,
    incident_id: UUID,
    analyst: ContextMaker,
) -> None:
    incidents.triage(incident_id, analyst())
    incidents.state_facts(incident_id, analyst(), {**BREACH, "risk_to_persons": "unknown"})
    automation.drain()

    # To the authority it is due unless risk is unlikely; to the people it is due only if risk is high.
    assert duty(record, incident_id, GDPR).duty.status == "due"
    to_people = duty(record, incident_id, GDPR_PEOPLE).duty
    assert to_people.status == "possible"
    assert to_people.settle_by == ("risk_to_persons",)


def test_while_nobody_knows_where_people_live_the_rest_of_the_world_is_one_question(
    record: Record,
    automation: PartitionedFollower,
    incidents: IncidentService,
    incident_id: UUID,
    analyst: ContextMaker,
) -> None:
    incidents.triage(incident_id, analyst())
    incidents.state_facts(incident_id, analyst(), BREACH)
    automation.drain()

    question = duty(record, incident_id, WHERE_PEOPLE_LIVE)
    assert question.duty.status == "possible"
    assert "persons_by_country" in question.duty.settle_by
    assert "JP" in question.duty.why[0]["text"]["en"]
    others = record.load(DutyRegister, DutyRegister.id_for(incident_id)).duties.values()
    assert {state.duty.jurisdiction for state in others} <= {"ZZ", "CN", "CN-HN", "EU"}

    incidents.state_facts(incident_id, analyst(), {"persons_by_country": {"CN": 200, "JP": 12}})
    automation.drain()

    assert not duty(record, incident_id, WHERE_PEOPLE_LIVE).is_open
    register = record.load(DutyRegister, DutyRegister.id_for(incident_id))
    assert any(state.duty.jurisdiction == "JP" and state.is_open for state in register.duties.values())


def test_a_stage_that_waits_starts_with_the_event_it_counts_from(
    record: Record,
    automation: PartitionedFollower,
    incidents: IncidentService,
    incident_id: UUID,
    analyst: ContextMaker,
    clock: ManualClock,
) -> None:
    incidents.triage(incident_id, analyst())
    incidents.state_facts(incident_id, analyst(), {**BREACH, "direct_loss": {"CNY": 5_000_000}})
    automation.drain()
    cac = duty(record, incident_id, CAC)
    DutyService(record).fulfil(incident_id, cac.duty.duty_id, analyst())
    automation.drain()
    assert duty(record, incident_id, CAC_FINAL).duty.status == "waiting_for_clock"

    clock.advance(timedelta(days=2))
    incidents.move(incident_id, analyst(), "close", comment="Handled; systems were replaced.")
    automation.drain()

    final = duty(record, incident_id, CAC_FINAL).duty
    assert final.status == "due"
    assert final.clock_at == NIGHT + timedelta(days=2)


def test_a_persons_grade_moves_the_duties(
    record: Record,
    automation: PartitionedFollower,
    incidents: IncidentService,
    incident_id: UUID,
    analyst: ContextMaker,
) -> None:
    incidents.triage(incident_id, analyst())
    incidents.state_facts(incident_id, analyst(), BREACH)
    automation.drain()

    incidents.override_grade(
        incident_id, analyst(), scheme="cn-2025", level="relatively_major", reason="Threat that no number shows."
    )
    automation.drain()

    assert duty(record, incident_id, CAC).duty.status == "due"


def test_running_twice_over_the_same_events_records_nothing_new(
    record: Record,
    automation: PartitionedFollower,
    incidents: IncidentService,
    incident_id: UUID,
    analyst: ContextMaker,
) -> None:
    incidents.triage(incident_id, analyst())
    incidents.state_facts(incident_id, analyst(), BREACH)
    automation.drain()
    head = record.head()

    again = Automation(
        record,
        law=LawBook(),
        calendar=standard_calendars(),
        profile=PROFILE,
        playbooks=load_library(),
        clock=ManualClock(NIGHT),
    )
    for recorded in record.read(0, 1000):
        if recorded.event.kind in {"incident.facts-stated", "incident.triaged", "run.step-completed"}:
            assert list(again(recorded)) == []
    assert record.head() == head


def test_a_merged_incident_hands_over_what_it_knows_and_owes(
    record: Record,
    automation: PartitionedFollower,
    incidents: IncidentService,
    incident_id: UUID,
    analyst: ContextMaker,
) -> None:
    incidents.triage(incident_id, analyst(happened_at=NIGHT - timedelta(hours=5)))
    incidents.state_facts(incident_id, analyst(), BREACH)
    whole = incidents.report(uuid4(), analyst(), title="The larger theft").id
    incidents.triage(whole, analyst())
    automation.drain()

    incidents.merge(incident_id, analyst(), whole, reason="One attacker.")
    automation.drain()

    register = record.load(DutyRegister, DutyRegister.id_for(incident_id))
    assert not register.open_duties()
    assert record.load(Run, Run.id_for(incident_id, "personal-data-breach")).finished == "merged"
    # The clock of the whole started when anybody knew of the part.
    assert duty(record, whole, GDPR).duty.clock_at == NIGHT - timedelta(hours=5)
    assert record.load(Run, Run.id_for(whole, "personal-data-breach")).finished is None


def test_a_frozen_plan_that_asks_for_a_fact_that_is_gone_holds_up_no_duty(
    record: Record,
    automation: PartitionedFollower,
    incidents: IncidentService,
    incident_id: UUID,
    analyst: ContextMaker,
    clock: ManualClock,
) -> None:
    plan = load_library()["personal-data-breach"]
    contain = plan.step("contain").model_copy(update={"when": "facts.weather == 'bad'"})
    old = plan.model_copy(update={"steps": tuple(contain if s.id == "contain" else s for s in plan.steps)})
    record.commit(Run.start(incident_id, old, analyst()))
    incidents.triage(incident_id, analyst())
    incidents.state_facts(incident_id, analyst(), BREACH)
    automation.drain()

    assert duty(record, incident_id, GDPR).is_open
    assert "contain" not in record.load(Run, Run.id_for(incident_id, plan.id)).open_steps()


def test_an_incident_of_no_data_starts_no_breach_run(
    record: Record,
    automation: PartitionedFollower,
    incidents: IncidentService,
    incident_id: UUID,
    analyst: ContextMaker,
) -> None:
    incidents.triage(incident_id, analyst())
    incidents.state_facts(incident_id, analyst(), {"event_kinds": ["system_failure"]})
    automation.drain()

    assert record.find(Run, Run.id_for(incident_id, "personal-data-breach")) is None
