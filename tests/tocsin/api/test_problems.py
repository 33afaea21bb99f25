"""Problems: one form for every refusal, and nothing of the input in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from incidents.privacy import find_contacts
from tests.tocsin.conftest import Door, problem
from tocsin.api.problem_catalog import CATALOG

PERSON = {"name": "Li Na", "phone": "+8613800138000", "email": "li.na@example.com"}


def reported(**rest: Any) -> dict[str, Any]:
    return {"title": "x", **rest}


INVALID: list[tuple[str, Any, str]] = [
    ("/v1/incidents", {}, "title"),
    ("/v1/incidents", {"title": ""}, "title"),
    ("/v1/incidents", {"title": "x" * 201}, "title"),
    ("/v1/incidents", {"title": "a\x00b"}, "title"),
    ("/v1/incidents", {"title": 7}, "title"),
    ("/v1/incidents", [1], "body"),
    ("/v1/incidents", reported(colour="red"), "colour"),
    ("/v1/incidents", reported(facts={"persons_afected": 3}), "persons_afected"),
    ("/v1/incidents", reported(facts={"persons_affected": -3}), "persons_affected"),
    ("/v1/incidents", reported(facts={"aware_at": "2026-11-20T01:00:00"}), "aware_at"),
    ("/v1/incidents", reported(facts=[1]), "facts"),
    ("/v1/incidents", reported(happened_at="2026-11-20T01:00:00"), "happened_at"),
    ("/v1/incidents", reported(happened_at=1_795_000_000), "happened_at"),
    ("/v1/incidents", reported(happened_at="0001-01-01T00:00:00+14:00"), "happened_at"),
    ("/v1/incidents", reported(happened_at="2099-01-01T00:00:00Z"), "happened_at"),
    ("/v1/duties/simulate", {"facts": {}, "at": "yesterday"}, "at"),
    ("/v1/incidents?limit=0", None, "limit"),
    ("/v1/incidents?state=odd", None, "state.0"),
    ("/v1/incidents?cursor=!!", None, "cursor"),
    ("/v1/runs/not-a-uuid", None, "run"),
]


@pytest.mark.parametrize(("path", "body", "field"), INVALID)
def test_bad_input_names_the_field_changes_nothing_and_is_counted(door: Door, path: str, body: Any, field: str) -> None:
    before = door.events()
    refused = door.services.metrics.refused.labels(problem="invalid-input")
    counted = refused._value.get()

    answer = door.get(path) if body is None else door.post(path, body)

    assert field in [error["field"] for error in problem(answer, 422, "invalid-input")["errors"]]
    assert door.events() == before
    assert refused._value.get() == counted + 1


def test_unknown_addresses_and_methods_are_problems_too(door: Door) -> None:
    problem(door.get("/v1/nowhere"), 404, "not-found")
    problem(door.get("/v1/nowhere", by=None, headers={"Accept": "text/html"}), 404, "not-found")
    problem(door.ask("PATCH", "/v1/incidents"), 405, "method-not-allowed")


def test_an_unknown_method_says_which_are_known(door: Door) -> None:
    assert "POST" in door.ask("PATCH", "/v1/incidents").headers["allow"]


@pytest.mark.parametrize("body", [b"{", b'{"title": "x",}', b"", b'{"title": "\xff"}', b"nul"])
def test_what_is_not_json_is_malformed(door: Door, body: bytes) -> None:
    answer = door.ask("POST", "/v1/incidents", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code in {400, 422}
    code = "malformed-request" if answer.status_code == 400 else "invalid-input"
    assert problem(answer, answer.status_code, code)["errors"][0]["field"] == "body"
    assert (answer.status_code == 422) is (body == b"")


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "application/x-www-form-urlencoded", ""])
def test_commands_take_json_only(door: Door, media: str) -> None:
    answer = door.ask("POST", "/v1/incidents", content=b'{"title": "x"}', headers={"Content-Type": media})

    problem(answer, 415, "unsupported-media-type")


def test_half_a_character_is_refused_and_not_sent_back(door: Door) -> None:
    for body in (b'{"title": "\\ud800"}', b'{"title": "x", "facts": {"\\ud800": 1}}'):
        answer = door.ask("POST", "/v1/incidents", content=body, headers={"Content-Type": "application/json"})
        problem(answer, 422, "invalid-input")


def test_a_fault_of_ours_says_nothing_about_the_inside(
    door: Door, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    def broken(*_args: Any, **_more: Any) -> None:
        raise RuntimeError("select * from api_keys at 10.1.2.3")

    monkeypatch.setattr("tocsin.api.routes.boards.board", broken)

    answer = door.get("/v1/board")

    document = problem(answer, 500, "internal")
    assert "api_keys" not in answer.text
    (entry,) = [entry for entry in logs if entry["event"] == "request.failed"]
    assert entry["request_id"] == document["request_id"]


def test_every_kind_of_problem_has_a_page(door: Door) -> None:
    for code, kind in CATALOG.items():
        for language in ("en", "zh"):
            page = door.get(f"/problems/{code}", by=None, params={"lang": language})
            assert page.status_code == 200
            assert kind.titles[language] in page.text
    assert door.get("/problems/unheard-of", by=None).status_code == 404


def personal_requests(incident: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Requests that hold a person's data in every place where somebody could put it by mistake."""
    text = f"Call {PERSON['name']} at {PERSON['phone']} or {PERSON['email']}"
    body = [
        {"title": text},
        {"title": "x", "summary": text},
        {"title": "x", "facts": {PERSON["email"]: 1}},
        {"title": "x", "facts": {"persons_affected": PERSON["phone"]}},
        {"title": "x", "facts": {"event_kinds": [PERSON["email"]]}},
        {"title": "x", PERSON["phone"]: 1},
        {"title": "x", "happened_at": PERSON["phone"]},
    ]
    found: list[tuple[str, str, dict[str, Any]]] = [("POST", "/v1/incidents", {"json": one}) for one in body]
    found += [
        ("POST", f"/v1/incidents/{incident}/notes", {"json": {"text": text}}),
        ("POST", f"/v1/incidents/{incident}/facts", {"json": {"facts": {"malicious": True}, "source": text}}),
        ("POST", f"/v1/incidents/{incident}/transitions", {"json": {"transition": "triage", "comment": text}}),
        ("POST", f"/v1/incidents/{incident}/transitions", {"json": {"transition": PERSON["phone"]}}),
        ("POST", f"/v1/incidents/{incident}/assignee", {"json": {"assignee": PERSON["email"]}}),
        ("POST", f"/v1/incidents/{PERSON['phone']}/notes", {"json": {"text": "x"}}),
        ("GET", f"/v1/incidents/{PERSON['email']}", {}),
        ("GET", f"/v1/nowhere/{PERSON['phone']}", {}),
        ("GET", "/v1/incidents", {"params": {"cursor": PERSON["email"]}}),
        ("GET", "/v1/incidents", {"params": {"state": PERSON["email"]}}),
        ("POST", f"/v1/alerts/{PERSON['email']}", {"json": {}}),
        ("POST", "/v1/alerts/wazuh", {"json": {"rule": PERSON, "agent": PERSON["phone"]}}),
        (
            "POST",
            "/v1/alerts/wazuh",
            {"content": b'{"' + PERSON["phone"].encode() + b'": 1, "' + PERSON["phone"].encode() + b'": 2}'},
        ),
        (
            "POST",
            "/v1/incidents",
            {"content": PERSON["email"].encode(), "headers": {"Content-Type": "application/json"}},
        ),
        ("POST", "/v1/incidents", {"json": {"title": "x"}, "headers": {"Idempotency-Key": f"call {PERSON['phone']}"}}),
        ("GET", "/v1/whoami", {"headers": {"X-Request-Id": PERSON["phone"].strip("+")}}),
    ]
    return found


def test_no_answer_and_no_log_line_repeats_a_persons_data(door: Door, logs: list[Any]) -> None:
    incident = door.report()["id"]
    before = door.events()

    for method, path, rest in personal_requests(incident):
        answer = door.ask(method, path, **rest)
        assert answer.status_code >= 400 or path == "/v1/whoami", f"{method} {path} {rest}"
        seen = answer.text + json.dumps(dict(answer.headers))
        assert not find_contacts(seen), f"{method} {path}: {seen}"
        assert "Li Na" not in seen

    assert door.events() == before
    assert not find_contacts(json.dumps(logs, default=str))
    assert not find_contacts(door.services.metrics.render().decode())
