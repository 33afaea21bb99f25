"""Creating messages at the Twilio stand-in with the real SDK: answers, errors and lost answers."""

from __future__ import annotations

import re

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from notifier.channels.twilio_http import PooledTwilioHttpClient, SendPhase, TwilioTransportError
from notifier.standins.outcomes import MAGIC_NUMBERS, SMS_OUTCOMES, Answer, simulated_number
from notifier.standins.twilio_messages import message_body
from tests.notifier.standins.standin_harness import ACCOUNT, NOON, SERVICE, World, run, world

ORDINARY = simulated_number("delivered")

PROPERTIES = set(
    """body num_segments direction from to date_updated price error_message uri account_sid num_media status
    messaging_service_sid sid date_sent date_created error_code price_unit api_version subresource_uris""".split()  # noqa: SIM905
)
"""Of `api.v2010.account.message` in Twilio's OpenAPI description."""


async def refused(there: World, to: str = ORDINARY, **options: object) -> TwilioRestException:
    with pytest.raises(TwilioRestException) as caught:
        await there.send(to, **options)
    return caught.value


def test_an_accepted_message_has_the_whole_v2010_body() -> None:
    async def story() -> None:
        async with world(step_delay=3600) as there:
            message = await there.send(ORDINARY, body="Hello 你好")
            assert re.fullmatch(r"SM[0-9a-f]{32}", message.sid)
            assert (message.status, message.direction, message.num_segments) == ("queued", "outbound-api", "1")
            assert (message.to, message.from_, message.body) == (ORDINARY, "+15005550006", "Hello 你好")
            assert (message.date_created, message.date_sent) == (NOON, None)
            assert (message.error_code, message.error_message, message.price) == (None, None, None)
            uri = f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{message.sid}"
            assert message.uri == f"{uri}.json"
            assert message.subresource_uris == {"media": f"{uri}/Media.json"}
            (kept,) = there.store.messages()
            body = message_body(kept, ACCOUNT)
            assert set(body) == PROPERTIES
            assert body["date_created"] == "Sun, 01 Mar 2026 12:00:00 +0000"

    run(story())


def test_a_messaging_service_decides_sender_and_segments_later() -> None:
    async def story() -> None:
        async with world(step_delay=3600) as there:
            message = await there.send(ORDINARY, from_=None, messaging_service_sid=SERVICE)
            assert (message.status, message.num_segments, message.from_) == ("accepted", "0", None)
            assert message.messaging_service_sid == SERVICE

    run(story())


def test_every_sid_is_its_own() -> None:
    async def story() -> None:
        async with world() as there:
            assert len({(await there.send(ORDINARY)).sid for _ in range(20)}) == 20
            assert there.store.counts("sms") == {ORDINARY: 20}

    run(story())


@pytest.mark.parametrize(
    ("to", "options", "status", "code"),
    [
        ("", {}, 400, 21604),
        (ORDINARY, {"from_": None}, 400, 21603),
        (ORDINARY, {"body": None}, 400, 21602),
        (ORDINARY, {"body": ""}, 400, 21602),
        ("12345", {}, 400, 21211),
        ("+1999", {}, 400, 21211),
        ("not a number", {}, 400, 21211),
        (ORDINARY, {"body": "x" * 1601}, 400, 21617),
        (ORDINARY, {"from_": "much too long a sender"}, 400, 21212),
        (ORDINARY, {"from_": None, "messaging_service_sid": "MG1"}, 400, 21701),
        (ORDINARY, {"status_callback": "http://under_score.example/x"}, 400, 21609),
        (ORDINARY, {"status_callback": "ftp://host.example/x"}, 400, 21609),
        (ORDINARY, {"validity_period": 36001}, 400, 21624),
        (ORDINARY, {"schedule_type": "fixed"}, 400, 35118),
    ],
)
def test_a_bad_request_gets_twilios_code_and_keeps_nothing(
    to: str, options: dict[str, object], status: int, code: int
) -> None:
    async def story() -> None:
        async with world() as there:
            error = await refused(there, to, **options)
            assert (error.status, error.code) == (status, code)
            assert there.store.messages() == []

    run(story())


def test_the_longest_body_is_accepted() -> None:
    async def story() -> None:
        async with world() as there:
            assert (await there.send(ORDINARY, body="x" * 1600)).num_segments == "11"

    run(story())


@pytest.mark.parametrize(("user", "password"), [(ACCOUNT, "wrong"), ("AC" + "0" * 32, "token-of-the-stand-in")])
def test_wrong_credentials_are_401_with_20003(user: str, password: str) -> None:
    async def story() -> None:
        async with world() as there:
            stranger = Client(user, password, account_sid=ACCOUNT, http_client=there.http)
            with pytest.raises(TwilioRestException) as caught:
                await stranger.messages.create_async(to=ORDINARY, from_="+15005550006", body="Hello")
            assert (caught.value.status, caught.value.code) == (401, 20003)
            answer = await there.http.request(
                "GET", f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
            )
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic")

    run(story())


@pytest.mark.parametrize("outcome", [o for o in SMS_OUTCOMES if o.answer is Answer.REFUSE], ids=lambda o: o.name)
def test_numbers_that_are_refused(outcome: object) -> None:
    async def story() -> None:
        async with world() as there:
            error = await refused(there, simulated_number(outcome.name, "US", 3))
            assert (error.status, error.code) == (400, outcome.error_code)
            assert there.store.messages() == []
            assert [refusal.code for refusal in there.store.refusals()] == [str(outcome.error_code)]

    run(story())


def test_an_error_body_names_code_and_where_to_read() -> None:
    async def story() -> None:
        async with world() as there:
            answer = await there.http.request(
                "POST",
                f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
                data={"To": simulated_number("opted-out"), "From": "+15005550006", "Body": "x"},
                auth=(ACCOUNT, "token-of-the-stand-in"),
            )
            assert answer.status_code == 400
            assert '"code":21610' in answer.text
            assert '"more_info":"https://www.twilio.com/docs/errors/21610"' in answer.text
            assert '"status":400' in answer.text

    run(story())


def test_twilios_own_magic_numbers_mean_the_same_here() -> None:
    async def story() -> None:
        async with world() as there:
            for number, outcome in MAGIC_NUMBERS.items():
                assert (await refused(there, number)).code == outcome.error_code

    run(story())


def test_a_busy_number_is_429_twice_and_then_accepted() -> None:
    async def story() -> None:
        async with world() as there:
            number = simulated_number("busy-first")
            for _ in range(2):
                error = await refused(there, number)
                assert (error.status, error.code) == (429, 20429)
            await there.send(number)
            assert there.store.counts() == {number: 1}

    run(story())


@pytest.mark.parametrize(
    ("name", "status", "code", "kept"),
    [
        ("error-not-accepted", 500, 20500, 0),
        ("error-but-accepted", 500, 20500, 1),
        ("unavailable", 503, 20503, 0),
    ],
)
def test_a_server_error_does_not_tell_whether_it_was_accepted(name: str, status: int, code: int, kept: int) -> None:
    async def story() -> None:
        async with world() as there:
            error = await refused(there, simulated_number(name))
            assert (error.status, error.code) == (status, code)
            assert len(there.store.messages()) == kept
            await there.standins.idle()
            assert there.receiver.statuses() == ["sending", "sent", "delivered"] * kept

    run(story())


@pytest.mark.parametrize(("name", "kept"), [("answer-lost", 1), ("request-lost", 0)])
def test_a_cut_connection_is_ambiguous_whether_kept_or_not(name: str, kept: int) -> None:
    async def story() -> None:
        async with world() as there:
            with pytest.raises(TwilioTransportError) as caught:
                await there.send(simulated_number(name))
            assert caught.value.phase is SendPhase.AMBIGUOUS
            assert len(there.store.messages()) == kept
            await there.send(ORDINARY)  # the pool has recovered

    run(story())


def test_a_slow_answer_times_out_ambiguous_and_is_kept() -> None:
    async def story() -> None:
        async with world(client_timeout=2) as there:
            with pytest.raises(TwilioTransportError) as caught:
                await there.send(simulated_number("slow"))
            assert caught.value.phase is SendPhase.AMBIGUOUS
            assert len(there.store.messages()) == 1

    run(story())


def test_a_refused_connection_was_not_sent() -> None:
    async def story() -> None:
        async with world() as there:
            address = there.standins.twilio_url
        async with PooledTwilioHttpClient(address) as http:
            with pytest.raises(TwilioTransportError) as caught:
                await Client(ACCOUNT, "x", http_client=http).messages.create_async(
                    to=ORDINARY, from_="+15005550006", body="Hello"
                )
            assert caught.value.phase is SendPhase.NOT_SENT
            assert ORDINARY not in str(caught.value)

    run(story())


def test_the_client_reaches_no_other_host_than_its_base() -> None:
    async def story() -> None:
        async with PooledTwilioHttpClient("http://127.0.0.1:9") as http:
            with pytest.raises(ValueError, match=r"api\.twilio\.com"):
                await http.request("GET", "https://lookups.twilio.com/v2/PhoneNumbers/x")
        for bad in ("ftp://x", "127.0.0.1:80", "http://host/?a=1"):
            with pytest.raises(ValueError, match="base_url"):
                PooledTwilioHttpClient(bad)

    run(story())


def test_a_huge_form_is_turned_away() -> None:
    async def story() -> None:
        async with world() as there:
            error = await refused(there, body="x" * 70_000)
            assert error.status == 413

    run(story())


def test_error_texts_repeat_the_number_as_twilios_do() -> None:
    """So that whoever writes them to a log is found out by the tests of what may be in a log."""

    async def story() -> None:
        async with world() as there:
            number = simulated_number("not-mobile")
            assert number in (await refused(there, number)).msg

    run(story())
