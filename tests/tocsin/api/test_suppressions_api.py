"""The list of addresses not to be written to, over HTTP; and text messages that people send back."""

from __future__ import annotations

from uuid import uuid4

from twilio.request_validator import RequestValidator

from tests.tocsin.api.test_receipts_api import PUBLIC, TOKEN, counted
from tests.tocsin.api.test_receipts_api import door as door_that_sends  # noqa: F401 - the fixture
from tests.tocsin.conftest import Door, problem

ADDRESS = "lan.anh@example.com"
LIST = "/v1/suppressions"


def test_added_found_lifted(door: Door) -> None:
    added = door.post(LIST, {"address": ADDRESS, "note": "asked on the phone"}).json()
    assert added["reason"] == "manual"
    assert added["added_by"].startswith("user:")
    assert ADDRESS not in str(added)
    found = door.post(f"{LIST}/search", {"address": ADDRESS.upper()}).json()
    assert [one["suppression_id"] for one in found["items"]] == [added["suppression_id"]]
    shown = door.get(LIST).json()
    assert shown["in_force"]["manual"] == 1
    lifted = door.post(f"{LIST}/{added['suppression_id']}/lifting", {"reason": "wrong person"}, by="approver").json()
    assert lifted["lifted_reason"] == "wrong person"
    assert door.get(LIST).json()["items"] == []
    assert len(door.get(f"{LIST}?lifted=true").json()["items"]) == 1


def test_bad_input_names_the_field_and_not_the_address(door: Door) -> None:
    answer = door.ask("POST", LIST, json={"address": "lan at example"})
    found = problem(answer, 422, "invalid-input")
    assert found["errors"][0]["field"] == "address"
    assert "lan at" not in answer.text
    problem(door.ask("POST", LIST, json={"address": ADDRESS, "channel": "sms"}), 422, "invalid-input")
    problem(door.ask("POST", LIST, json={"address": ADDRESS, "note": "call +44 7700 900123"}), 422, "invalid-input")
    missing = f"{LIST}/{uuid4()}/lifting"
    problem(door.ask("POST", missing, json={"reason": "x"}, by="approver"), 404, "not-found")


def test_a_stop_is_taken_and_forged_ones_are_not(door_that_sends: Door) -> None:  # noqa: F811
    door = door_that_sends
    form = {"From": "+447700900123", "Body": "STOP", "MessageSid": "SM" + "1" * 32}
    url = f"{PUBLIC}/v1/receipts/twilio/inbound"
    signature = RequestValidator(TOKEN).compute_signature(url, form)  # type: ignore[no-untyped-call]

    path = "/v1/receipts/twilio/inbound"
    answer = door.ask("POST", path, by=None, data=form, headers={"X-Twilio-Signature": signature})

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/xml")
    assert "<Response></Response>" in answer.text
    assert [one.reason for one in door.services.notifier.suppressions.of("+447700900123")] == ["stop"]
    assert counted(door, "inbound_stopped") == 1
    problem(door.ask("POST", path, by=None, data=form, headers={"X-Twilio-Signature": "x"}), 403, "forbidden")
    assert counted(door, "inbound_forged") == 1
    problem(door.post(path, {}, by=None), 415, "unsupported-media-type")


def test_without_sms_there_is_nothing_to_take(door: Door) -> None:
    problem(door.ask("POST", "/v1/receipts/twilio/inbound", by=None, data={"From": "x"}), 404, "not-found")
