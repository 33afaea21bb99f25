"""First attempts from claim to outcome on one worker, where something goes wrong between two steps."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from twilio.request_validator import RequestValidator

from incidents.record.database import reading, writing
from notifier.channels.channel import AboutToWrite, Found, Outgoing
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries.batches import Answer, BatchBook, Change
from notifier.deliveries.early import enter_early
from notifier.deliveries.moves import delivery_id
from notifier.deliveries.tables import delivery_batches, early_receipts, sendings
from notifier.receipts.twilio import ReceiptResult, TwilioReceipts
from notifier.standins.outcomes import ordinary_numbers
from tests.notifier.house import PATIENCE, TOKEN, House, open_house

pytestmark = pytest.mark.slow


def run(folder: Path, story: Callable[[House], Awaitable[None]], **settings: Any) -> None:
    async def live() -> None:
        async with open_house(folder, **settings) as house:
            await story(house)

    asyncio.run(live())


class Quiet:
    """A channel that takes everything, when it is let."""

    reconciles = has_receipts = False
    write_timeout = 5.0

    def __init__(self, name: str = "email", *, concurrency: int = 4, fails: type[Exception] | None = None) -> None:
        self.name = name
        self.concurrency = concurrency
        self.open = asyncio.Event()
        self.open.set()
        self.sent: list[str] = []
        self._fails = fails

    async def send(self, message: Outgoing, about_to_write: AboutToWrite) -> Outcome:
        await about_to_write()
        self.sent.append(message.address)
        if self._fails is not None:
            raise self._fails
        await self.open.wait()
        return Outcome(Verdict.ACCEPTED, provider_id=str(message.message_key))

    async def find(self, address: str, marker: str, after: object) -> list[Found]:
        return []

    async def look_up(self, provider_id: str) -> Found | None:
        return None

    async def close(self) -> None:
        return None


def mails(count: int) -> list[tuple[str, str, str, str, str]]:
    return [(f"M{i}", "", f"m{i}@example.com", "en", "GB") for i in range(count)]


def holder(house: House) -> list[Any]:
    with reading(house.database) as connection:
        return list(connection.execute(select(delivery_batches).order_by(delivery_batches.c.number)))


def test_a_commit_whose_answer_was_lost_is_made_again_and_enters_nobody_twice(tmp_path: Path) -> None:
    """The database went away just after it had committed; and once before it had."""
    channel = Quiet()

    async def story(house: House) -> None:
        commit, calls = BatchBook.commit, Counter[str]()

        def unlucky(self: BatchBook, changes: Sequence[Change], *, again: bool = False) -> list[Answer]:
            calls["all"] += 1
            if calls["all"] == 3:
                raise OSError("away before")
            answers = commit(self, changes, again=again)
            if calls["all"] == 6:
                raise OSError("away after")
            return answers

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BatchBook, "commit", unlucky)
            view = house.started(mails(30))
            done = await house.finish(view.campaign_id)
        assert calls["all"] > 6
        assert done.outcomes["accepted"] == 30
        assert Counter(channel.sent) == {f"m{i}@example.com": 1 for i in range(30)}
        once = Counter((move.delivery, move.state) for move in house.moves(view.campaign_id))
        assert len(once) == 60
        assert set(once.values()) == {1}

    run(tmp_path, story, channels={"email": channel})


def test_what_another_worker_took_over_is_not_written_any_more(tmp_path: Path) -> None:
    """This worker stood still past its lease: what it has written is settled late, what it has not is not written."""
    channel = Quiet(concurrency=2)
    channel.open.clear()

    async def story(house: House) -> None:
        view = house.started(mails(8))
        # All are marked, so nothing is left to commit that would renew the lease.
        await house.until(lambda: len(channel.sent) == 2 and holder(house)[0].wire_to == 8)
        (before,) = holder(house)
        with writing(house.database) as connection:
            connection.execute(update(sendings).values(held_until=house.clock.now().replace(year=2100)))
            connection.execute(update(delivery_batches).values(lease_until=house.clock.now().replace(year=2020)))
        other = house.notifier.engine._batches
        assert await asyncio.to_thread(other.reap) == 1
        assert [row.fence for row in holder(house)] == [before.fence + 1]
        lane = next(one for one in house.notifier.engine._lanes if one.batches)
        lane.renewed(await asyncio.to_thread(other.renew, lane.batches))
        channel.open.set()
        await house.until(lambda: [row.state for row in house.deliveries()].count("accepted") == 2)
        assert len(channel.sent) == 2, "nobody else was written"
        assert await asyncio.to_thread(lambda: holder(house)[0].owner) is None
        with writing(house.database) as connection:
            connection.execute(update(sendings).values(held_until=None))
        done = await house.finish(view.campaign_id)
        assert done.outcomes["accepted"] == 8
        twice = [address for address, copies in Counter(channel.sent).items() if copies > 1]
        marked = {move.recipient for move in house.moves(view.campaign_id) if move.state == "ambiguous"}
        assert len(twice) <= len(marked)

    run(tmp_path, story, channels={"email": channel})


def test_people_whose_channel_is_not_there_go_on_to_the_next(tmp_path: Path) -> None:
    channel = Quiet()

    async def story(house: House) -> None:
        numbers = ordinary_numbers("GB")
        rows = [
            *((f"P{i}", next(numbers), "", "en", "GB") for i in range(9)),
            ("Both", next(numbers), "b@x.com", "en", "GB"),
        ]
        done = await house.finish(house.started(rows).campaign_id)
        assert (done.outcomes["failed"], done.outcomes["accepted"]) == (9, 1)
        assert channel.sent == ["b@x.com"]

    run(tmp_path, story, channels={"email": channel})


def test_a_channel_that_breaks_after_writing_leaves_it_unclear(tmp_path: Path) -> None:
    channel = Quiet(fails=KeyError)

    async def story(house: House) -> None:
        view = house.started(mails(1), policy="at_most_once")
        done = await house.finish(view.campaign_id)
        assert done.outcomes["ambiguous"] == 1
        assert channel.sent == ["m0@example.com"]

    run(tmp_path, story, channels={"email": channel})


def test_a_campaign_that_would_rather_not_tell_than_tell_twice_marks_no_more_than_the_connections_hold(
    tmp_path: Path,
) -> None:
    channel = Quiet(concurrency=3)
    channel.open.clear()

    async def story(house: House) -> None:
        view = house.started(mails(40), policy="at_most_once")
        await house.until(lambda: len(channel.sent) == 3)
        for _ in range(3):
            await house.step()
        assert sum(row.wire_to - row.first + 1 for row in holder(house)) <= 2 * channel.concurrency
        channel.open.set()
        assert (await house.finish(view.campaign_id)).outcomes["accepted"] == 40

    run(tmp_path, story, channels={"email": channel}, batch_size=50)


def test_a_receipt_that_comes_before_its_answer_is_entered_is_not_lost(tmp_path: Path) -> None:
    """The answer is still in the worker's hands, or died with it; the receipt proves that the message exists."""
    channel = Quiet("sms", concurrency=2)
    channel.open.clear()

    async def story(house: House) -> None:
        view = house.started([("Ann", next(ordinary_numbers("GB")), "", "en", "GB")])
        await house.until(lambda: len(channel.sent) == 1)
        receipts = house.notifier.receipts
        assert isinstance(receipts, TwilioReceipts)
        assert view.audience_id is not None
        (member,) = house.notifier.audiences.members(view.audience_id)
        tried = delivery_id(view.campaign_id, member.recipient_id, "sms", 0)
        url = receipts._callbacks.url_for(tried, view.campaign_id)
        params = {"MessageSid": "SM1", "MessageStatus": "delivered"}
        signature = RequestValidator(TOKEN).compute_signature(url, params)  # type: ignore[no-untyped-call]
        for _ in range(2):
            assert await asyncio.to_thread(receipts.accept, url, params, signature) is ReceiptResult.EARLY
        assert await asyncio.to_thread(enter_early, house.notifier.book) == 0, "its delivery is not entered"
        channel.open.set()
        done = await house.finish(view.campaign_id)
        assert done.outcomes["reached"] == 1
        with reading(house.database) as connection:
            assert connection.execute(select(early_receipts)).all() == []
        assert await asyncio.to_thread(receipts.accept, url, params, signature) is ReceiptResult.DUPLICATE

    run(tmp_path, story, channels={"sms": channel})


def test_an_idle_worker_takes_no_lock(tmp_path: Path) -> None:
    """On SQLite a lock that is taken for nothing stops everybody else's work."""

    async def story(house: House) -> None:
        await house.step()
        with writing(house.database):
            async with asyncio.timeout(PATIENCE):
                await house.notifier.engine.run_once()

    run(tmp_path, story)
