"""A campaign from start to finish, over the real protocols."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from notifier.channels.channel import AboutToWrite, Channel, Found, Outgoing
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries import counters
from notifier.deliveries.states import RANK
from notifier.standins.outcomes import ordinary_numbers, simulated_number
from notifier.wiring import build_notifier
from tests.notifier.house import KEYS, POLLING, House, open_house


def run(folder: Path, story: Callable[[House], Awaitable[None]], **settings: Any) -> None:
    async def live() -> None:
        async with open_house(folder, **settings) as house:
            await story(house)

    asyncio.run(live())


def test_everybody_is_told_once_in_their_own_language(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        numbers = ordinary_numbers("GB")
        rows = [
            *(
                (f"Person {i}", next(numbers), f"p{i}@example.com", ("en", "zh-CN", "vi")[i % 3], "GB")
                for i in range(20)
            ),
            *((f"Mail {i}", "", f"m{i}@example.com", "vi", "VN") for i in range(10)),
        ]
        view = house.started(rows)
        done = await house.finish(view.campaign_id)
        assert done.outcomes == {
            "reached": 20,
            "accepted": 10,
            "failed": 0,
            "ambiguous": 0,
            "suppressed": 0,
            "cancelled": 0,
        }
        messages = house.standins.store.messages(limit=100)
        assert Counter(m.channel for m in messages) == {"sms": 20, "email": 10}
        assert len({m.recipient for m in messages}) == 30
        chinese = [m for m in messages if m.channel == "sms" and "海港诊所" in m.body]
        assert len(chinese) == 7
        assert not house.forged

    run(tmp_path, story)


@pytest.mark.parametrize("outcome", ["invalid-number", "opted-out", "unknown-handset", "filtered", "landline"])
def test_a_number_that_fails_for_good_is_followed_by_email(tmp_path: Path, outcome: str) -> None:
    async def story(house: House) -> None:
        view = house.started([("Ann", simulated_number(outcome), "ann@example.com", "en", "GB")])
        done = await house.finish(view.campaign_id)
        assert done.outcomes["accepted"] == 1
        emails = house.standins.store.messages(channel="email")
        assert [m.recipient for m in emails] == ["ann@example.com"]
        states = [(m.channel, m.state) for m in house.moves(view.campaign_id)]
        assert states[0] == ("sms", "claimed")
        assert states[-2:] == [("email", "claimed"), ("email", "accepted")]

    run(tmp_path, story)


@pytest.mark.parametrize("outcome", ["answer-lost", "error-but-accepted"])
def test_a_lost_answer_is_made_good_without_telling_twice(tmp_path: Path, outcome: str) -> None:
    """The message exists although the answer was lost: it is found by its callback or by listing, not sent again."""

    async def story(house: House) -> None:
        number = simulated_number(outcome)
        view = house.started([("Ann", number, "", "en", "GB")])
        done = await house.finish(view.campaign_id)
        assert done.outcomes["reached"] == 1
        assert len(house.standins.store.messages(to=number)) == 1
        assert "ambiguous" not in {move.state for move in house.moves(view.campaign_id)}

    run(tmp_path, story)


def test_without_callbacks_the_list_tells_what_became_of_a_lost_answer(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        number = simulated_number("answer-lost")
        view = house.started([("Ann", number, "", "en", "GB")])
        done = await house.finish(view.campaign_id)
        assert done.outcomes == {
            "reached": 1,
            "accepted": 0,
            "failed": 0,
            "ambiguous": 0,
            "suppressed": 0,
            "cancelled": 0,
        }
        (message,) = house.standins.store.messages(to=number)
        (delivery,) = house.deliveries()
        assert delivery.provider_id == message.sid

    run(tmp_path, story, with_callbacks=False, timing=POLLING)


@pytest.mark.parametrize("outcome", ["request-lost", "error-not-accepted", "unavailable"])
def test_what_nobody_can_tell_is_marked_and_told_again_or_not_as_the_policy_says(tmp_path: Path, outcome: str) -> None:
    async def story(house: House) -> None:
        again = house.started([("Ann", simulated_number(outcome), "ann@example.com", "en", "GB")])
        never = house.started(
            [("Bo", simulated_number(outcome, block=1), "bo@example.com", "en", "GB")], policy="at_most_once"
        )
        done = await house.finish(again.campaign_id)
        assert done.outcomes["accepted"] == 1, "after two repeats the other channel is used"
        states = [(move.channel, move.state) for move in house.moves(again.campaign_id)]
        assert states.count(("sms", "ambiguous")) == 3
        assert states[-1] == ("email", "accepted")
        stopped = await house.finish(never.campaign_id)
        assert stopped.outcomes == {
            "reached": 0,
            "accepted": 0,
            "failed": 0,
            "ambiguous": 1,
            "suppressed": 0,
            "cancelled": 0,
        }
        assert [m.recipient for m in house.standins.store.messages()] == ["ann@example.com"]

    run(tmp_path, story)


def test_busy_providers_are_tried_again_and_nobody_is_lost(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        busy = simulated_number("busy-first")
        view = house.started([("Ann", busy, "", "en", "GB"), ("Bo", "", "greylist@example.com", "en", "GB")])
        done = await house.finish(view.campaign_id)
        assert done.outcomes == {
            "reached": 1,
            "accepted": 1,
            "failed": 0,
            "ambiguous": 0,
            "suppressed": 0,
            "cancelled": 0,
        }
        assert {delivery.tries for delivery in house.deliveries()} == {2}
        claimed = [move for move in house.moves(view.campaign_id) if move.state == "claimed"]
        assert len(claimed) == 2, "a try that surely was not accepted is no new attempt"

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("address", "outcome", "code"),
    [
        ("bounce-5.1.1@example.com", "failed", "550 5.1.1"),
        ("refuse-data@example.com", "failed", "554 5.7.1"),
        ("temporary-4.2.1@example.com", "failed", "450 4.2.1"),
        ("shutdown@example.com", "failed", "421 4.3.2"),
    ],
)
def test_refused_email_ends_with_the_servers_code(tmp_path: Path, address: str, outcome: str, code: str) -> None:
    async def story(house: House) -> None:
        view = house.started([("Bo", "", address, "en", "GB"), ("Al", "", "al@example.com", "en", "GB")])
        done = await house.finish(view.campaign_id)
        assert (done.outcomes[outcome], done.outcomes["accepted"]) == (1, 1)
        last = [move for move in house.moves(view.campaign_id) if move.state in {"rejected", "failed"}]
        # What is temporary is never final: with no other channel left it is tried anew.
        assert [move.code for move in last] == [code] * (3 if code.startswith("4") else 1)

    run(tmp_path, story)


def test_email_cut_before_the_content_is_safe_to_repeat_and_never_marked(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        view = house.started([("Bo", "", "drop-at-rcpt@example.com", "en", "GB")])
        done = await house.finish(view.campaign_id)
        assert done.outcomes["failed"] == 1
        assert [move.state for move in house.moves(view.campaign_id)] == ["claimed", "failed"]
        assert house.deliveries()[0].written_at is None

    run(tmp_path, story)


@pytest.mark.parametrize(("address", "copies"), [("drop-after-dot@example.com", 3), ("lose-after-dot@example.com", 0)])
def test_email_cut_after_the_dot_is_marked_and_repeated_under_one_message_id(
    tmp_path: Path, address: str, copies: int
) -> None:
    async def story(house: House) -> None:
        view = house.started([("Bo", "", address, "en", "GB")])
        done = await house.finish(view.campaign_id)
        assert done.outcomes["ambiguous"] == 1
        messages = house.standins.store.messages(channel="email")
        assert len(messages) == copies
        assert len({message.message_id for message in messages}) == min(copies, 1)
        assert [move.state for move in house.moves(view.campaign_id)].count("ambiguous") == 3

    run(tmp_path, story)


def test_receipts_that_never_come_are_asked_for(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        view = house.started(
            [
                ("Ann", simulated_number("silent"), "", "en", "GB"),
                ("Bo", simulated_number("never-confirmed"), "", "en", "GB"),
            ]
        )
        done = await house.finish(view.campaign_id)
        assert done.outcomes == {
            "reached": 1,
            "accepted": 1,
            "failed": 0,
            "ambiguous": 0,
            "suppressed": 0,
            "cancelled": 0,
        }

    run(tmp_path, story, timing=POLLING)


def test_a_wrong_password_holds_the_campaign_and_loses_nobody(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        sms = house.notifier.engine._routes[False]["sms"].all[0].channel
        client = sms._client  # type: ignore[attr-defined]
        good, client.auth = client.auth, (client.username, "wrong")
        view = house.started([("Ann", next(ordinary_numbers("GB")), "", "en", "GB")])
        held = []

        def is_held() -> bool:
            with house.database.connect() as connection:
                held[:] = connection.exec_driver_sql("select held_code from sendings").scalars()
            return bool(held and held[0])

        await house.until(is_held)
        assert held == ["20003"]
        assert counters(house.database, view.campaign_id) == {
            "open": 1,
            "reached": 0,
            "accepted": 0,
            "failed": 0,
            "ambiguous": 0,
            "suppressed": 0,
            "cancelled": 0,
        }
        client.auth = good
        assert (await house.finish(view.campaign_id)).outcomes["reached"] == 1

    run(tmp_path, story)


def test_an_erased_person_is_not_told_and_others_are(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        numbers = ordinary_numbers("GB")
        gone = next(numbers)
        view = house.started([("Ann", gone, "ann@example.com", "en", "GB"), ("Bo", next(numbers), "", "en", "GB")])
        assert view.audience_id is not None
        first = house.notifier.audiences.members(view.audience_id)[0]
        house.notifier.vault.erase(first.recipient_id)
        done = await house.finish(view.campaign_id)
        assert (done.outcomes["reached"], done.outcomes["failed"]) == (1, 1)
        assert gone not in {m.recipient for m in house.standins.store.messages()}
        assert {move.code for move in house.moves(view.campaign_id) if move.state == "failed"} == {"erased"}

    run(tmp_path, story)


class Real:
    """A channel that must not be used."""

    concurrency, write_timeout, reconciles, has_receipts = 1, 1.0, False, False

    def __init__(self, name: str) -> None:
        self.name = name
        self.used = 0

    async def send(self, _message: Outgoing, _about_to_write: AboutToWrite) -> Outcome:
        self.used += 1
        return Outcome(Verdict.ACCEPTED)

    async def find(self, address: str, marker: str, after: datetime) -> list[Found]:
        return []

    async def look_up(self, provider_id: str) -> Found | None:
        return None

    async def close(self) -> None:
        return None


def test_a_drill_uses_the_drill_channels_only(tmp_path: Path) -> None:
    real: dict[str, Channel] = {"sms": Real("sms"), "email": Real("email")}

    async def story(house: House) -> None:
        view = house.started([("Ann", next(ordinary_numbers("GB")), "a@example.com", "en", "GB")], drill=True)
        assert (await house.finish(view.campaign_id)).outcomes["reached"] == 1
        assert [channel.used for channel in real.values()] == [0, 0]  # type: ignore[attr-defined]

    run(tmp_path, story, channels=real, timing=POLLING)


def test_one_object_cannot_be_both_a_real_channel_and_a_drills(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        both = {"sms": Real("sms")}
        with pytest.raises(ValueError, match="drill"):
            build_notifier(
                house.database,
                house.record,
                house.clock,
                keys=KEYS,
                channels=both,
                drill_channels=both,
                worker="w",
                rng=random.Random(1),
            )

    run(tmp_path, story)


def test_closing_in_the_middle_gives_back_what_was_not_written_and_the_next_worker_ends_it(tmp_path: Path) -> None:
    async def first(house: House) -> None:
        numbers = ordinary_numbers("GB")
        view = house.started([(f"P{i}", next(numbers), "", "en", "GB") for i in range(40)])
        await house.until(lambda: any(row.rank >= RANK["accepted"] for row in house.deliveries()))
        await house.notifier.engine.close(grace=0)
        assert not [row for row in house.deliveries() if row.phase == "claimed"]
        left.append(view.campaign_id)

    async def second(house: House) -> None:
        await house.notifier.engine.recover()
        done = await house.finish(left[0])
        assert sum(done.outcomes.values()) == 40
        copies = Counter(message.recipient for message in house.standins.store.messages(limit=1000))
        marked = [move for move in house.moves(left[0]) if move.state == "ambiguous"]
        assert len(copies) == 40
        assert sum(copies.values()) - 40 <= len(marked)

    left: list[UUID] = []
    address = f"sqlite:///{tmp_path / 'kept.sqlite'}"
    run(tmp_path, first, url=address, timing=POLLING)
    run(tmp_path, second, url=address, timing=POLLING)
