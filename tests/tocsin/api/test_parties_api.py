"""Contract parties over HTTP: commands never answer with an address, and only those who handle incidents see one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from incidents.record.database import reading
from tests.tocsin.conftest import Door, problem
from tocsin.access.tables import remembered_answers

PARTY = {"name": "Cloud provider Ltd", "direction": "upstream", "roles": ["contract.party_b"], "place": "CN-BJ"}
DESK = {"name": "Security duty desk", "email": "desk@cloud.example", "phone": "+86 10 8299 0000"}


def add(door: Door) -> str:
    created = door.post("/v1/parties", PARTY)
    assert created.status_code == 201, created.text
    return str(created.headers["location"])


def name_contact(door: Door, party: str, **rest: Any) -> dict[str, Any]:
    answer = door.post(f"{party}/contacts", {"purpose": "incidents", "contact": DESK}, **rest)
    assert answer.status_code == 201, answer.text
    contact: dict[str, Any] = answer.json()["contacts"][0]
    return contact


def confirm(door: Door, party: str, contact: str, point: str) -> Any:
    body = {"point": point, "how": "Called the number in the contract."}
    return door.post(f"{party}/contacts/{contact}/confirmation", body)


def test_a_contact_is_named_confirmed_changed_and_erased(door: Door) -> None:
    party = add(door)
    named = name_contact(door, party)
    address = f"{party}/contacts/{named['contact']}"
    assert door.get(f"{party}/contacts").json() == []

    confirmed = confirm(door, party, named["contact"], named["versions"][0]["point"])
    assert confirmed.json()["contacts"][0]["current"] == named["versions"][0]["point"]
    (found,) = door.get(f"{party}/contacts", params={"purpose": "incidents"}).json()
    assert found["value"]["email"] == "desk@cloud.example"
    assert found["version"]["confirmed_by"] == "user:analyst"

    new = {"name": "Security duty desk", "email": "soc@cloud.example"}
    changed = door.ask("PUT", address, json={"contact": new, "reason": "Letter of 3 November."}).json()
    (before,) = door.get(f"{party}/contacts").json()
    assert (before["value"]["email"], before["pending"]) == ("desk@cloud.example", True)
    assert confirm(door, party, named["contact"], changed["contacts"][0]["versions"][1]["point"]).status_code == 200
    assert [one["value"]["email"] for one in door.get(address).json()] == ["desk@cloud.example", "soc@cloud.example"]

    assert door.post(f"{address}/erasure", {"reason": "They asked us to."}).status_code == 200
    assert [one["value"] for one in door.get(address).json()] == [None, None]
    problem(door.ask("PUT", address, json={"contact": new, "reason": "Again."}), 409, "illegal-transition")


def test_no_address_is_kept_outside_the_sealed_table(door: Door, logs: list[Any]) -> None:
    party = add(door)
    name_contact(door, party, headers={"Idempotency-Key": "once"})

    with reading(door.services.engine) as connection:
        answers = [row.body for row in connection.execute(select(remembered_answers))]
    recorded = [r.event.model_dump_json() for r in door.services.record.read(0, 100)]
    assert answers
    for text in (*answers, *recorded, str(logs), door.get(party).text):
        assert "cloud.example" not in text
        assert "8299" not in text
        assert "duty desk" not in text


def test_an_unseen_change_is_not_confirmed_and_unknown_things_are_not_found(door: Door) -> None:
    party = add(door)
    named = name_contact(door, party)
    seen = named["versions"][0]["point"]
    new = {"name": "Desk", "fax": "010 8299 0000"}
    door.ask("PUT", f"{party}/contacts/{named['contact']}", json={"contact": new, "reason": "They moved."})

    problem(confirm(door, party, named["contact"], seen), 409, "conflict")
    problem(confirm(door, party, seen, seen), 404, "not-found")
    problem(door.get(f"/v1/parties/{door.report()['id']}"), 404, "not-found")


def test_addresses_in_a_refused_request_do_not_come_back(door: Door) -> None:
    party = add(door)

    answer = door.post(f"{party}/contacts", {"purpose": "incidents", "contact": {"name": "D", "email": "desk@@cloud"}})

    problem(answer, 422, "invalid-input")
    assert "desk@@cloud" not in answer.text


def test_parties_are_listed_by_direction(door: Door) -> None:
    add(door)
    door.post("/v1/parties", {"name": "Shop", "direction": "downstream"})
    door.settle()

    found = door.get("/v1/parties", params={"direction": "upstream"}).json()["items"]
    assert [(one["name"], one["roles"], one["contacts"]) for one in found] == [
        ("Cloud provider Ltd", ["contract.party_b"], [])
    ]


def test_a_retired_party_takes_no_contact(door: Door) -> None:
    party = add(door)
    assert door.post(f"{party}/retire", {"reason": "Contract ended."}).status_code == 200

    answer = door.post(f"{party}/contacts", {"purpose": "incidents", "contact": DESK})

    problem(answer, 409, "illegal-transition")
