"""Calls: what is said, what comes of each, and how an unclear one is settled. Against the Twilio stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4
from xml.etree import ElementTree

import pytest
from sqlalchemy import update

from incidents.errors import Forbidden, InvalidInput
from incidents.record.database import writing
from notifier.channels.channel import Outgoing
from notifier.channels.drill import DrillChannel
from notifier.channels.outcome import Outcome, Verdict, outcome_table
from notifier.channels.sms import retry_after
from notifier.channels.spoken import MAX_TWIML, thanks_in, twiml_of, voices
from notifier.channels.twilio_http import PooledTwilioHttpClient
from notifier.channels.voice import VoiceChannel, VoiceSettings
from notifier.deliveries.order import ChannelOrder, OrderRule
from notifier.deliveries.tables import deliveries
from notifier.standins.callback_sender import sign
from notifier.standins.outcomes import CALL_ENDS, simulated_number
from notifier.templates import RenderedVoice, Templates
from tests.notifier.house import FAST, TOKEN, VALUES, House, open_house, real_channels
from tests.servers import emptied_database

VOICE_FIRST = ChannelOrder.plain(["voice", "email"])
PRESS = {"en": "Press 1", "zh-Hans": "按 1", "zh-Hant": "按 1", "vi": "nhấn phím 1"}


def number(digits: str) -> str:
    return simulated_number("delivered")[:-2] + digits


def run(folder: Path, story: Callable[[House], Awaitable[None]], **settings: Any) -> None:
    async def live() -> None:
        async with open_house(folder, **{"voice": True, "channel_order": VOICE_FIRST, **settings}) as house:
            await story(house)

    asyncio.run(live())


def states(house: House) -> list[tuple[str, str, str | None]]:
    return [(row.channel, row.state, row.code) for row in house.deliveries()]


def test_every_language_of_the_notice_has_a_voice_and_is_read_twice() -> None:
    template = Templates().get("personal-data-breach")

    for language in template.languages:
        said = template.render_voice(language, VALUES)
        root = ElementTree.fromstring(twiml_of(said, "https://x.example/k?a=1&b=2"))  # noqa: S314 - our own
        gathers = root.findall("Gather")
        assert len(gathers) == 2
        assert {one.get("action") for one in gathers} == {"https://x.example/k?a=1&b=2"}
        for gather in gathers:
            (say,) = gather.findall("Say")
            assert (say.get("language"), say.get("voice")) == (voices()[language].language, voices()[language].voice)
            assert said.text in (say.text or "")
            assert PRESS[language] in (say.text or "")
        assert "<Hangup" in thanks_in(language)


def test_words_cannot_become_commands() -> None:
    evil = RenderedVoice(text='</Say><Dial>+15550100</Dial> & "x" <Say>', language="en")
    root = ElementTree.fromstring(twiml_of(evil, None))  # noqa: S314 - our own

    assert [child.tag for child in root] == ["Say", "Say", "Say"]
    assert root[0].text == evil.text


def test_a_long_notice_is_read_once_and_one_that_is_too_long_not_at_all() -> None:
    long = RenderedVoice(text="a" * 2500, language="en")
    once = twiml_of(long, "https://x.example/")
    assert (once.count("<Gather"), len(once) <= MAX_TWIML) == (1, True)
    with pytest.raises(ValueError, match="too long"):
        twiml_of(RenderedVoice(text="a" * 5000, language="en"), None)
    template = Templates().get("personal-data-breach")
    sentences = {"en": "A long sentence about it. " * 23, "zh-Hans": "很长。", "vi": "Dài."}
    with pytest.raises(InvalidInput, match="characters"):
        template.render_voice(
            "en",
            {
                **VALUES,
                "incident_summary": sentences,
                "measures_taken": {"en": ["x" * 199] * 10},
                "advice": {"en": ["y" * 199] * 10},
            },
        )


ENDS = {
    "99": [("voice", "delivered", None)],
    "21": [("voice", "read", None)],
    "27": [("voice", "delivered", None)],
    "41": [("voice", "delivered", None)],
    "22": [("email", "accepted", None), ("voice", "undelivered", "busy")],
    "23": [("email", "accepted", None), ("voice", "undelivered", "no-answer")],
    "24": [("email", "accepted", None), ("voice", "failed", "failed")],
    "11": [("email", "accepted", None), ("voice", "rejected", "21211")],
}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_each_end_of_a_call_and_what_follows(tmp_path: Path, backend: str) -> None:
    async def story(house: House) -> None:
        rows = [(f"Person {digits}", number(digits), f"p{digits}@example.com", "en", "GB") for digits in ENDS]
        view = await house.finish(house.started(rows).campaign_id)
        await house.standins.idle()  # a key may be pressed after it is known that the call arrived

        found: dict[UUID, list[tuple[str, str, str | None]]] = {}
        for row in house.deliveries():
            found.setdefault(row.recipient_id, []).append((row.channel, row.state, row.code))
        assert sorted(map(sorted, found.values())) == sorted(map(sorted, ENDS.values()))
        assert view.outcomes["reached"] == 4
        assert view.outcomes["accepted"] == 4
        assert not house.forged
        calls = house.standins.store.messages(channel="voice", limit=50)
        assert len(calls) == 7
        assert all("Harbour Clinic" in call.body and "Person" not in call.body for call in calls)

    with emptied_database(backend, tmp_path) as url:
        run(tmp_path, story, url=url)


@pytest.mark.slow
def test_a_machine_or_a_quick_hang_up_is_not_called_arrived(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        rows = [("A", number("25"), "", "zh-CN", "CN"), ("B", number("26"), "", "vi", "VN")]
        started = house.started(rows)
        await house.until(lambda: [one[1] for one in states(house)] == ["sent", "sent"])
        await house.standins.idle()

        assert [state for _, state, _ in states(house)] == ["sent", "sent"]
        assert house.notifier.campaigns.view(started.campaign_id).status.value == "started"

    run(tmp_path, story)


@pytest.mark.slow
def test_an_answer_that_was_lost_is_settled_by_the_callback_and_nobody_is_called_twice(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        rows = [("Ann", number("52"), "", "en", "GB"), ("Bob", number("51"), "", "en", "GB")]
        view = await house.finish(house.started(rows).campaign_id)

        assert view.outcomes["reached"] == 2
        assert len(house.standins.store.messages(channel="voice")) == 2

    run(tmp_path, story)


@pytest.mark.slow
def test_without_callbacks_it_is_settled_by_looking_for_the_call(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        rows = [("Ann", number("52"), "", "en", "GB"), ("Bob", number("53"), "", "en", "GB")]
        house.started(rows)

        def settled() -> bool:
            calls = house.standins.store.counts("voice")
            told = [row for row in house.deliveries() if row.provider_id is not None]
            unclear = [row for row in house.deliveries() if row.state == "ambiguous"]
            return calls == {number("52"): 1} and len(told) == 1 and bool(unclear)

        await house.until(settled)
        # What was never on the wire is called again under the policy, and every such call is marked.
        assert {row.state for row in house.deliveries() if row.provider_id is None} <= {
            "ambiguous",
            "claimed",
            "planned",
        }

    run(tmp_path, story, with_callbacks=False)


@pytest.mark.slow
def test_a_callback_that_is_forged_or_replayed_changes_nothing(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        view = house.started([("Ann", number("40"), "", "en", "GB")])
        await house.until(lambda: any(row.provider_id for row in house.deliveries()))
        (row,) = house.deliveries()
        receipts = house.notifier.receipts
        assert receipts is not None
        url = receipts._callbacks.url_for(row.delivery_id, view.campaign_id)
        key_url = receipts._callbacks.keypress_url_for(row.delivery_id, view.campaign_id, "en")
        form = [("CallSid", row.provider_id), ("CallStatus", "completed"), ("CallDuration", "30")]
        for accept, address in ((receipts.accept, url), (receipts.accept_key, key_url)):
            with pytest.raises(Forbidden):
                accept(address, dict(form), "bad")
        signature = sign(TOKEN, url, form)
        assert receipts.accept(url, dict(form), signature).value == "moved"
        assert receipts.accept(url, dict(form), signature).value == "duplicate"
        late = [("CallSid", row.provider_id), ("CallStatus", "ringing")]
        assert receipts.accept(url, dict(late), sign(TOKEN, url, late)).value == "stale"
        pressed = [("CallSid", row.provider_id), ("Digits", "1")]
        assert receipts.accept_key(key_url, dict(pressed), sign(TOKEN, key_url, pressed))
        assert house.deliveries()[0].state == "read"
        other = [("CallSid", row.provider_id), ("Digits", "9")]
        assert not receipts.accept_key(key_url, dict(other), sign(TOKEN, key_url, other))
        assert urlencode(form)

    run(tmp_path, story)


@pytest.mark.slow
def test_nothing_personal_is_in_an_event_or_the_address_of_a_callback(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        view = house.started([("Zacharias Quill", number("21"), "z@example.com", "en", "GB")])
        await house.finish(view.campaign_id)
        (call,) = house.standins.store.messages(channel="voice")
        told = [event.event.model_dump_json() for event in house.record.read(0, 1000)]

        for personal in ("Zacharias", number("21"), "z@example.com"):
            assert all(personal not in text for text in told)
            assert personal not in call.status_callback
            assert personal.encode() not in (call.raw or b"")

    run(tmp_path, story)


@pytest.mark.slow
def test_people_of_a_language_may_have_an_order_of_their_own(tmp_path: Path) -> None:
    rules = (OrderRule(languages=("vi",), order=("email", "voice")), OrderRule(countries=("CN",), order=("sms",)))
    order = ChannelOrder(usual=("voice", "email"), rules=rules)

    async def story(house: House) -> None:
        both = [("A", "en", "GB"), ("B", "vi", "VN"), ("C", "zh-CN", "CN")]
        rows = [(n, number(f"6{i}"), f"{n}@example.com", lang, land) for i, (n, lang, land) in enumerate(both)]
        await house.finish(house.started(rows).campaign_id)

        assert sorted(row.channel for row in house.deliveries()) == ["email", "sms", "voice"]

    run(tmp_path, story, channel_order=order)


@pytest.mark.slow
def test_a_channel_that_takes_other_content_or_has_no_voice_calls_nobody(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        channel = real_channels(house.standins, house.clock, None, voice=True)["voice"]
        marked: list[int] = []

        async def about_to_write() -> None:
            marked.append(1)

        def message(text: str, language: str) -> Outgoing:
            content = RenderedVoice(text=text, language=language)
            return Outgoing(uuid4(), uuid4(), uuid4(), number("99"), content, language, "x")

        assert (await channel.send(message("x", "tlh"), about_to_write)).verdict is Verdict.REJECTED
        assert (await channel.send(message("x" * 9000, "en"), about_to_write)).verdict is Verdict.CAMPAIGN_FAULT
        assert not marked
        assert not house.standins.store.messages(channel="voice")
        await channel.close()

    run(tmp_path, story)


@pytest.mark.slow
def test_a_drills_calls_reach_nobody(tmp_path: Path) -> None:
    async def about_to_write() -> None: ...

    drill = DrillChannel("voice")
    content = RenderedVoice(text="x", language="en")
    outcome = asyncio.run(
        drill.send(Outgoing(uuid4(), uuid4(), uuid4(), number("99"), content, "en", "x"), about_to_write)
    )

    assert outcome.verdict is Verdict.ACCEPTED
    assert vars(drill) == {"name": "voice"}


def test_how_long_to_wait_is_taken_from_the_answer() -> None:
    channel = VoiceChannel(VoiceSettings("AC1", TOKEN, "+15005550006"), PooledTwilioHttpClient(), None)
    refused = channel._outcome(429, '{"code": 20429, "message": "+447700900123"}', retry_after({"Retry-After": "90"}))
    assert refused == Outcome(Verdict.TEMPORARY, "20429", retry_after=90.0)
    assert channel._outcome(201, "<html>", None) == Outcome(Verdict.AMBIGUOUS, "no-sid")
    ended = channel._outcome(201, '{"sid": "CA1", "status": "queued"}', None)
    assert ended == Outcome(Verdict.ACCEPTED, None, "CA1", "accepted")


def test_every_end_in_the_table_is_read() -> None:
    table = outcome_table()
    read = {end.name: table.of_call(end.status, end.answered_by, end.seconds) for end in CALL_ENDS}

    assert read["machine"] == ("sent", None)
    assert read["hung-up"] == ("sent", None)
    assert read["busy"] == ("undelivered", "busy")
    assert table.is_temporary("busy")
    assert table.is_temporary("no-answer")
    assert not table.is_temporary("failed")
    assert table.of_call("dreaming", "", None) == (None, None)


@pytest.mark.slow
def test_without_a_receipt_the_next_channel_is_tried_where_that_is_wanted(tmp_path: Path) -> None:
    timing = FAST.model_copy(update={"unconfirmed": ("voice",), "poll_delays": (timedelta(hours=1),) * 2})

    async def story(house: House) -> None:
        rows = [
            ("Ann", number("25"), "ann@example.com", "en", "GB"),
            ("Bob", number("99"), "b@example.com", "en", "GB"),
        ]
        view = house.started(rows)
        await house.until(lambda: {row.state for row in house.deliveries()} == {"sent", "delivered"})  # Bob has it

        def is_over() -> bool:
            with writing(house.database) as connection:  # as an hour later
                now = house.clock.now()
                connection.execute(update(deliveries).where(deliveries.c.phase == "waiting").values(due_at=now))
            return house.notifier.campaigns.view(view.campaign_id).status.value == "finished"

        await house.until(is_over)
        done = house.notifier.campaigns.view(view.campaign_id)
        assert (done.outcomes["accepted"], done.outcomes["reached"]) == (1, 1)
        assert [m.recipient for m in house.standins.store.messages(channel="email")] == ["ann@example.com"]

    run(tmp_path, story, timing=timing)
