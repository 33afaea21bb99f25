"""The content matrix: the union of what the duties demand, and what a draft leaves out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from incidents.facts import Facts
from playbooks.law import Duty, derive, load_law, standard_calendars
from playbooks.law.contents import check_draft, demanded_items

FACTS: dict[str, Any] = {
    "countries": ["CN", "DE"],
    "provinces": [],
    "roles": ["controller"],
    "event_kinds": ["personal_data_breach"],
    "persons_by_country": {"CN": 10, "DE": 10},
    "persons_by_province": {},
    "risk_to_persons": "high",
    "encrypted": False,
    "aware_at": "2026-11-20T09:05:00+08:00",
    "discovered_at": "2026-11-20T09:00:00+08:00",
}


def duties(**facts: Any) -> list[Duty]:
    at = datetime.fromisoformat("2026-11-20T12:00:00+08:00")
    return derive(Facts.parse(FACTS | facts), load_law(), standard_calendars(), at=at)


def only(found: list[Duty], *rules: str) -> list[Duty]:
    return [duty for duty in found if duty.rule in rules]


def test_an_item_that_several_rules_ask_for_stands_once_and_names_them() -> None:
    demanded = {item.id: item for item in demanded_items(duties())}
    harm = demanded["kinds_cause_and_harm"]
    assert {"cn-pipl-57-authority", "cn-pipl-57-individuals"} <= set(harm.rules)
    assert len(harm.rules) == len(set(harm.rules))
    assert harm.certain
    assert demanded["nature_of_breach"].text["zh"]


def test_the_items_of_one_duty_are_those_of_its_rule() -> None:
    found = only(duties(), "cn-pipl-57-individuals")
    assert [item.id for item in demanded_items(found)] == [item.id for item in found[0].contents]


def test_what_only_a_possible_duty_asks_for_is_marked_and_an_exempt_one_asks_for_nothing() -> None:
    open_risk = only(duties(risk_to_persons="unknown"), "eu-gdpr-34-individuals")
    assert open_risk
    assert not any(item.certain for item in demanded_items(open_risk))
    exempt = only(duties(encrypted=True, key_safe=True), "eu-gdpr-34-individuals")
    assert [duty.status.value for duty in exempt] == ["exempt"]
    assert demanded_items(exempt) == ()


def test_a_draft_is_told_what_it_lacks() -> None:
    demanded = demanded_items(only(duties(), "cn-pipl-57-individuals"))
    draft = {"kinds_cause_and_harm": "Names and numbers, through a stolen key.", "measures_taken_and_advice": "  "}
    checked = check_draft(demanded, draft | {"weather": "Rain."})
    assert [item.id for item in checked.missing] == ["measures_taken_and_advice", "contact_of_processor"]
    assert checked.present == ("kinds_cause_and_harm",)
    assert checked.not_demanded == ("weather",)
    assert not checked.is_complete
    whole = {item.id: "Said." for item in demanded}
    assert check_draft(demanded, whole).is_complete
    assert check_draft(demanded, whole).missing == ()


def test_a_draft_is_complete_without_what_is_only_possible() -> None:
    possible = demanded_items(only(duties(risk_to_persons="unknown"), "eu-gdpr-34-individuals"))
    checked = check_draft(possible, {})
    assert checked.missing
    assert checked.is_complete
