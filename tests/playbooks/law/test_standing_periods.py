"""Periods of standing duties and contracts: fixed dates and the day before them, turns, "before" without a number."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from incidents.facts.facts import Facts
from playbooks.law import load_law
from playbooks.law.calendars import standard_calendars
from playbooks.law.derive import derive
from playbooks.law.pack import Occasion, Status
from playbooks.law.period import Period, Recurrence, Unit
from playbooks.law.periods import Counting, count_period

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
COUNTING = Counting(zone=HANOI, calendar=standard_calendars().of("VN"))


def due(period: Period, start: str) -> str | None:
    found = count_period(period, datetime.fromisoformat(start), COUNTING)
    return found.strict_due.isoformat() if found else None


@pytest.mark.parametrize(
    ("start", "by", "before"),
    [
        ("2026-12-18T23:59:00+07:00", "2026-12-21T00:00:00+07:00", "2026-12-20T00:00:00+07:00"),
        ("2026-12-19T12:00:00+07:00", "2026-12-21T00:00:00+07:00", "2026-12-20T00:00:00+07:00"),
        ("2026-12-20T00:00:00+07:00", "2026-12-21T00:00:00+07:00", "2027-12-20T00:00:00+07:00"),
        ("2026-12-21T00:00:00+07:00", "2027-12-21T00:00:00+07:00", "2027-12-20T00:00:00+07:00"),
    ],
)
def test_by_a_date_holds_the_date_and_before_it_does_not(start: str, by: str, before: str) -> None:
    assert due(Period(fixed_date="12-20"), start) == by
    assert due(Period(fixed_date="12-20", before_fixed_date=True), start) == before


def test_before_new_year_ends_in_the_old_year() -> None:
    period = Period(fixed_date="01-01", before_fixed_date=True)
    assert due(period, "2026-12-31T10:00:00+07:00") == "2027-01-01T00:00:00+07:00"
    assert due(period, "2027-01-01T00:00:00+07:00") == "2028-01-01T00:00:00+07:00"


def test_before_a_planned_event_ends_with_the_event() -> None:
    assert due(Period(before="the change"), "2026-11-20T09:30:00+07:00") == "2026-11-20T09:30:00+07:00"


def test_a_recurrence_alone_is_the_first_turn_too() -> None:
    period = Period(recurrence=Recurrence(amount=3, unit=Unit.MONTHS))
    assert due(period, "2026-11-30T09:00:00+07:00") == "2027-03-01T00:00:00+07:00"


def test_a_contract_is_law_only_where_it_is_chosen() -> None:
    facts = Facts.parse(
        {
            "roles": ["contract_party_b"],
            "event_kinds": ["service_emergency"],
            "occurred_on_workday": False,
            "contract_event_at": "2022-06-11T22:30:00+08:00",
        }
    )
    at = datetime.fromisoformat("2022-06-11T23:00:00+08:00")

    def rules(statuses: frozenset[Status]) -> set[str]:
        duties = derive(facts, load_law(), standard_calendars(), at=at, statuses=statuses)
        return {duty.rule for duty in duties if duty.rule.startswith("bj-contract-")}

    assert not rules(frozenset({Status.IN_FORCE}))
    assert "bj-contract-2-5-nonworkday-respond-2h" in rules(frozenset({Status.EXAMPLE}))


def test_standing_duties_come_only_where_they_are_asked_for() -> None:
    facts = Facts.parse({"countries": ["CN"], "sectors": ["banking"], "contract_event_at": "2025-12-31T23:59:00+08:00"})
    at = datetime.fromisoformat("2026-01-02T09:00:00+08:00")

    def found(occasion: Occasion) -> set[str]:
        duties = derive(facts, load_law(), standard_calendars(), at=at, occasions=frozenset({occasion}))
        return {duty.rule for duty in duties}

    assert "cn-nfra-74-annual-0115" not in found(Occasion.INCIDENT)
    assert "cn-nfra-74-annual-0115" in found(Occasion.STANDING)


def test_vietnamese_law_is_told_in_vietnamese_too() -> None:
    packs = [pack for pack in load_law().packs if pack.instrument.jurisdiction.startswith("VN")]
    assert packs
    for pack in packs:
        assert {"vi", "en", "zh"} <= set(pack.instrument.title)
        for rule in pack.rules:
            texts = [rule.who, rule.incident, *(recipient.name for recipient in rule.recipients)]
            texts += [item.text for item in rule.contents.items] + [e.words for e in rule.exemptions]
            assert all({"vi", "en", "zh"} <= set(text) for text in texts), rule.id
