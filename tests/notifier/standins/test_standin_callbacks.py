"""Status callbacks: signature, order, faults, retries, and what a killed process left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random

import pytest

from notifier.standins.callback_sender import CallbackFaults, RetryPolicy, sign
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.outcomes import SMS_OUTCOMES, Answer, Receipts, simulated_number
from tests.notifier.standins.standin_harness import ACCOUNT, SERVICE, run, world

ORDINARY = simulated_number("delivered")
_HERE = Path(__file__).parent
_SHARED = Path(os.environ.get("TOCSIN_SHARED", _HERE.parents[3] / "shared"))


def vector_files() -> list[Path]:
    whole = _SHARED / "samples" / "twilio" / "signature_vectors.json"
    return [_HERE / "data" / "signature_vectors.json", *([whole] if whole.exists() else [])]


@pytest.mark.parametrize("path", vector_files(), ids=str)
def test_signatures_equal_the_published_vectors(path: Path) -> None:
    vectors = json.loads(path.read_text(encoding="utf-8"))
    checked = 0
    for case in vectors["cases"]:
        pairs = [
            (name, value)
            for name, given in case["params"].items()
            for value in (given if isinstance(given, list) else [given])
        ]
        signed_url = case["url"]
        if "443" in case["id"]:
            signed_url = signed_url.replace("mycompany.com", "mycompany.com:443")
        assert (sign(vectors["auth_token"], signed_url, pairs) == case["x_twilio_signature"]) is case["valid"]
        checked += 1
    assert checked >= 3


def test_each_callback_is_signed_for_its_whole_url_and_carries_twilios_fields() -> None:
    async def story() -> None:
        async with world() as there:
            sent = await there.send(ORDINARY, from_=None, messaging_service_sid=SERVICE)
            await there.standins.idle()
            assert there.receiver.statuses() == ["queued", "sending", "sent", "delivered"]
            assert there.receiver.signed == [True] * 4
            last = dict(there.receiver.forms[-1])
            assert last == {
                "SmsSid": sent.sid,
                "MessageSid": sent.sid,
                "SmsStatus": "delivered",
                "MessageStatus": "delivered",
                "To": ORDINARY,
                "From": "+15005550006",
                "AccountSid": ACCOUNT,
                "ApiVersion": "2010-04-01",
                "MessagingServiceSid": SERVICE,
                "RawDlrDoneDate": "2603011200",
            }
            assert "RawDlrDoneDate" not in dict(there.receiver.forms[-2])

    run(story())


def test_no_callback_is_sent_for_the_first_status_nor_without_an_address() -> None:
    async def story() -> None:
        async with world() as there:
            await there.send(ORDINARY)
            quiet = await there.send(ORDINARY, status_callback=None)
            await there.standins.idle()
            assert there.receiver.statuses() == ["sending", "sent", "delivered"]
            assert there.store.message(quiet.sid).status == "delivered"

    run(story())


@pytest.mark.parametrize(
    "outcome", [o for o in SMS_OUTCOMES if o.answer is Answer.ACCEPT and o.final_code], ids=lambda o: o.name
)
def test_a_failing_number_ends_with_its_code(outcome: object) -> None:
    async def story() -> None:
        async with world() as there:
            sent = await there.send(simulated_number(outcome.name, "VN", 42))
            await there.standins.idle()
            forms = [dict(form) for form in there.receiver.forms]
            assert forms[-1]["MessageStatus"] == outcome.final
            assert forms[-1]["ErrorCode"] == str(outcome.final_code)
            assert not any("ErrorCode" in form for form in forms[:-1])
            assert ("sent" in there.receiver.statuses()) is (outcome.final == "undelivered")
            kept = there.store.message(sent.sid)
            assert (kept.status, kept.error_code) == (outcome.final, str(outcome.final_code))

    run(story())


@pytest.mark.parametrize(
    ("name", "told", "final"),
    [
        ("silent", [], "delivered"),
        ("callbacks-twice", ["sending", "sending", "sent", "sent", "delivered", "delivered"], "delivered"),
        ("callbacks-reversed", ["delivered", "sent", "sending"], "delivered"),
        ("never-confirmed", ["sending", "sent"], "sent"),
    ],
)
def test_numbers_whose_callbacks_misbehave(name: str, told: list[str], final: str) -> None:
    async def story() -> None:
        async with world() as there:
            sent = await there.send(simulated_number(name))
            await there.standins.idle()
            assert there.receiver.statuses() == told
            assert (await there.client.messages(sent.sid).fetch_async()).status == final

    run(story())


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        (CallbackFaults(dropped=1.0), []),
        (CallbackFaults(duplicated=1.0), ["sending", "sending", "sent", "sent", "delivered", "delivered"]),
        (CallbackFaults(reversed=1.0), ["delivered", "sent", "sending"]),
    ],
)
def test_faults_can_be_laid_over_every_message(faults: CallbackFaults, told: list[str]) -> None:
    async def story() -> None:
        async with world(faults=faults) as there:
            await there.send(ORDINARY)
            await there.standins.idle()
            assert there.receiver.statuses() == told

    run(story())


def test_a_share_of_faults_is_met_by_that_share_of_messages(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(faults=CallbackFaults(dropped=0.5)) as there:
            there.standins._callbacks._random = Random(7)
            for _ in range(40):
                await there.send(ORDINARY)
            await there.standins.idle()
            assert 0 < there.receiver.statuses().count("delivered") < 40

    run(story())


@pytest.mark.parametrize(
    ("fragment", "answers", "tries"),
    [
        ("", [500, 500], 1),  # by default only a missing connection is tried again
        ("#rc=2&rp=5xx", [500, 503], 3),
        ("#rc=3&rp=all", [404, 500], 3),
        ("#rc=1&rp=4xx", [404, 404], 2),
    ],
)
def test_retries_follow_the_fragment_of_the_address(fragment: str, answers: list[int], tries: int) -> None:
    async def story() -> None:
        async with world() as there:
            there.receiver.answers = list(answers)
            sent = await there.send(simulated_number("filtered"), status_callback=there.callback + fragment)
            await there.standins.idle()
            assert there.receiver.statuses() == ["failed"] * tries
            assert all(there.receiver.signed)
            assert [c.attempt for c in there.store.callbacks(sent.sid)] == list(range(1, tries + 1))

    run(story())


def test_a_dead_receiver_is_tried_twice_and_stops_nothing() -> None:
    async def story() -> None:
        async with world() as there:
            sent = await there.send(simulated_number("filtered"), status_callback="http://127.0.0.1:1/receipts")
            await there.standins.idle()
            assert [c.result for c in there.store.callbacks(sent.sid)] == ["ConnectError"] * 2
            assert there.store.message(sent.sid).status == "failed"

    run(story())


def test_the_policy_of_a_broken_fragment_is_the_default() -> None:
    assert RetryPolicy.of("http://x/#rc=many") == RetryPolicy()
    assert RetryPolicy.of("http://x/#rc=9").retries == 5
    assert RetryPolicy.of("http://x/") == RetryPolicy(1, frozenset({"ct"}))


def test_messages_left_by_a_stopped_process_are_followed_by_the_next() -> None:
    async def story() -> None:
        store = OutboxStore()
        async with world(store, step_delay=3600) as there:
            await there.send(ORDINARY, status_callback=None)
            await there.send(simulated_number("unreachable"), status_callback=None)
        assert [m.status for m in store.messages()] == ["queued", "queued"]
        async with world(store) as there:
            await there.standins.idle()
        assert [m.status for m in store.messages()] == ["undelivered", "delivered"]
        store.close()

    run(story())


def test_every_receipts_kind_has_a_number() -> None:
    assert {o.receipts for o in SMS_OUTCOMES} == set(Receipts)
    assert {o.answer for o in SMS_OUTCOMES} == set(Answer)
