"""Duties over HTTP: derived, waived, overturned, filed; and simulated from facts alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from incidents.clock import ManualClock
from incidents.record import Context
from tests.tocsin.conftest import Door, problem

FACTS: dict[str, Any] = {
    "event_kinds": ["personal_data_breach"],
    "data_classes": ["personal"],
    "data_events": ["leaked"],
    "persons_affected": 203,
    "roles": ["controller"],
    "countries": ["DE"],
    "main_establishment": "DE",
    "risk_to_persons": "high",
    "aware_at": "2026-11-20T00:30:00Z",
}


@pytest.fixture
def breach(door: Door) -> str:
    """An incident whose facts oblige the organisation to tell somebody."""
    incident = door.report("Customer table copied", facts=FACTS)["id"]
    door.post(f"/v1/incidents/{incident}/transitions", {"transition": "triage"})
    door.settle()
    return str(incident)


def due(door: Door, incident: str) -> list[dict[str, Any]]:
    items = door.get(f"/v1/incidents/{incident}/duties", params={"include": "open"}).json()["items"]
    return [item for item in items if item["status"] == "due"]


def test_duties_are_listed_with_their_reasons_and_in_the_deadlines(door: Door, breach: str) -> None:
    timed = [duty for duty in due(door, breach) if duty["strict_due"]]

    assert timed
    assert all(duty["why"] and duty["article"] and duty["recipient"] for duty in timed)
    across = door.get("/v1/deadlines", by="auditor").json()["items"]
    assert timed[0]["duty_id"] in [duty["duty_id"] for duty in across]
    assert all(0 <= duty["percent_used"] <= 100 for duty in timed)


def test_a_waiver_is_recorded_with_its_reason_and_can_be_taken_back(door: Door, breach: str) -> None:
    duty = due(door, breach)[0]["duty_id"]
    path = f"/v1/incidents/{breach}/duties/{duty}/waiver"

    problem(door.post(path, {"reason": "  "}, by="approver"), 422, "invalid-input")
    problem(door.post(path, {"reason": "Encrypted."}, by="analyst"), 403, "forbidden")
    waived = door.post(path, {"reason": "The key was not taken."}, by="approver")
    assert (waived.status_code, waived.json()["waived"], waived.json()["open"]) == (201, True, False)
    problem(door.post(path, {"reason": "Again."}, by="approver"), 409, "illegal-transition")
    door.settle()
    assert duty not in [one["duty_id"] for one in due(door, breach)]

    back = door.ask("DELETE", path, by="approver", json={"reason": "The key was found in the leak."})
    assert (back.status_code, back.json()["waived"]) == (200, False)
    door.settle()
    assert duty in [one["duty_id"] for one in due(door, breach)]
    kinds = [entry["kind"] for entry in door.get(f"/v1/incidents/{breach}/timeline").json()["items"]]
    assert kinds.index("duty.waived") < kinds.index("duty.waiver-overturned")


def test_a_filing_is_recorded_and_its_lateness_settled(door: Door, breach: str) -> None:
    duty = next(duty for duty in due(door, breach) if duty["strict_due"])
    path = f"/v1/incidents/{breach}/duties/{duty['duty_id']}/filing"

    future = {"submitted_at": "2026-11-25T00:00:00Z"}
    assert problem(door.post(path, future, by="approver"), 422, "invalid-input")["errors"][0]["field"] == "submitted_at"
    early = {"submitted_at": "2026-11-19T00:00:00Z"}
    assert problem(door.post(path, early, by="approver"), 422, "invalid-input")["errors"][0]["field"] == "submitted_at"
    filing = {"submitted_at": "2026-11-20T00:45:00Z", "reference": "DPA-2026-0412", "override_reason": "By telephone."}
    filed = door.post(path, filing, by="approver")

    assert (filed.status_code, filed.json()["fulfilled_at"]) == (201, "2026-11-20T00:45:00Z")
    door.settle()
    items = door.get(f"/v1/incidents/{breach}/duties").json()["items"]
    (shown,) = [one for one in items if one["duty_id"] == duty["duty_id"]]
    assert (shown["status"], shown["late"]) == ("fulfilled", False)
    assert "DPA-2026-0412" in shown["fulfilled_how"]


def test_a_filing_is_prepared_as_text(door: Door, breach: str) -> None:
    duty = due(door, breach)[0]["duty_id"]
    path = f"/v1/incidents/{breach}/duties/{duty}/filing-draft"

    english = door.get(path, params={"language": "en"}).json()
    chinese = door.get(path, params={"language": "zh-Hans"}).json()

    assert "Lantern Bank" in english["text"] + english["subject"]
    assert "灯笼银行" in chinese["text"] + chinese["subject"]


def test_unknown_duties_are_not_found(door: Door, breach: str) -> None:
    for method, rest in (("POST", "waiver"), ("DELETE", "waiver"), ("POST", "filing")):
        body = {"reason": "x"} if rest == "waiver" else {}
        answer = door.ask(method, f"/v1/incidents/{breach}/duties/none/{rest}", by="approver", json=body)
        assert problem(answer, 404, "not-found")["errors"][0]["field"] == "duty"
    problem(door.get(f"/v1/incidents/{breach}/duties/none/filing-draft"), 404, "not-found")
    fresh = door.report()["id"]
    problem(door.post(f"/v1/incidents/{fresh}/duties/none/waiver", {"reason": "x"}, by="approver"), 404, "not-found")


def test_a_simulation_answers_and_records_nothing(door: Door) -> None:
    before = door.events()

    answer = door.post("/v1/duties/simulate", {"facts": FACTS, "at": "2026-11-20T09:00:00+08:00"}, by="auditor")

    found = answer.json()
    assert answer.status_code == 200, answer.text
    assert found["at"] == "2026-11-20T01:00:00Z"
    gdpr = [duty for duty in found["items"] if duty["rule"].startswith("eu-gdpr-33") and duty["strict_due"]]
    assert gdpr
    assert gdpr[0]["strict_due"].endswith(("+01:00", "+02:00"))
    assert door.events() == before


def test_a_warning_is_acknowledged_by_who_handles_the_incident(door: Door, breach: str, clock: ManualClock) -> None:
    duty = next(duty for duty in due(door, breach) if duty["strict_due"])
    path = f"/v1/incidents/{breach}/duties/{duty['duty_id']}/acknowledgement"
    problem(door.post(path), 409, "illegal-transition")
    problem(door.post(path, by="approver"), 403, "forbidden")
    clock.move_to(datetime.fromisoformat(duty["strict_due"]) + timedelta(seconds=1))
    register = door.services.duties.watch(
        UUID(breach), Context(actor="system:clock", cause=f"timer:{uuid4()}", recorded_at=clock.now())
    )
    assert register.duties[duty["duty_id"]].missed

    key = {"Idempotency-Key": "seen-it"}
    seen = door.post(path, headers=key)
    again = door.post(path, headers=key)

    assert (seen.status_code, seen.json()["unacknowledged"], seen.json()["missed"]) == (201, False, True)
    assert (again.status_code, again.json()) == (201, seen.json())
    problem(door.post(path), 409, "illegal-transition")
    door.settle()
    (shown,) = [
        one for one in door.get(f"/v1/incidents/{breach}/duties").json()["items"] if one["duty_id"] == duty["duty_id"]
    ]
    assert shown["acknowledged_by"].startswith("user:")
    assert shown["acknowledged_at"]
    missing = f"/v1/incidents/{breach}/duties/none/acknowledgement"
    problem(door.post(missing), 404, "not-found")


def test_what_was_believed_then(door: Door, breach: str, clock: ManualClock) -> None:
    path = f"/v1/incidents/{breach}/duties"
    first = clock.now()
    now = door.get(path).json()
    clock.advance(timedelta(hours=1))
    duty = next(duty for duty in due(door, breach) if duty["strict_due"])["duty_id"]
    assert door.post(f"{path}/{duty}/filing", {"override_reason": "By phone."}, by="approver").status_code == 201
    door.post(f"/v1/incidents/{breach}/facts", {"facts": {"countries": ["DE", "SG"], "persons_affected": 900}})
    clock.advance(timedelta(hours=1))
    door.settle()

    then = door.get(path, params={"as_of": first.isoformat()}).json()
    today = door.get(path, params={"as_of": clock.now().isoformat()}).json()

    assert then == now, "the same answer, to the letter"
    assert today == door.get(path).json()
    assert {one["duty_id"] for one in today["items"]} > {one["duty_id"] for one in then["items"]}
    assert door.get(path, params={"as_of": "2026-11-19T00:00:00Z"}).json() == {"items": [], "next_cursor": None}
    incident = door.get(f"/v1/incidents/{breach}", params={"as_of": first.isoformat()})
    assert incident.json()["facts"]["persons_affected"] == 203
    assert "etag" not in incident.headers
    problem(door.get(f"/v1/incidents/{breach}", params={"as_of": "2026-11-19T00:00:00Z"}), 404, "not-found")


def test_what_was_believed_then_comes_in_pages(door: Door, breach: str, clock: ManualClock) -> None:
    path, then = f"/v1/incidents/{breach}/duties", clock.now().isoformat()
    whole = door.get(path, params={"as_of": then}).json()["items"]
    assert len(whole) > 2

    items: list[Any] = []
    cursor = None
    while True:
        params = {"as_of": then, "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = door.get(path, params=params).json()
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert items == whole


@pytest.mark.parametrize("as_of", ["2026-11-20T01:00:00", "2026-11-21T00:00:00Z", "yesterday", "1700000000"])
@pytest.mark.parametrize("rest", ["", "/duties"])
def test_then_is_an_instant_with_a_zone_that_has_been(door: Door, breach: str, as_of: str, rest: str) -> None:
    answer = door.get(f"/v1/incidents/{breach}{rest}", params={"as_of": as_of})
    assert "as_of" in problem(answer, 422, "invalid-input")["errors"][0]["field"]
