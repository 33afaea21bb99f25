"""What follows by itself: grades, duties and runs, from one event, in one transaction, once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from incidents.clock import ManualClock
from incidents.facts import OrganisationProfile
from incidents.incident.incident import Incident
from incidents.incident.service import IncidentService
from incidents.record import Record
from incidents.record.partitioned import Divisions, PartitionedFollower
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


def automation_of(record: Record, clock: ManualClock) -> Automation:
    return Automation(
        record,
        law=LawBook(),
        calendar=standard_calendars(),
        profile=PROFILE,
        playbooks=load_library(),
        clock=clock,
    )


@dataclass
class Case:
    """One incident, what follows from it by itself, and an analyst."""

    record: Record
    automation: PartitionedFollower
    incidents: IncidentService
    incident_id: UUID
    analyst: ContextMaker

    def triage(self) -> None:
        self.incidents.triage(self.incident_id, self.analyst())

    def state(self, facts: dict[str, Any]) -> None:
        """State the facts, and let everything follow from them."""
        self.incidents.state_facts(self.incident_id, self.analyst(), facts)
        self.automation.drain()

    def register(self) -> DutyRegister:
        return self.record.load(DutyRegister, DutyRegister.id_for(self.incident_id))

    def duty(self, rule: str, incident_id: UUID | None = None) -> DutyState:
        register = self.record.load(DutyRegister, DutyRegister.id_for(incident_id or self.incident_id))
        (state,) = [state for state in register.duties.values() if state.duty.rule == rule]
        return state

    def run(self, plan: str = "personal-data-breach") -> Run:
        return self.record.load(Run, Run.id_for(self.incident_id, plan))


@pytest.fixture
def case(record: Record, engine: Engine, clock: ManualClock, analyst: ContextMaker) -> Case:
    automation = automation_of(record, clock).follower(Divisions(engine, record, clock))
    incidents = IncidentService(record)
    return Case(record, automation, incidents, incidents.report(uuid4(), analyst(), title="Bulk export").id, analyst)


def test_facts_lead_to_grade_duties_and_a_run(case: Case) -> None:
    case.triage()
    case.state({**BREACH, "direct_loss": {"CNY": 5_000_000}})

    assert case.record.load(Incident, case.incident_id).grades["cn-2025"].level == "relatively_major"
    cac = case.duty(CAC).duty
    assert (cac.status, cac.clock_at, cac.strict_due) == ("due", NIGHT, NIGHT + timedelta(hours=4))
    assert case.duty(GDPR).duty.strict_due == NIGHT + timedelta(hours=72)
    run = case.run()
    assert {"contain", "draft-notice", "file"} <= set(run.open_steps())


def test_a_revised_fact_lifts_a_duty_and_brings_it_back(case: Case) -> None:
    case.triage()
    case.state(BREACH)
    assert case.duty(GDPR).is_open

    case.state({"risk_to_persons": "unlikely"})
    assert not case.duty(GDPR).is_open

    case.state({"risk_to_persons": "high"})
    assert case.duty(GDPR).is_open


def test_unknown_facts_make_possible_duties_that_name_them(case: Case) -> None:
    case.triage()
    case.state({**BREACH, "risk_to_persons": "unknown"})

    # To the authority it is due unless risk is unlikely; to the people it is due only if risk is high.
    assert case.duty(GDPR).duty.status == "due"
    to_people = case.duty(GDPR_PEOPLE).duty
    assert to_people.status == "possible"
    assert to_people.settle_by == ("risk_to_persons",)


def test_while_nobody_knows_where_people_live_the_rest_of_the_world_is_one_question(case: Case) -> None:
    case.triage()
    case.state(BREACH)

    question = case.duty(WHERE_PEOPLE_LIVE)
    assert question.duty.status == "possible"
    assert "persons_by_country" in question.duty.settle_by
    assert "JP" in question.duty.why[0]["text"]["en"]
    others = case.register().duties.values()
    assert {state.duty.jurisdiction for state in others} <= {"ZZ", "CN", "CN-HN", "EU"}

    case.state({"persons_by_country": {"CN": 200, "JP": 12}})

    assert not case.duty(WHERE_PEOPLE_LIVE).is_open
    register = case.register()
    assert any(state.duty.jurisdiction == "JP" and state.is_open for state in register.duties.values())


def test_a_stage_that_waits_starts_with_the_event_it_counts_from(case: Case, clock: ManualClock) -> None:
    case.triage()
    case.state({**BREACH, "direct_loss": {"CNY": 5_000_000}})
    cac = case.duty(CAC)
    DutyService(case.record).fulfil(case.incident_id, cac.duty.duty_id, case.analyst())
    case.automation.drain()
    assert case.duty(CAC_FINAL).duty.status == "waiting_for_clock"

    clock.advance(timedelta(days=2))
    case.incidents.move(case.incident_id, case.analyst(), "close", comment="Handled; systems were replaced.")
    case.automation.drain()

    final = case.duty(CAC_FINAL).duty
    assert final.status == "due"
    assert final.clock_at == NIGHT + timedelta(days=2)


def test_a_persons_grade_moves_the_duties(case: Case) -> None:
    case.triage()
    case.state(BREACH)

    case.incidents.override_grade(
        case.incident_id,
        case.analyst(),
        scheme="cn-2025",
        level="relatively_major",
        reason="Threat that no number shows.",
    )
    case.automation.drain()

    assert case.duty(CAC).duty.status == "due"


def test_running_twice_over_the_same_events_records_nothing_new(case: Case) -> None:
    case.triage()
    case.state(BREACH)
    head = case.record.head()

    again = automation_of(case.record, ManualClock(NIGHT))
    for recorded in case.record.read(0, 1000):
        if recorded.event.kind in {"incident.facts-stated", "incident.triaged", "run.step-completed"}:
            assert list(again(recorded)) == []
    assert case.record.head() == head


def test_a_merged_incident_hands_over_what_it_knows_and_owes(case: Case) -> None:
    case.incidents.triage(case.incident_id, case.analyst(happened_at=NIGHT - timedelta(hours=5)))
    case.incidents.state_facts(case.incident_id, case.analyst(), BREACH)
    whole = case.incidents.report(uuid4(), case.analyst(), title="The larger theft").id
    case.incidents.triage(whole, case.analyst())
    case.automation.drain()

    case.incidents.merge(case.incident_id, case.analyst(), whole, reason="One attacker.")
    case.automation.drain()

    register = case.register()
    assert not register.open_duties()
    assert case.run().finished == "merged"
    # The clock of the whole started when anybody knew of the part.
    assert case.duty(GDPR, whole).duty.clock_at == NIGHT - timedelta(hours=5)
    assert case.record.load(Run, Run.id_for(whole, "personal-data-breach")).finished is None


def test_a_frozen_plan_that_asks_for_a_fact_that_is_gone_holds_up_no_duty(case: Case) -> None:
    plan = load_library()["personal-data-breach"]
    contain = plan.step("contain").model_copy(update={"when": "facts.weather == 'bad'"})
    old = plan.model_copy(update={"steps": tuple(contain if s.id == "contain" else s for s in plan.steps)})
    case.record.commit(Run.start(case.incident_id, old, case.analyst()))
    case.triage()
    case.state(BREACH)

    assert case.duty(GDPR).is_open
    assert "contain" not in case.run(plan.id).open_steps()


def test_an_incident_of_no_data_starts_no_breach_run(case: Case) -> None:
    case.triage()
    case.state({"event_kinds": ["system_failure"]})

    assert case.record.find(Run, Run.id_for(case.incident_id, "personal-data-breach")) is None
