"""Idempotency keys and preconditions."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from anyio.from_thread import start_blocking_portal

from tests.tocsin.conftest import Client, Door, problem
from tocsin.api.app import create_app
from tocsin.services import Services


def key(name: str) -> dict[str, dict[str, str]]:
    return {"headers": {"Idempotency-Key": name}}


def test_a_command_sent_twice_has_one_effect_and_one_answer(door: Door) -> None:
    first = door.post("/v1/incidents", {"title": "Once"}, **key("report-1"))
    events = door.events()
    second = door.post("/v1/incidents", {"title": "Once"}, **key("report-1"))

    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert {name: second.headers[name] for name in ("etag", "location", "content-type")} == {
        name: first.headers[name] for name in ("etag", "location", "content-type")
    }
    assert door.events() == events


def test_an_effect_whose_answer_was_lost_is_not_repeated(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_args: Any) -> None:
        raise ConnectionError("the process is cut off between effect and answer")

    with monkeypatch.context() as patch:
        patch.setattr(door.services.answers, "remember", lost)
        assert door.post("/v1/incidents", {"title": "Once"}, **key("report-1")).status_code == 500
    events = door.events()

    again = door.post("/v1/incidents", {"title": "Once"}, **key("report-1"))

    assert again.status_code == 201
    assert door.events() == events > 0


def test_a_key_used_for_another_request_is_a_conflict(door: Door) -> None:
    incident = door.report()["id"]
    door.post(f"/v1/incidents/{incident}/notes", {"text": "One"}, **key("n"))
    before = door.events()

    for path, body in ((f"/v1/incidents/{incident}/notes", {"text": "Two"}), ("/v1/incidents", {"title": "One"})):
        document = problem(door.post(path, body, **key("n")), 409, "conflict")
        assert document["errors"][0]["field"] == "Idempotency-Key"
    assert door.events() == before


def test_two_callers_may_use_the_same_key(door: Door) -> None:
    first = door.post("/v1/incidents", {"title": "Mine"}, **key("same"))
    second = door.post("/v1/incidents", {"title": "Mine"}, by=("analyst", "approver"), **key("same"))

    assert first.json()["id"] != second.json()["id"]


def test_a_refusal_by_the_state_is_repeated_word_for_word(door: Door) -> None:
    incident = door.report()["id"]
    path = f"/v1/incidents/{incident}/transitions"
    first = door.post(path, {"transition": "contain"}, **key("c"))
    door.post(path, {"transition": "triage"})

    again = door.post(path, {"transition": "contain"}, **key("c"))

    problem(first, 409, "illegal-transition")
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["detail"] == first.json()["detail"]
    assert door.post(path, {"transition": "contain"}, **key("d")).json()["phase"] == "contained"


@pytest.mark.parametrize(("by", "code"), [("auditor", 403), (None, 401)], ids=["without the right", "without a key"])
def test_refusals_about_rights_are_not_remembered(door: Door, by: str | None, code: int) -> None:
    assert door.post("/v1/incidents", {"title": "Later"}, by=by, **key("k")).status_code == code

    assert door.post("/v1/incidents", {"title": "Later"}, **key("k")).status_code == 201


def test_a_fault_of_ours_is_not_remembered(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any, **_more: Any) -> None:
        raise RuntimeError("disk on fire at /srv/secret")

    with monkeypatch.context() as patch:
        patch.setattr(door.services.incidents, "report", broken)
        failed = door.post("/v1/incidents", {"title": "Once"}, **key("k"))

    problem(failed, 500, "internal")
    assert "fire" not in failed.text
    assert door.post("/v1/incidents", {"title": "Once"}, **key("k")).status_code == 201


@pytest.mark.parametrize("value", ["", "a b", "é", "x" * 129])
def test_a_malformed_key_is_refused(door: Door, value: str) -> None:
    answer = door.post("/v1/incidents", {"title": "x"}, headers={"Idempotency-Key": value.encode()})

    assert problem(answer, 400, "malformed-request")["errors"][0]["field"] == "Idempotency-Key"


def test_whoever_decided_from_an_old_version_is_told(door: Door) -> None:
    incident = door.report()
    path = f"/v1/incidents/{incident['id']}"
    tag = f'"{incident["version"]}"'
    changed = door.post(f"{path}/notes", {"text": "Meanwhile."}, headers={"If-Match": tag})
    assert changed.status_code == 201
    before = door.events()

    commands = {
        "notes": {"text": "x"},
        "facts": {"facts": {"malicious": True}},
        "transitions": {"transition": "triage"},
        "assignee": {"assignee": "lan"},
        "merge": {"into": door.report("Other")["id"]},
        "grades/cn-2025": {"level": "general", "reason": "x"},
    }
    before = door.events()
    for name, body in commands.items():
        problem(door.post(f"{path}/{name}", body, headers={"If-Match": tag}), 412, "precondition-failed")
    assert door.events() == before

    fresh = door.get(path).headers["etag"]
    assert door.post(f"{path}/notes", {"text": "Now."}, headers={"If-Match": fresh}).status_code == 201
    assert door.post(f"{path}/notes", {"text": "Any."}, headers={"If-Match": "*"}).status_code == 201


def test_a_lost_race_may_be_repeated_under_the_same_key(door: Door) -> None:
    incident = door.report()
    path = f"/v1/incidents/{incident['id']}/notes"
    headers = {"Idempotency-Key": "race", "If-Match": '"99"'}
    problem(door.post(path, {"text": "x"}, headers=headers), 412, "precondition-failed")

    again = door.post(path, {"text": "x"}, headers=headers | {"If-Match": f'"{incident["version"]}"'})

    assert again.status_code == 201


@pytest.mark.parametrize("tag", ['W/"1"', '"x"', '"1", "2"', "1"])
def test_a_tag_that_was_never_given_out_matches_nothing(door: Door, tag: str) -> None:
    incident = door.report()["id"]

    answer = door.post(f"/v1/incidents/{incident}/notes", {"text": "x"}, headers={"If-Match": tag})

    problem(answer, 412, "precondition-failed")


def test_if_match_is_refused_where_nothing_would_check_it(door: Door) -> None:
    answer = door.post("/v1/incidents", {"title": "x"}, headers={"If-Match": '"1"'})

    assert problem(answer, 400, "malformed-request")["errors"][0]["field"] == "If-Match"


def test_the_next_read_shows_what_a_command_did(services: Services) -> None:
    """While a worker keeps the read models up to date, the answer waits for them; without one it does not fail."""
    app = create_app(services, show_within=10)
    stop = threading.Event()
    worker = threading.Thread(target=services.projections.follow, args=(stop,))
    with start_blocking_portal() as portal:
        door = Door(Client(portal, app), services)
        worker.start()
        try:
            for number in range(5):
                reference = door.report(f"Incident {number}")["reference"]
                assert door.get(f"/v1/incidents/{reference}").status_code == 200
        finally:
            stop.set()
            services.projections.wake()
            worker.join()
        door.client.close()


def test_an_answer_does_not_fail_when_the_read_models_lag(services: Services) -> None:
    with start_blocking_portal() as portal:
        door = Door(Client(portal, create_app(services, show_within=0.01)), services)
        assert door.report()["phase"] == "reported"
        door.client.close()


def test_many_at_once_with_one_key_have_one_effect(door: Door) -> None:
    incident = door.report()["id"]
    door.key("analyst")
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: door.post(f"/v1/incidents/{incident}/notes", {"text": "Once."}, **key("burst")), range(16)
            )
        )

    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["version"] for answer in answers} == {2}
    assert len(list(door.services.record.stream(UUID(incident)))) == 2


def test_of_two_who_decide_from_one_version_one_is_told(door: Door) -> None:
    incident = door.report()
    door.key("analyst")
    path = f"/v1/incidents/{incident['id']}/notes"
    tag = {"If-Match": f'"{incident["version"]}"'}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: door.post(path, {"text": f"Note {n}"}, headers=tag), range(8)))

    assert sorted(answer.status_code for answer in answers) == [201] + [412] * 7
