"""Campaigns leave out who is on the list, say so in the record, and learn whom to put on it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from twilio.request_validator import RequestValidator

from incidents.errors import Forbidden, IllegalTransition, InvalidInput
from notifier.receipts.optout import InboundResult, TwilioInbound, optout_words
from notifier.standins.outcomes import ordinary_numbers, simulated_number
from tests.notifier.house import APPROVER, TOKEN, VALUES, House, audience_csv, open_house

pytestmark = pytest.mark.slow
ANN = next(ordinary_numbers("GB"))


def run(folder: Path, story: Callable[[House], Awaitable[None]], **settings: Any) -> None:
    async def live() -> None:
        async with open_house(folder, **settings) as house:
            await story(house)

    asyncio.run(live())


def started(
    house: House, rows: list[tuple[str, str, str, str, str]], *, override: str | None = None, **draft: Any
) -> Any:
    """A campaign, with suppressions overridden before the approval where a reason is given."""
    campaigns = house.notifier.campaigns
    audience = house.notifier.audiences.import_csv(io.BytesIO(audience_csv(rows)), house.context())
    given = {"incident_id": uuid4(), "template": "personal-data-breach", "values": VALUES, **draft}
    view = campaigns.draft(house.context(), **given)
    campaigns.attach_audience(house.context(), view.campaign_id, audience.audience_id)
    if override is not None:
        campaigns.override_suppression(house.context(), view.campaign_id, reason=override)
    asked = campaigns.request_approval(house.context(), view.campaign_id)
    campaigns.approve(
        house.context(APPROVER),
        view.campaign_id,
        text_digest=asked.text_digest,
        audience_digest=asked.audience_digest,
    )
    return campaigns.start(house.context(), view.campaign_id)


def test_whoever_is_on_the_list_is_left_out_and_told_another_way(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        listed = house.notifier.suppressions
        listed.add(ANN, reason="stop", by="x", channel="sms")
        listed.add("bo@example.com", reason="complaint", by="x", channel="email")
        rows = [
            ("Ann", ANN, "ann@example.com", "en", "GB"),
            ("Bo", "", "bo@example.com", "en", "GB"),
            ("Cy", "", "cy@example.com", "en", "GB"),
        ]
        view = started(house, rows)
        done = await house.finish(view.campaign_id)
        assert done.outcomes == {
            "reached": 0,
            "accepted": 2,
            "failed": 0,
            "ambiguous": 0,
            "suppressed": 1,
            "cancelled": 0,
        }
        sent = {message.recipient for message in house.standins.store.messages()}
        assert sent == {"ann@example.com", "cy@example.com"}
        moves = house.moves(view.campaign_id)
        assert {(move.channel, move.code) for move in moves if move.state == "suppressed"} == {
            ("sms", "stop"),
            ("email", "complaint"),
        }

    run(tmp_path, story)


def test_a_law_may_override_but_not_the_dead(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        listed = house.notifier.suppressions
        listed.add("bo@example.com", reason="complaint", by="x", channel="email")
        listed.add("dead@example.com", reason="hard-bounce", by="x", channel="email")
        rows = [("Bo", "", "bo@example.com", "en", "GB"), ("Di", "", "dead@example.com", "en", "GB")]
        view = started(house, rows, override="Article 34 names no exception", duties=("eu.gdpr.34",))
        assert view.suppression_override == "Article 34 names no exception"
        done = await house.finish(view.campaign_id)
        assert (done.outcomes["accepted"], done.outcomes["suppressed"]) == (1, 1)
        assert {message.recipient for message in house.standins.store.messages()} == {"bo@example.com"}
        kinds = [one.event.kind for one in house.record.read(0, 1_000)]
        assert kinds.count("campaign.suppression-overridden") == 1

    run(tmp_path, story)


def test_who_may_override_and_when(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        campaigns = house.notifier.campaigns
        incident = uuid4()
        given = {"incident_id": incident, "template": "personal-data-breach", "values": VALUES}
        free = campaigns.draft(house.context(), **given)  # type: ignore[arg-type]
        with pytest.raises(IllegalTransition, match="No duty"):
            campaigns.override_suppression(house.context(), free.campaign_id, reason="because")
        bound = campaigns.draft(house.context(), **given, duties=("eu.gdpr.34",))  # type: ignore[arg-type]
        with pytest.raises(Forbidden):
            campaigns.override_suppression(house.context("system:x"), bound.campaign_id, reason="because")
        with pytest.raises(InvalidInput):
            campaigns.override_suppression(house.context(), bound.campaign_id, reason="  ")
        going = started(house, [("Ann", ANN, "", "en", "GB")], duties=("eu.gdpr.34",))
        with pytest.raises(IllegalTransition, match="before it starts"):
            campaigns.override_suppression(house.context(), going.campaign_id, reason="because")

    run(tmp_path, story)


def test_what_providers_answer_is_learnt(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        stopped = simulated_number("opted-out")
        rows = [
            ("Ann", stopped, "ann@example.com", "en", "GB"),
            ("Bo", "", "bounce-5.1.1@example.com", "en", "GB"),
            ("Cy", "", "bounce-5.2.2@example.com", "en", "GB"),
        ]
        view = started(house, rows)
        await house.finish(view.campaign_id)
        listed = house.notifier.suppressions
        while await asyncio.to_thread(house.notifier.suppression_follower.run_once):
            pass
        assert [(one.reason, one.channel, one.code) for one in listed.of(stopped)] == [("stop", "sms", "21610")]
        assert [one.reason for one in listed.of("bounce-5.1.1@example.com")] == ["hard-bounce"]
        assert listed.of("bounce-5.2.2@example.com") == (), "a full mailbox may be emptied"
        again = started(house, rows[:1])
        await house.finish(again.campaign_id)
        assert ("sms", "suppressed") in {(move.channel, move.state) for move in house.moves(again.campaign_id)}

    run(tmp_path, story)


def test_erasing_a_person_leaves_them_on_the_list(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        rows = [("Bo", "", "bounce-5.1.1@example.com", "en", "GB")]
        view = started(house, rows)
        await house.finish(view.campaign_id)
        while await asyncio.to_thread(house.notifier.suppression_follower.run_once):
            pass
        (delivery,) = house.deliveries()
        house.notifier.vault.erase(delivery.recipient_id)
        again = started(house, rows)
        done = await house.finish(again.campaign_id)
        assert done.outcomes["suppressed"] == 1

    run(tmp_path, story)


class Phone:
    """Messages of people, signed as Twilio signs them."""

    URL = "https://notify.harbour.example/v1/receipts/twilio/inbound"

    def __init__(self, house: House, *tokens: str) -> None:
        self.inbound = TwilioInbound(house.notifier.suppressions, "https://notify.harbour.example", tokens or (TOKEN,))

    def says(self, text: str, *, sender: str = ANN, token: str = TOKEN, **more: str) -> InboundResult:
        params = {"From": sender, "To": "+15005550006", "Body": text, "MessageSid": "SM1", **more}
        signature = RequestValidator(token).compute_signature(self.URL, params)  # type: ignore[no-untyped-call]
        # Behind a proxy the server sees another host.
        return self.inbound.accept("http://10.0.0.7:8000/v1/receipts/twilio/inbound", params, signature)


def test_stop_and_start(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        phone, listed = Phone(house, "a-new-token", TOKEN), house.notifier.suppressions
        assert phone.says("Please stop calling") is InboundResult.IGNORED, "more than the word is for a person to read"
        assert phone.says(" Stop. ") is InboundResult.STOPPED
        assert phone.says("STOP") is InboundResult.STOPPED
        assert phone.says("退订", token="a-new-token") is InboundResult.STOPPED, "both tokens hold during a rotation"
        assert [(one.reason, one.channel, one.category) for one in listed.of(ANN)] == [("stop", "sms", "*")]
        listed.add(ANN, reason="manual", by="user:lan", channel="sms")
        assert phone.says("start") is InboundResult.STARTED
        assert [one.reason for one in listed.of(ANN) if one.lifted_at is None] == ["manual"], "not theirs to lift"
        assert phone.says("hello", OptOutType="STOP") is InboundResult.STOPPED, "Twilio's own word for it"
        assert phone.says("STOP", sender="12345") is InboundResult.IGNORED

    run(tmp_path, story)


def test_a_forged_stop_changes_nothing(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        phone = Phone(house)
        with pytest.raises(Forbidden):
            phone.says("STOP", token="somebody-elses")
        assert house.notifier.suppressions.of(ANN) == ()
        assert phone.inbound.counts["forged"] == 1

    run(tmp_path, story)


def test_words_do_not_contradict_each_other() -> None:
    words = optout_words()
    assert not set(words.stop) & set(words.start)
    assert all(words.meaning(word.upper()) == "stop" for word in words.stop)
    assert all(words.meaning(f"{word}!") == "start" for word in words.start)
