"""Provider receipts over HTTP: only what is signed counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from anyio.from_thread import start_blocking_portal
from twilio.request_validator import RequestValidator

from incidents.clock import ManualClock
from notifier.receipts.callback_url import CallbackUrls
from tests.tocsin.conftest import MASTER_KEY, PROFILE, Client, Door, problem
from tocsin.api.app import create_app
from tocsin.settings import Settings
from tocsin.wiring import open_services

TOKEN = "a-token-of-this-test"
PUBLIC = "https://tocsin.lantern.example"


@pytest.fixture
def door(tmp_path: Path, clock: ManualClock) -> Iterator[Door]:
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'door.sqlite'}",
        public_url=PUBLIC,
        vault={"master_keys": f"k1:{MASTER_KEY}"},  # type: ignore[arg-type]
        sms={"mode": "twilio", "account_sid": "AC" + "0" * 32, "auth_token": TOKEN, "sender": "Lantern"},  # type: ignore[arg-type]
    )
    with open_services(settings, clock=clock, profile=PROFILE) as services, start_blocking_portal() as portal:
        client = Client(portal, create_app(services, show_within=0))
        yield Door(client, services)
        client.close()


FORM = {"MessageSid": "SM" + "1" * 32, "MessageStatus": "delivered", "To": "+8613800138000"}


def callback(door: Door) -> str:
    keys = door.services.vault.keys
    return CallbackUrls(PUBLIC, keys.derive("callback-address")).url_for(uuid4(), uuid4())


def counted(door: Door, outcome: str) -> float:
    return float(door.services.metrics.receipts.labels(provider="twilio", outcome=outcome)._value.get())


def test_a_genuine_receipt_is_taken_whatever_host_the_proxy_shows(door: Door) -> None:
    url = callback(door)
    signature = RequestValidator(TOKEN).compute_signature(url, FORM)

    answer = door.ask("POST", url.removeprefix(PUBLIC), by=None, data=FORM, headers={"X-Twilio-Signature": signature})

    assert (answer.status_code, answer.content) == (204, b"")
    assert counted(door, "unknown_delivery") == 1
    assert answer.headers["strict-transport-security"]


@pytest.mark.parametrize("how", ["no signature", "wrong signature", "changed form", "changed address", "plain address"])
def test_a_forged_receipt_is_refused_counted_and_changes_nothing(door: Door, how: str) -> None:
    url = callback(door)
    headers = {"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(url, FORM)}
    form = dict(FORM)
    if how == "no signature":
        headers = {}
    elif how == "wrong signature":
        headers = {"X-Twilio-Signature": RequestValidator("another token").compute_signature(url, FORM)}
    elif how == "changed form":
        form["MessageStatus"] = "failed"
    elif how == "changed address":
        url = callback(door)
    else:
        url = f"{PUBLIC}/v1/receipts/twilio"
        headers = {"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(url, FORM)}
    before = door.events()

    answer = door.ask("POST", url.removeprefix(PUBLIC), by=None, data=form, headers=headers)

    problem(answer, 403, "forbidden")
    assert "13800138000" not in answer.text
    assert counted(door, "forged") == 1
    assert door.services.metrics.refused.labels(problem="forbidden")._value.get() == 1
    assert door.events() == before


def test_what_is_no_form_is_refused(door: Door) -> None:
    problem(door.post("/v1/receipts/twilio", {}, by=None), 415, "unsupported-media-type")
    many = {f"f{number}": "x" for number in range(200)}
    problem(door.ask("POST", "/v1/receipts/twilio", by=None, data=many), 400, "malformed-request")
