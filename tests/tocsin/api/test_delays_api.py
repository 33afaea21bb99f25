"""Requests to wait, owners and retention over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from incidents.clock import ManualClock
from tests.conftest import NIGHT
from tests.tocsin.conftest import Door, problem
from tocsin.alarms import Alarms
from tocsin.background import automation_of
from tocsin.settings import Settings
from tocsin.watchdog import Watchdog

FACTS: dict[str, Any] = {
    "roles": ["hipaa_covered_entity", "controller"],
    "countries": ["US"],
    "data_classes": ["health"],
    "data_events": ["stolen"],
    "persons_affected": 501,
    "persons_by_country": {"US": 501},
    "persons_by_province": {"US-GA": 501},
    "encrypted": False,
    "low_probability_of_compromise": False,
    "good_faith_access": False,
}
PEOPLE = "us-hipaa-404-individuals:us.affected_individuals:individual"
RECORDS = "us-hipaa-414-records"
LETTER: dict[str, Any] = {
    "by": "law_enforcement",
    "authority": "FBI Atlanta, supervisor of squad 9",
    "form": "written",
    "stated_at": NIGHT.isoformat(),
    "until": (NIGHT + timedelta(days=10)).isoformat(),
    "reason": "Notice would impede a criminal investigation.",
}
OWNERS = {"dpo": {"name": "Data protection", "email": ["dpo@lantern.example"], "recipient_kinds": ["individuals"]}}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    warnings = {"email": ["desk@lantern.example"], "owners": OWNERS}
    return Settings(**{**settings.model_dump(), "warnings": warnings})


@pytest.fixture
def breach(door: Door) -> str:
    incident = str(door.report("Backup tapes stolen", facts=FACTS)["id"])
    door.post(f"/v1/incidents/{incident}/transitions", {"transition": "triage"})
    door.settle()
    return incident


def duty(door: Door, incident: str, duty_id: str = PEOPLE, **params: str) -> dict[str, Any]:
    items = door.get(f"/v1/incidents/{incident}/duties", params=params).json()["items"]
    found: dict[str, Any] = next(one for one in items if one["duty_id"].startswith(duty_id))
    return found


def test_a_request_to_wait_pauses_duties_and_the_answer_says_which(door: Door, breach: str, clock: ManualClock) -> None:
    path = f"/v1/incidents/{breach}/delays"
    problem(door.post(path, LETTER, by="analyst"), 403, "forbidden")
    answer = door.post(path, LETTER, by="approver")
    assert answer.status_code == 201, answer.text
    effects = {one["duty_id"]: one for one in answer.json()["effects"]}
    assert effects[PEOPLE]["pauses"]
    assert datetime.fromisoformat(effects[PEOPLE]["until"]) == NIGHT + timedelta(days=10)
    assert not next(one for name, one in effects.items() if name.startswith(RECORDS))["pauses"]

    door.settle()
    paused = duty(door, breach)
    assert (paused["status"], paused["colour"], paused["strict_due"], paused["percent_used"]) == (
        "paused",
        "paused",
        None,
        None,
    )
    assert paused["delay"]["authority"] == LETTER["authority"]
    assert paused["delay"]["resumes_due"] > paused["delay"]["until"]
    assert paused["delayable_by"] == ["law_enforcement"]
    assert "asked in writing" in str(paused["why"])
    sentences = [entry["sentence"] for entry in door.get(f"/v1/incidents/{breach}/timeline").json()["items"]]
    assert any(LETTER["authority"] in one and "asked in writing to wait" in one for one in sentences)

    clock.advance(timedelta(days=1))
    (delay,) = door.get(path).json()["delays"]
    ended = door.post(f"{path}/{delay['id']}/end", {"reason": "Arrests were made."}, by="approver")
    assert ended.status_code == 201, ended.text
    assert not {one["duty_id"]: one for one in ended.json()["effects"]}[PEOPLE]["pauses"]
    door.settle()
    assert duty(door, breach)["status"] == "due"
    before = (clock.now() - timedelta(hours=1)).isoformat()
    assert duty(door, breach, as_of=before)["status"] == "paused"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"by": "police"}, "by"),
        ({"form": "mail"}, "form"),
        ({"authority": ""}, "authority"),
        ({"until": NIGHT.isoformat()}, "until"),
        ({"stated_at": (NIGHT + timedelta(days=1)).isoformat()}, "stated_at"),
        ({"reason": "Call +1 404 555 0100"}, "reason"),
        ({"duties": ["x"]}, "duties"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(door: Door, breach: str, wrong: dict[str, Any], field: str) -> None:
    before = door.events()
    refused = problem(door.post(f"/v1/incidents/{breach}/delays", LETTER | wrong, by="approver"), 422, "invalid-input")
    assert field in str(refused["errors"])
    assert door.events() == before


def test_a_repeated_request_has_one_effect(door: Door, breach: str) -> None:
    key = {"Idempotency-Key": "letter-1"}
    path = f"/v1/incidents/{breach}/delays"
    first, second = (door.post(path, LETTER, by="approver", headers=key) for _ in range(2))
    assert first.json() == second.json()
    assert len(door.get(path).json()["delays"]) == 1


def test_what_if_an_authority_asked_records_nothing(door: Door, breach: str) -> None:
    before = door.events()
    body = {"facts": FACTS | {"aware_at": NIGHT.isoformat()}, "delays": [LETTER | {"id": "maybe"}]}
    found = door.post("/v1/duties/simulate", body).json()["items"]
    (people,) = [one for one in found if one["rule"] == "us-hipaa-404-individuals"]
    assert people["status"] == "paused"
    assert door.events() == before


def test_a_duty_shows_its_owner_and_can_be_given_to_another(door: Door, breach: str) -> None:
    assert duty(door, breach)["owner"] == {"id": "dpo", "name": "Data protection", "by": "rule"}
    assert duty(door, breach, RECORDS)["owner"]["by"] == "default"
    across = door.get("/v1/deadlines").json()["items"]
    assert next(one for one in across if one["duty_id"] == PEOPLE)["owner"]["id"] == "dpo"
    owners = door.get("/v1/owners")
    assert owners.json() == {"items": [{"id": "dpo", "name": "Data protection"}]}

    records = duty(door, breach, RECORDS)["duty_id"]
    path = f"/v1/incidents/{breach}/duties/{records}/assignment"
    problem(door.post(path, {"owner": "dpo"}, by="auditor"), 403, "forbidden")
    refused = problem(door.post(path, {"owner": "nobody"}), 422, "invalid-input")
    assert "there are: dpo" in str(refused)
    given = door.post(path, {"owner": "dpo"})
    assert (given.status_code, given.json()["assigned_to"]) == (201, "dpo")
    door.settle()
    assert duty(door, breach, RECORDS)["owner"]["by"] == "assignment"
    assert door.ask("DELETE", path).json()["assigned_to"] is None
    door.settle()
    assert duty(door, breach, RECORDS)["owner"]["by"] == "default"


def test_no_address_of_staff_is_in_an_answer_or_an_event(door: Door, breach: str) -> None:
    path = f"/v1/incidents/{breach}/duties/{PEOPLE}/assignment"
    answers = [door.post(path, {"owner": "dpo"}), door.get("/v1/owners"), door.get(f"/v1/incidents/{breach}/duties")]
    door.settle()
    events = [recorded.event.model_dump_json() for recorded in door.services.record.read(0, 10_000)]
    assert "lantern.example" not in "".join([*(answer.text for answer in answers), *events])


def test_a_retention_time_is_shown(door: Door) -> None:
    facts = {"roles": ["controller"], "countries": ["CA"], "data_classes": ["personal"], "data_events": ["leaked"]}
    facts |= {"persons_affected": 3, "persons_by_country": {"CA": 3}, "aware_at": NIGHT.isoformat()}
    found = door.post("/v1/duties/simulate", {"facts": facts | {"determined_at": NIGHT.isoformat()}}).json()["items"]
    (kept,) = [one for one in found if one["rule"] == "ca-pipeda-10-3-records"]
    assert kept["retention"] == {"amount": 24, "unit": "months", "until": "2028-11-20T00:00:00-05:00"}
    assert any("kept at least 24 months, until the end of" in reason["text"]["en"] for reason in kept["why"])


def test_the_watch_over_clocks_ends_the_waiting_by_itself(door: Door, breach: str, clock: ManualClock) -> None:
    services = door.services
    alarms = Alarms(services.engine, services.duties, services.runs, clock, uuid4)
    watchdog = Watchdog(services, automation_of(services), (), pause=lambda _seconds: None)
    door.post(f"/v1/incidents/{breach}/delays", LETTER, by="approver")
    door.settle()
    assert watchdog.look().well
    clock.move_to(NIGHT + timedelta(days=9))
    alarms.run_once()
    door.settle()
    assert duty(door, breach)["warned_percent"] == 100, "that the waiting ends soon is called out"

    clock.move_to(NIGHT + timedelta(days=10))
    assert duty(door, breach)["status"] == "paused"
    assert watchdog.look().well, "the waiting has only just ended"
    clock.advance(timedelta(minutes=2))
    assert [fault.what for fault in watchdog.look().faults if fault.duty == PEOPLE], "nobody said that it ended"
    alarms.run_once()
    door.settle()
    alarms.run_once()
    door.settle()
    due = duty(door, breach)
    assert (due["status"], due["colour"]) == ("due", "calm")
    assert due["strict_due"] == duty(door, breach)["delay"]["resumes_due"]
    assert not [fault for fault in watchdog.look().faults if fault.duty == PEOPLE]
