"""The asset register over HTTP, and what linking an asset does to an incident, its duties and its story."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.tocsin.conftest import Door, problem

ASSET: dict[str, Any] = {
    "name": "Patient records",
    "owner": {"name": "Ward administration"},
    "custodian": {"name": "IT operations"},
    "processors": [{"name": "Cloud provider Ltd"}],
    "classification": "important",
    "data_classes": ["health"],
    "persons": 1200,
    "persons_by_country": {"CN": 1200},
    "countries": ["CN"],
}


def test_an_asset_is_registered_read_revised_and_retired(door: Door) -> None:
    created = door.post("/v1/assets", ASSET)
    assert created.status_code == 201, created.text
    asset = created.json()
    address = created.headers["location"]
    assert [(one["responsibility"], one["name"]) for one in asset["responsible"]] == [
        ("provider", "Ward administration"),
        ("handler", "IT operations"),
        ("handler", "Cloud provider Ltd"),
    ]
    read = door.get(address, by="auditor")
    assert (read.json(), read.headers["etag"]) == (asset, '"1"')

    revised = door.ask("PUT", address, json=ASSET | {"persons": 1300}, headers={"If-Match": '"1"'})
    assert revised.json()["asset"]["persons"] == 1300
    stale = door.ask("PUT", address, json=ASSET, headers={"If-Match": '"1"'})
    problem(stale, 412, "precondition-failed")

    retired = door.post(f"{address}/retire", {"reason": "Replaced."})
    assert retired.json()["retired_because"] == "Replaced."
    problem(door.ask("PUT", address, json=ASSET), 409, "illegal-transition")


def test_the_register_is_listed_searched_and_filtered(door: Door) -> None:
    for name in ("Patient records", "payroll"):
        door.post("/v1/assets", ASSET | {"name": name})
    door.post("/v1/assets", ASSET | {"name": "Core ledger", "classification": "core"})
    door.settle()

    assert [one["name"] for one in door.get("/v1/assets").json()["items"]] == [
        "Core ledger",
        "Patient records",
        "payroll",
    ]
    assert [one["name"] for one in door.get("/v1/assets", params={"search": "pay"}).json()["items"]] == ["payroll"]
    found = door.get("/v1/assets", params={"classification": "core"}).json()["items"]
    assert [one["name"] for one in found] == ["Core ledger"]


def test_a_repeated_command_has_one_effect(door: Door) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    first, again = (door.post("/v1/assets", ASSET, headers=headers) for _ in range(2))

    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert door.events() == 1


def test_faults_name_the_field_and_change_nothing(door: Door) -> None:
    for change, field in (
        ({"data_classes": ["helth"]}, "asset"),
        ({"owner": {"name": "ask wang@example.com"}}, "owner.name"),
        ({"countries": ["UK"]}, "countries.0"),
        ({"classification": "secret"}, "classification"),
    ):
        answer = door.post("/v1/assets", ASSET | change)
        document = problem(answer, 422, "invalid-input")
        assert document["errors"][0]["field"].endswith(field), document
        assert "wang@" not in answer.text
    assert door.events() == 0


def test_linking_an_asset_fills_facts_that_raise_duties_and_tell_the_story(door: Door) -> None:
    asset = door.post("/v1/assets", ASSET).json()["id"]
    incident = door.report(facts={"event_kinds": ["personal_data_breach"], "data_events": ["leaked"]})["id"]
    door.post(f"/v1/incidents/{incident}/transitions", {"transition": "triage"})
    door.settle()

    linked = door.post(f"/v1/incidents/{incident}/assets", {"asset": asset})

    assert linked.status_code == 201, linked.text
    assert linked.json()["facts_from_assets"] == ["data_classes", "persons_affected", "persons_by_country"]
    facts = door.get(f"/v1/incidents/{incident}").json()["facts"]
    assert facts["persons_affected"] == 1200
    assert facts["data_classes"] == ["health", "important_data"]
    door.settle()
    due = [one for one in door.get(f"/v1/incidents/{incident}/duties").json()["items"] if one["status"] == "due"]
    assert any(one["duty_id"].startswith("cn-pipl-57") for one in due), [one["duty_id"] for one in due]
    story = [one["sentence"] for one in door.get(f"/v1/incidents/{incident}/timeline").json()["items"]]
    assert any(line.startswith("Asset concerned: Patient records.") for line in story)
    assert door.get("/v1/assets").json()["items"][0]["incidents"] == 1
    assert door.get(f"/v1/incidents/{incident}/assets").json() == linked.json() | {
        "version": door.get(f"/v1/incidents/{incident}").json()["version"]
    }


def test_only_an_asset_can_be_linked(door: Door) -> None:
    incident, other = door.report()["id"], door.report("Another")["id"]

    for name in (str(uuid4()), other):
        problem(door.post(f"/v1/incidents/{incident}/assets", {"asset": name}), 404, "not-found")
    problem(door.get(f"/v1/assets/{other}"), 404, "not-found")
