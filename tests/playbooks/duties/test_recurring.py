"""A report that the law wants every two hours is owed every two hours, from facts to filings."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from incidents.clock import ManualClock
from incidents.facts import OrganisationProfile
from incidents.incident.service import IncidentService
from incidents.record import Record
from playbooks.automation import Automation
from playbooks.duties.register import DutyState
from playbooks.duties.service import DutyService
from playbooks.law.book import LawBook
from playbooks.law.calendars import standard_calendars
from tests.conftest import NIGHT, ContextMaker

RULE = "cn-nfra-69-pm-every-2h"
PROFILE = OrganisationProfile.parse({"name": "Bank", "countries": ["CN"], "sectors": ["banking_insurance"]})


@pytest.fixture
def automation(record: Record, clock: ManualClock) -> Automation:
    return Automation(record, law=LawBook(), calendar=standard_calendars(), profile=PROFILE, playbooks={}, clock=clock)


def turns(duties: DutyService, incident: UUID) -> list[DutyState]:
    return [state for state in duties.register(incident).duties.values() if state.duty.rule == RULE]


def test_every_turn_is_due_warned_and_missed_until_the_handling_ends(
    record: Record, automation: Automation, clock: ManualClock, analyst: ContextMaker
) -> None:
    incidents, duties = IncidentService(record), DutyService(record)
    incident = incidents.report(uuid4(), analyst(), title="Core banking stands still").id
    incidents.triage(incident, analyst())
    facts = {"nfra_incident_level": "particularly_major", "occurred_at": NIGHT.isoformat()}
    incidents.state_facts(incident, analyst(), facts)
    record.commit(*automation.look_again(incident, analyst()))
    (first,) = turns(duties, incident)
    assert first.duty.strict_due == NIGHT + timedelta(hours=2)

    clock.move_to(NIGHT + timedelta(hours=1))
    duties.fulfil(incident, first.duty.duty_id, analyst())
    record.commit(*automation.look_again(incident, analyst()))
    second = turns(duties, incident)[-1]
    assert (second.is_open, second.duty.strict_due) == (True, NIGHT + timedelta(hours=3))

    clock.move_to(NIGHT + timedelta(hours=4))
    duties.watch(incident, analyst())
    assert [state.missed for state in turns(duties, incident)] == [False, True]
    assert list(automation.look_again(incident, analyst())) == []

    duties.fulfil(incident, second.duty.duty_id, analyst())
    incidents.state_facts(incident, analyst(), {"handled_at": (NIGHT + timedelta(hours=4)).isoformat()})
    record.commit(*automation.look_again(incident, analyst()))
    assert not [state for state in turns(duties, incident) if state.is_open]
