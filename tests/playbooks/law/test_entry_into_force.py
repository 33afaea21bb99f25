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


HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
OLD, NEW = "vn-csl18-41-incident", "vn-csl-41-provider-immediate"


@pytest.mark.parametrize(
    ("happened", "binds"),
    [(date(2018, 12, 31), set()), (date(2026, 6, 30), {OLD}), (date(2026, 7, 1), {NEW}), (date(2026, 11, 20), {NEW})],
)
def test_what_was_repealed_since_still_binds_for_what_happened_before(happened: date, binds: set[str]) -> None:
    at = datetime(happened.year, happened.month, happened.day, 12, tzinfo=HANOI)
    facts = Facts.parse(
        {
            "event_kinds": ["cyberattack"],
            "roles": ["service_enterprise"],
            "countries": ["VN"],
            "discovered_at": at.isoformat(),
        }
    )

    found = {
        duty.rule for duty in derive(facts, load_law(), standard_calendars(), at=datetime(2026, 11, 22, tzinfo=HANOI))
    }

    assert {rule for rule in found if rule in {OLD, NEW}} == binds


def test_what_ended_on_an_unknown_day_binds_nobody() -> None:
    pack, rule = next(
        (pack, rule)
        for pack, rule in load_law().rules()
        if (rule.status or pack.instrument.status) is Status.REPEALED
        and (rule.in_force_to or pack.instrument.in_force_to) is None
    )
    facts = Facts.parse({"aware_at": "2024-01-01T00:00:00Z", "identified_at": "2024-01-01T00:00:00Z"})
    then = datetime(2024, 1, 2, tzinfo=ZoneInfo("UTC"))

    assert rule.id not in {duty.rule for duty in derive(facts, load_law(), standard_calendars(), at=then)}, pack.text
