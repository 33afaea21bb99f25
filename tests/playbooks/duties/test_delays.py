"""Requests to wait on record: they pause what the law lets wait, end by themselves, and change nothing judged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from incidents.clock import ManualClock
from incidents.errors import IllegalTransition, InvalidInput, NotFound
from incidents.facts import OrganisationProfile
from incidents.incident.service import IncidentService
from incidents.record import Context, Record
from playbooks.automation import Automation
from playbooks.duties.events import DutyResumed
from playbooks.duties.register import DutyRegister, DutyState
from playbooks.duties.service import DutyService
from playbooks.law.book import LawBook
from playbooks.law.calendars import standard_calendars
from playbooks.law.delays import MAX_REQUESTS, DelayRequest
from tests.conftest import NIGHT, ContextMaker
from tests.playbooks.duties.test_register import INCIDENT, duty

PROFILE = OrganisationProfile.parse({"name": "Clinic", "roles": ["hipaa_covered_entity"], "countries": ["US"]})
BREACH: dict[str, Any] = {
    "data_classes": ["health"],
    "data_events": ["stolen"],
    "persons_affected": 501,
    "persons_by_country": {"US": 501},
    "persons_by_province": {"US-GA": 501},
    "encrypted": False,
    "low_probability_of_compromise": False,
    "good_faith_access": False,
}
PEOPLE, RECORDS = "us-hipaa-404-individuals", "us-hipaa-414-records"


def asked(now: datetime = NIGHT, **changes: Any) -> DelayRequest:
    fields: dict[str, Any] = {
        "id": "letter-1",
        "by": "law_enforcement",
        "authority": "FBI Atlanta",
        "form": "written",
        "stated_at": now,
        "until": now + timedelta(days=90),
    }
    return DelayRequest(**(fields | changes))


@dataclass
class Case:
    """One incident that people must be told of, and what is derived and recorded for it."""

    record: Record
    automation: Automation
    duties: DutyService
    incident: UUID
    analyst: ContextMaker

    def ask(self, request: DelayRequest) -> None:
        """Record that somebody asks to wait, and let follow what follows from it."""
        self.duties.request_delay(self.incident, self.analyst(), request)
        self.follow()

    def follow(self, incident: UUID | None = None) -> None:
        self.record.commit(*self.automation.look_again(incident or self.incident, self.analyst()))

    def watch(self) -> None:
        self.duties.watch(self.incident, self.analyst())

    def duty(self, rule: str, incident: UUID | None = None) -> DutyState:
        register = self.record.load(DutyRegister, DutyRegister.id_for(incident or self.incident))
        return next(state for state in register.duties.values() if state.duty.rule == rule)


@pytest.fixture
def duties(record: Record) -> DutyService:
    return DutyService(record)


@pytest.fixture
def case(record: Record, duties: DutyService, analyst: ContextMaker, clock: ManualClock) -> Case:
    automation = Automation(
        record,
        law=LawBook(),
        calendar=standard_calendars(),
        profile=PROFILE,
        playbooks={},
        clock=clock,
    )
    incidents = IncidentService(record)
    incident = incidents.report(uuid4(), analyst(), title="Backup tapes stolen").id
    incidents.triage(incident, analyst())
    incidents.state_facts(incident, analyst(), BREACH)
    made = Case(record, automation, duties, incident, analyst)
    made.follow()
    return made


def test_a_request_pauses_what_the_law_lets_wait_and_nothing_else(case: Case) -> None:
    before = case.duty(PEOPLE).duty.strict_due
    assert before is not None

    case.ask(asked())

    paused = case.duty(PEOPLE).duty
    assert (paused.status, paused.strict_due) == ("paused", None)
    assert paused.delay is not None
    assert (paused.delay.until, paused.delay.resumes_due) == (NIGHT + timedelta(days=90), NIGHT + timedelta(days=90))
    assert case.duty(RECORDS).duty.status == "due"


def test_the_waiting_ends_by_itself_and_the_deadline_is_back(case: Case, clock: ManualClock) -> None:
    case.ask(asked())
    clock.move_to(NIGHT + timedelta(days=89))
    case.watch()
    assert case.duty(PEOPLE).warned == 100, "that the waiting ends soon is called out"
    assert not case.duty(PEOPLE).missed

    clock.move_to(NIGHT + timedelta(days=90))
    for _ in range(2):
        case.watch()
    resumed = [
        event for event in case.record.stream(DutyRegister.id_for(case.incident)) if isinstance(event, DutyResumed)
    ]
    assert len({event.duty_id for event in resumed}) == len(resumed), "said once"
    case.follow()

    state = case.duty(PEOPLE)
    assert (state.duty.status, state.duty.strict_due) == ("due", NIGHT + timedelta(days=90))
    assert state.warned == 0, "the new window warns anew"
    clock.advance(timedelta(seconds=1))
    case.watch()
    assert case.duty(PEOPLE).missed


def test_ending_a_request_starts_the_clocks_again(case: Case, clock: ManualClock) -> None:
    due = case.duty(PEOPLE).duty.strict_due
    case.ask(asked())
    clock.advance(timedelta(days=2))
    case.duties.end_delay(case.incident, "letter-1", case.analyst(), reason="The arrests were made.")
    case.follow()

    state = case.duty(PEOPLE)
    assert (state.duty.status, state.duty.strict_due) == ("due", due)
    with pytest.raises(IllegalTransition, match="ended at"):
        case.duties.end_delay(case.incident, "letter-1", case.analyst(), reason="Again.")


def test_a_request_recorded_after_a_missed_deadline_changes_nothing_that_was_judged(
    case: Case, clock: ManualClock
) -> None:
    due = case.duty(PEOPLE).duty.strict_due
    clock.move_to(NIGHT + timedelta(days=61))
    case.watch()
    assert case.duty(PEOPLE).missed

    case.ask(asked(NIGHT + timedelta(days=1)))

    state = case.duty(PEOPLE)
    assert (state.duty.status, state.duty.strict_due, state.missed) == ("due", due, True)


def test_a_waiver_of_a_duty_outlives_its_waiting(case: Case, clock: ManualClock) -> None:
    case.duties.waive(case.incident, case.duty(PEOPLE).duty.duty_id, case.analyst(), reason="The tapes were blank.")
    case.ask(asked())
    clock.move_to(NIGHT + timedelta(days=91))
    case.follow()
    assert case.duty(PEOPLE).waived


def test_the_request_goes_with_an_incident_into_the_one_it_becomes_part_of(case: Case) -> None:
    incidents = IncidentService(case.record)
    case.duties.request_delay(case.incident, case.analyst(), asked())
    whole = incidents.report(uuid4(), case.analyst(), title="The larger theft").id
    incidents.triage(whole, case.analyst())
    incidents.merge(case.incident, case.analyst(), whole)
    case.follow(whole)
    assert case.duty(PEOPLE, whole).duty.status == "paused"


def test_a_request_goes_through_two_merges_and_can_be_ended_from_the_whole(case: Case, clock: ManualClock) -> None:
    incidents = IncidentService(case.record)
    case.duties.request_delay(case.incident, case.analyst(), asked())
    parts = [case.incident]
    for title in ("The larger theft", "The whole campaign"):
        whole = incidents.report(uuid4(), case.analyst(), title=title).id
        incidents.triage(whole, case.analyst())
        incidents.merge(parts[-1], case.analyst(), whole)
        parts.append(whole)
    case.follow(whole)
    assert case.duty(PEOPLE, whole).duty.status == "paused"
    assert [request.id for request in case.duties.delays(whole)] == ["letter-1"]

    with pytest.raises(IllegalTransition, match="merged into INC-"):
        case.duties.request_delay(case.incident, case.analyst(), asked(id="letter-2"))
    clock.move_to(NIGHT + timedelta(days=2))
    case.duties.end_delay(whole, "letter-1", case.analyst(), reason="The suspect was arrested.")
    case.follow()  # the event is of the part: its incident is looked at
    assert case.duty(PEOPLE, whole).duty.status == "due"


def test_a_clock_that_is_behind_does_not_lose_a_request(case: Case) -> None:
    case.duties.request_delay(case.incident, case.analyst(), asked())
    behind = Context(actor="system:automation", cause=f"timer:{uuid4()}", recorded_at=NIGHT - timedelta(seconds=5))
    case.record.commit(*case.automation.look_again(case.incident, behind))
    assert case.duty(PEOPLE).duty.status == "paused"


def test_a_request_or_a_fact_recorded_after_the_deadline_does_not_hide_that_it_was_missed(
    case: Case, clock: ManualClock
) -> None:
    due = case.duty(PEOPLE).duty.strict_due
    assert due is not None
    clock.move_to(due + timedelta(seconds=2))  # before the watch over clocks looked
    case.ask(asked(due - timedelta(days=1)))
    state = case.duty(PEOPLE)
    assert (state.missed, state.duty.status, state.duty.strict_due) == (True, "due", due)


def test_a_fact_on_record_in_time_counts_though_it_was_looked_at_after_the_deadline(
    case: Case, clock: ManualClock
) -> None:
    due = case.duty(PEOPLE).duty.strict_due
    assert due is not None
    clock.move_to(due - timedelta(hours=1))
    IncidentService(case.record).state_facts(case.incident, case.analyst(), {"data_events": ["unavailable"]})
    clock.move_to(due + timedelta(hours=1))  # the service stood still meanwhile
    case.follow()
    state = case.duty(PEOPLE)
    assert (state.missed, state.lifted) == (False, True)


def test_a_fact_learned_after_the_deadline_lifts_the_duty_and_leaves_it_missed(case: Case, clock: ManualClock) -> None:
    due = case.duty(PEOPLE).duty.strict_due
    assert due is not None
    clock.move_to(due + timedelta(seconds=2))
    IncidentService(case.record).state_facts(case.incident, case.analyst(), {"data_events": ["unavailable"]})
    case.follow()
    state = case.duty(PEOPLE)
    assert (state.missed, state.lifted) == (True, True)


def test_what_cannot_be_a_request_is_refused(duties: DutyService, analyst: ContextMaker, clock: ManualClock) -> None:
    def ask(request: DelayRequest, context: Context | None = None) -> None:
        duties.request_delay(INCIDENT, context or analyst(), request)

    with pytest.raises(InvalidInput, match="future"):
        ask(asked(NIGHT + timedelta(minutes=1)))
    with pytest.raises(InvalidInput, match="Only a person"):
        ask(asked(), ContextMaker(clock, "system:tocsin")())
    with pytest.raises(InvalidInput):
        ask(asked(authority="Agent Smith, +1 404 555 0100"))
    ask(asked())
    with pytest.raises(IllegalTransition, match="already"):
        ask(asked())
    with pytest.raises(NotFound):
        duties.end_delay(INCIDENT, "letter-2", analyst(), reason="Over.")
    with pytest.raises(InvalidInput, match="before it was made"):
        duties.end_delay(INCIDENT, "letter-1", analyst(), reason="Over.", ended_at=NIGHT - timedelta(hours=1))
    for number in range(2, MAX_REQUESTS + 1):
        ask(asked(id=f"letter-{number}"))
    with pytest.raises(IllegalTransition, match="no more"):
        ask(asked(id="one-more"))


def test_a_repeated_command_records_one_request(record: Record, duties: DutyService, analyst: ContextMaker) -> None:
    context = analyst()
    for _ in range(2):
        duties.request_delay(INCIDENT, context, asked())
    assert len(list(record.stream(DutyRegister.id_for(INCIDENT)))) == 1


def test_an_assignment_is_recorded_once_and_can_be_taken_back(
    record: Record, duties: DutyService, analyst: ContextMaker
) -> None:
    register = DutyRegister(DutyRegister.id_for(INCIDENT))
    register.update(INCIDENT, [duty("a")], analyst())
    record.commit(register)
    for _ in range(2):
        assert duties.assign(INCIDENT, "a", analyst(), owner="dpo", name="Data protection").duties["a"].owner == "dpo"
    assert [event.kind for event in record.stream(register.id)].count("duty.assigned") == 1
    assert duties.assign(INCIDENT, "a", analyst(), owner="").duties["a"].owner == ""
    with pytest.raises(InvalidInput, match="id of the settings"):
        duties.assign(INCIDENT, "a", analyst(), owner="dpo@lantern.example")
    with pytest.raises(NotFound):
        duties.assign(INCIDENT, "b", analyst(), owner="dpo")
