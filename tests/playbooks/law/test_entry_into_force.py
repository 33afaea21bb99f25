"""A rule that is to enter into force on a known day does so by itself, on that day and not before."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from incidents.facts import Facts
from playbooks.law.calendars import standard_calendars
from playbooks.law.derive import derive
from playbooks.law.law import load_law
from playbooks.law.pack import Status

SANTIAGO = ZoneInfo("America/Santiago")
CHILE = "cl-21719-14-sexies"
FIRST_DAY = date(2026, 12, 1)


def rules_at(when: datetime) -> set[str]:
    facts = Facts.parse(
        {
            "event_kinds": ["personal_data_breach"],
            "data_classes": ["personal"],
            "data_events": ["leaked"],
            "roles": ["controller"],
            "countries": ["CL"],
            "persons_by_country": {"CL": 5000},
            "risk_to_persons": "high",
            "aware_at": when.isoformat(),
            "discovered_at": when.isoformat(),
        }
    )
    return {duty.rule for duty in derive(facts, load_law(), standard_calendars(), at=when)}


@pytest.mark.parametrize(("days", "binds"), [(-1, False), (0, True), (300, True)])
def test_the_day_decides(days: int, binds: bool) -> None:
    noon = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, 12, tzinfo=SANTIAGO) + timedelta(days=days)

    assert (CHILE in rules_at(noon)) is binds


def test_without_a_day_nothing_binds() -> None:
    far = datetime(2099, 1, 1, 12, tzinfo=SANTIAGO)
    undated = {
        rule.id
        for pack, rule in load_law().rules()
        if (rule.status or pack.instrument.status) is Status.NOT_YET_IN_FORCE
        and (rule.in_force_from or pack.instrument.in_force_from) is None
    }

    assert undated
    assert not undated & rules_at(far)
