"""Every record of the research tables is carried by a rule, with its status; coverage adds up."""

from __future__ import annotations

from datetime import date

import pytest

from playbooks.law import load_law
from playbooks.law.coverage import coverage
from tests.reference import needs_reference, table

LAW = load_law()
TABLES = ("obligations-cn-vn.yaml", "obligations-world.yaml")
OTHER_STATUS = {"cn-measures-public-reporting"}
"""Anybody may report: in force, and a duty of nobody."""


@needs_reference
@pytest.mark.parametrize("name", TABLES)
def test_every_record_is_carried_with_its_status(name: str) -> None:
    carried = coverage(LAW, date(2026, 11, 22)).records
    records = table(name)
    assert len(records) > 100
    assert not [record["id"] for record in records if record["id"] not in carried]
    wrong = []
    for record in records:
        for rule_id in carried[record["id"]]:
            found = LAW.rule(rule_id)
            assert found is not None
            pack, rule = found
            if (rule.status or pack.instrument.status) != record["status"] and record["id"] not in OTHER_STATUS:
                wrong.append((record["id"], rule_id))
    assert not wrong


@needs_reference
@pytest.mark.parametrize("name", TABLES)
def test_confidence_is_never_higher_than_that_of_the_record(name: str) -> None:
    order = ["low", "medium", "high"]
    carried = coverage(LAW, date(2026, 11, 22)).records
    for record in table(name):
        for rule_id in carried[record["id"]]:
            found = LAW.rule(rule_id)
            assert found is not None
            assert order.index(found[1].confidence) <= order.index(record["confidence"]), (record["id"], rule_id)


@needs_reference
@pytest.mark.parametrize("name", TABLES)
def test_a_number_of_a_record_stands_in_one_of_its_rules(name: str) -> None:
    carried = coverage(LAW, date(2026, 11, 22)).records
    wrong = []
    for record in table(name):
        amount, unit = record["deadline"]["amount"], record["deadline"]["unit"]
        rules = [found[1] for rule_id in carried[record["id"]] if (found := LAW.rule(rule_id)) is not None]
        # "On the day of receipt, else the next working day" has no number: the end is a time of a day.
        same = any((rule.period.amount, rule.period.unit) == (amount, unit) or rule.period.until for rule in rules)
        if amount is not None and not same:
            wrong.append((record["id"], [(rule.period.amount, rule.period.unit.value) for rule in rules]))
    assert not wrong


def test_the_sums_are_right_and_the_day_counts() -> None:
    now, long_ago = coverage(LAW, date(2026, 11, 22)), coverage(LAW, date(1990, 1, 1))
    assert now.instruments == len(LAW.packs)
    assert now.rules == sum(1 for _ in LAW.rules()) == sum(place.rules for place in now.jurisdictions)
    assert all(sum(place.confidence.values()) == place.rules for place in now.jurisdictions)
    assert long_ago.in_force < now.in_force <= now.rules
    european = next(place for place in now.jurisdictions if place.jurisdiction == "EU")
    assert "eu-gdpr" in {instrument.id for instrument in european.instruments}


def test_a_rule_comes_into_force_on_its_day() -> None:
    found = LAW.rule("eu-gdpr-33-1-authority")
    assert found is not None

    def count(on: date) -> int:
        places = coverage(LAW, on).jurisdictions
        return next(i.in_force for p in places for i in p.instruments if i.id == "eu-gdpr")

    assert count(date(2018, 5, 24)) == 0
    assert count(date(2018, 5, 25)) == len(found[0].rules)
