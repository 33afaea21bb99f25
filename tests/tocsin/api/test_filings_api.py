"""Filings over HTTP: the form, what is missing, approval, override, and whom a filing under a contract goes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from playbooks.filings.events import FilingApproved, FilingSubmitted, FilingWritten
from playbooks.filings.filing import Filing
from tests.playbooks.law.test_adding import example
from tests.tocsin.conftest import Door, problem
from tests.tocsin.conftest import settings as shared_settings  # noqa: F401
from tests.tocsin.console.test_login import HTML, log_in
from tocsin.settings import Settings

FACTS: dict[str, Any] = {
    "event_kinds": ["personal_data_breach"],
    "data_classes": ["personal"],
    "data_events": ["leaked"],
    "persons_affected": 203,
    "roles": ["controller", "contract_party_b"],
    "countries": ["DE"],
    "main_establishment": "DE",
    "risk_to_persons": "high",
    "service_outage_minutes": 90,
    "aware_at": "2026-11-20T00:30:00Z",
}
DPA = "eu-gdpr-33-1-authority:eu.supervisory_authority:initial"
CONTRACT = "acme-tell-customer-4h:acme.service_desk:contractual"
ADDRESS, OTHER = "desk@acme.example", "new-desk@acme.example"


@pytest.fixture
def settings(shared_settings: Settings, tmp_path: Path) -> Settings:  # noqa: F811
    """With a contract of our own among the law: the one of docs/law-adding.md."""
    folder = tmp_path / "law"
    folder.mkdir()
    (folder / "acme.yaml").write_text(example(), encoding="utf-8")
    return shared_settings.model_copy(update={"law_folder": folder})


@pytest.fixture
def incident(door: Door) -> str:
    found = door.report("Customer table copied", facts=FACTS)["id"]
    door.post(f"/v1/incidents/{found}/transitions", {"transition": "triage"})
    door.settle()
    return str(found)


def of(incident: str, duty: str = DPA) -> str:
    return f"/v1/incidents/{incident}/duties/{duty}"


def form(door: Door, incident: str, duty: str = DPA, **params: Any) -> dict[str, Any]:
    answer = door.get(f"{of(incident, duty)}/filing-form", params=params, by=params.pop("by", "analyst"))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def write_all(door: Door, incident: str, duty: str = DPA) -> dict[str, Any]:
    items = {name: {"text": f"About {name}"} for name in form(door, incident, duty)["missing"]}
    answer = door.post(f"{of(incident, duty)}/filing-items", {"items": items})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_form_names_every_item_and_what_is_missing(door: Door, incident: str) -> None:
    english, chinese = form(door, incident), form(door, incident, language="zh-Hans")

    states = {item["id"]: item["state"] for item in english["items"]}
    assert english["missing"] == [name for name, state in states.items() if state == "missing"]
    assert english["missing"], "people have something to write"
    assert "from_profile" in states.values()
    assert [item["text"] for item in english["items"]] != [item["text"] for item in chinese["items"]]
    assert english["digest"] == chinese["digest"]
    assert (english["counsel"], english["approval"], english["submission"]) == (None, None, None)
    problem(door.get(f"{of(incident, 'none')}/filing-form"), 404, "not-found")


def test_a_filing_without_its_items_is_refused_naming_each_one(door: Door, incident: str) -> None:
    before = form(door, incident)

    refused = problem(door.post(f"{of(incident)}/filing", by="approver"), 422, "invalid-input")
    approval = door.post(f"{of(incident)}/filing-approval", {"digest": before["digest"]}, by="approver")

    wanted = [f"items.{name}" for name in before["missing"]]
    assert [error["field"] for error in refused["errors"]] == wanted
    assert [error["field"] for error in problem(approval, 422, "invalid-input")["errors"]] == wanted
    door.settle()
    assert form(door, incident)["submission"] is None
    assert not door.services.duties.register(UUID(incident)).duties[DPA].fulfilled_at


def test_written_approved_submitted(door: Door, incident: str) -> None:
    written = write_all(door, incident)
    assert written["missing"] == []
    wrong = {"digest": "0" * 64}
    problem(door.post(f"{of(incident)}/filing-approval", wrong, by="approver"), 409, "conflict")
    problem(door.post(f"{of(incident)}/filing-approval", wrong, by="analyst"), 403, "forbidden")

    approved = door.post(f"{of(incident)}/filing-approval", {"digest": written["digest"]}, by="approver").json()
    assert approved["approval"]["valid"]
    filed = door.post(f"{of(incident)}/filing", {"reference": "DPA-2026-0412"}, by="approver")

    assert (filed.status_code, filed.json()["open"]) == (201, False)
    door.settle()
    decided = form(door, incident)["submission"]
    assert (decided["missing"], decided["override_reason"]) == ([], None)
    late = door.post(f"{of(incident)}/filing-items", {"items": {"nature": {"text": "x"}}})
    problem(late, 409, "illegal-transition")
    text = door.get(f"{of(incident)}/filing-draft").json()["text"]
    assert all(item["answer"] in text for item in written["items"])
    assert "[to be completed]" not in text.partition("2. What")[2]
    kinds = [entry["kind"] for entry in door.get(f"/v1/incidents/{incident}/timeline").json()["items"]]
    assert kinds.index("filing.written") < kinds.index("filing.approved") < kinds.index("filing.submitted")


def test_an_approval_is_void_when_facts_change_what_it_says(door: Door, incident: str) -> None:
    written = write_all(door, incident)
    door.post(f"{of(incident)}/filing-approval", {"digest": written["digest"]}, by="approver")

    answered = next(item["id"] for item in written["items"] if item["state"] == "written")
    door.post(f"{of(incident)}/filing-items", {"items": {answered: {"text": "Something else"}}})

    assert form(door, incident)["approval"]["valid"] is False


def test_an_override_is_on_record_with_its_reason_and_what_was_missing(door: Door, incident: str) -> None:
    missing = form(door, incident)["missing"]
    body = {"override_reason": "Told by telephone; the written form follows tonight."}
    key = {"Idempotency-Key": "file-it"}

    filed = door.post(f"{of(incident)}/filing", body, by="approver", headers=key)
    again = door.post(f"{of(incident)}/filing", body, by="approver", headers=key)

    assert filed.status_code == 201, filed.text
    assert again.json() == filed.json()
    events = list(door.services.record.stream(Filing.id_for(UUID(incident), DPA)))
    (submitted,) = [event for event in events if isinstance(event, FilingSubmitted)]
    assert list(submitted.judged.missing) == missing
    assert submitted.judged.override_reason == body["override_reason"]
    assert submitted.actor.startswith("user:")
    door.settle()
    said = [
        e["sentence"]
        for e in door.get(f"/v1/incidents/{incident}/timeline").json()["items"]
        if "WITHOUT" in e["sentence"]
    ]
    assert said
    assert body["override_reason"] in said[0]


def test_not_yet_known_is_said_in_the_document(door: Door, incident: str) -> None:
    name = form(door, incident)["missing"][0]
    body = {"items": {name: {"not_yet_known": True, "text": "The forensics end on Monday."}}}

    written = door.post(f"{of(incident)}/filing-items", body).json()

    assert name in written["not_yet_known"]
    assert name not in written["missing"]
    text = door.get(f"{of(incident)}/filing-draft").json()["text"]
    assert "not yet known at the time of this report: The forensics end on Monday." in text
    assert "尚不明确" in door.get(f"{of(incident)}/filing-draft", params={"language": "zh-Hans"}).json()["text"]
    final = door.post(f"{of(incident, CONTRACT)}/filing-items", {"items": {"cause": {"not_yet_known": True}}})
    assert problem(final, 422, "invalid-input")["errors"][0]["field"] == "items.cause"


def test_unfit_items_are_refused_and_nothing_is_written(door: Door, incident: str) -> None:
    name = form(door, incident)["missing"][0]
    body = {"items": {name: {"text": "Ask anna.weber@example.org"}, "weather": {"text": "Rain"}}}

    refused = problem(door.post(f"{of(incident)}/filing-items", body), 422, "invalid-input")

    assert {error["field"] for error in refused["errors"]} == {f"items.{name}", "items.weather"}
    assert "anna" not in str(refused)
    assert name in form(door, incident)["missing"]


def party_of(door: Door) -> str:
    described = {"name": "Acme AG", "direction": "downstream", "roles": ["acme.service_desk"]}
    found = door.post("/v1/parties", described).json()["id"]
    door.settle()
    return str(found)


def state_contact(door: Door, party: str, address: str, contact: str | None = None) -> dict[str, Any]:
    value = {"name": "Service desk", "email": address}
    path = f"/v1/parties/{party}/contacts"
    answer = (
        door.post(path, {"purpose": "incidents", "contact": value})
        if contact is None
        else door.ask("PUT", f"{path}/{contact}", json={"contact": value, "reason": "Moved."})
    )
    assert answer.status_code < 300, answer.text
    found: dict[str, Any] = answer.json()["contacts"][0]
    return found


def confirm(door: Door, party: str, contact: dict[str, Any]) -> None:
    point = contact["versions"][-1]["point"]
    path = f"/v1/parties/{party}/contacts/{contact['contact']}/confirmation"
    assert door.post(path, {"point": point, "how": "Called the number in clause 1.2."}).status_code < 300


def codes(door: Door, incident: str) -> list[str]:
    return [warning["code"] for warning in form(door, incident, CONTRACT)["warnings"]]


def test_a_filing_to_a_party_shows_its_confirmed_contact_and_warns_loudly(door: Door, incident: str) -> None:
    assert codes(door, incident) == ["no_party"]
    party = party_of(door)
    assert codes(door, incident) == ["no_contact"]
    contact = state_contact(door, party, ADDRESS)
    assert codes(door, incident) == ["unconfirmed"]
    assert "NO CONTACT of Acme AG IS CONFIRMED" in door.get(f"{of(incident, CONTRACT)}/filing-draft").json()["text"]

    confirm(door, party, contact)
    shown = form(door, incident, CONTRACT)
    assert (shown["warnings"], shown["receivers"][0]["value"]["email"]) == ([], ADDRESS)
    write_all(door, incident, CONTRACT)
    assert codes(door, incident) == []

    changed = state_contact(door, party, OTHER, contact["contact"])
    assert codes(door, incident) == ["pending"]
    assert ADDRESS in door.get(f"{of(incident, CONTRACT)}/filing-draft").json()["text"]
    confirm(door, party, changed)
    assert codes(door, incident) == ["changed_since"]
    text = door.get(f"{of(incident, CONTRACT)}/filing-draft").json()["text"]
    assert "CHANGED after this filing was drawn up" in text
    assert OTHER in text
    assert ADDRESS not in text.replace(OTHER, "")

    filed = door.post(f"{of(incident, CONTRACT)}/filing", by="approver")
    assert filed.status_code == 201, filed.text
    events = list(door.services.record.stream(Filing.id_for(UUID(incident), CONTRACT)))
    (submitted,) = [event for event in events if isinstance(event, FilingSubmitted)]
    assert submitted.judged.warnings == ("changed_since",), "what was said about the contact stays on record"


def test_a_changed_contact_voids_the_approval(door: Door, incident: str) -> None:
    party = party_of(door)
    contact = state_contact(door, party, ADDRESS)
    confirm(door, party, contact)
    digest = write_all(door, incident, CONTRACT)["digest"]
    approved = door.post(f"{of(incident, CONTRACT)}/filing-approval", {"digest": digest}, by="approver").json()
    assert approved["approval"]["valid"]

    confirm(door, party, state_contact(door, party, OTHER, contact["contact"]))

    assert form(door, incident, CONTRACT)["approval"]["valid"] is False


def test_addresses_of_parties_are_in_no_event_no_log_no_kept_answer_and_not_for_auditors(
    door: Door, incident: str, logs: list[Any]
) -> None:
    party = party_of(door)
    confirm(door, party, state_contact(door, party, ADDRESS))
    answers = [
        door.post(
            f"{of(incident, CONTRACT)}/filing-items",
            {"items": {"cause": {"text": "Power"}, "end_of_outage": {"text": "Noon"}}},
            headers={"Idempotency-Key": "write"},
        )
    ]
    digest = answers[0].json()["digest"]
    approval = {"digest": digest}
    answers.append(door.post(f"{of(incident, CONTRACT)}/filing-approval", approval, by="approver"))
    answers.append(door.post(f"{of(incident, CONTRACT)}/filing", by="approver"))

    assert [answer.status_code for answer in answers] == [200, 201, 201]
    for answer in answers:
        assert ADDRESS not in answer.text
    read = form(door, incident, CONTRACT, by="auditor")
    assert read["receivers"][0]["value"] is None
    assert read["receivers"][0]["channels"] == ["email"]
    assert ADDRESS not in door.get(f"{of(incident, CONTRACT)}/filing-draft", by="auditor").text
    assert ADDRESS in door.get(f"{of(incident, CONTRACT)}/filing-draft", by="approver").text
    kinds = set()
    for recorded in door.services.record.read(0, 10_000):
        assert ADDRESS not in recorded.event.model_dump_json()
        kinds.add(type(recorded.event))
    assert {FilingWritten, FilingApproved, FilingSubmitted} <= kinds
    assert ADDRESS not in str(logs)


def test_what_a_merged_part_had_filed_is_shown_with_the_duty_of_the_whole(door: Door, incident: str) -> None:
    sent = door.services.clock.now()
    door.post(f"{of(incident)}/filing", {"override_reason": "Counsel wrote to the authority."}, by="approver")
    whole = door.report("The intrusion", facts=FACTS)
    door.post(f"/v1/incidents/{whole['id']}/transitions", {"transition": "triage"})
    door.post(f"/v1/incidents/{incident}/merge", {"into": whole["id"], "reason": "Same intruder."})
    door.settle()

    def duty() -> dict[str, Any]:
        found = door.get(f"/v1/incidents/{whole['id']}/duties", params={"include": "all"}).json()["items"]
        return next(one for one in found if one["duty_id"] == DPA)

    assert duty()["status"] == "due", "nobody has said that the authority was told of the whole"
    (filed,) = duty()["filed_for_parts"]
    part = door.get(f"/v1/incidents/{incident}").json()["reference"]
    assert filed["reference"] == part
    session = HTML | {"Cookie": log_in(door, door.key("auditor")) or ""}
    console = door.get(f"/incidents/{whole['reference']}", by=None, headers=session)
    assert f'<a href="/incidents/{part}">{part}</a>' in console.text

    told = {"submitted_at": filed["submitted_at"], "override_reason": f"{part} told of all of it."}
    assert door.post(f"{of(whole['id'])}/filing", told, by="approver").status_code == 201
    door.settle()
    assert (duty()["fulfilled_at"], duty()["late"]) == (filed["submitted_at"], False)
    assert filed["submitted_at"] >= sent.isoformat().replace("+00:00", "Z")[:19]
