"""Pausing, resuming and cancelling a campaign while it is being sent: at once, and nobody lost or told twice."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from incidents.errors import Forbidden, IllegalTransition, InvalidInput
from incidents.record import Context
from incidents.record.database import reading
from notifier.campaigns.campaign import Campaign
from notifier.campaigns.service import CampaignView
from notifier.deliveries.progress import progress_of
from notifier.deliveries.tables import delivery_batches, sendings
from tests.notifier.house import APPROVER, PATIENCE, House
from tests.notifier.test_lanes import Quiet, mails, run
from tests.notifier.test_providers import Gated

pytestmark = pytest.mark.slow


def steered(house: House, what: str, campaign_id: UUID, reason: str = "the desk is not staffed") -> CampaignView:
    view: CampaignView = getattr(house.notifier.campaigns, what)(house.context(APPROVER), campaign_id, reason=reason)
    return view


def row(house: House, table: Any = sendings) -> Any:
    with reading(house.database) as connection:
        return connection.execute(select(table)).first()


async def still(house: House, channel: Quiet, turns: int = 6) -> int:
    """Turn the loops, and return how many were sent by then."""
    for _ in range(turns):
        await house.step()
    return len(channel.sent)


def test_pausing_stops_before_the_next_window_and_resuming_goes_on_from_there(tmp_path: Path) -> None:
    channel = Quiet(concurrency=2)
    channel.open.clear()

    async def story(house: House) -> None:
        view = house.started(mails(60))
        await house.until(lambda: len(channel.sent) == 2)
        paused = await asyncio.to_thread(steered, house, "pause", view.campaign_id)
        assert (paused.status, paused.pause_reason) == ("paused", "the desk is not staffed")
        await house.step()
        channel.open.set()  # what is on the wire is answered now
        await house.until(lambda: house.notifier.engine.in_flight == 0)
        assert await still(house, channel) == 2, "nobody else is written to"
        assert [one.state for one in house.deliveries()].count("accepted") == 2, "what was on the wire is entered"
        await house.until(lambda: row(house, delivery_batches).owner is None)  # the batch is given back
        await asyncio.to_thread(steered, house, "resume", view.campaign_id, "it is staffed now")
        done = await house.finish(view.campaign_id)
        assert done.outcomes["accepted"] == 60
        assert Counter(channel.sent) == {f"m{i}@example.com": 1 for i in range(60)}

    run(tmp_path, story, channels={"email": channel}, batch_size=30)


def test_pausing_and_resuming_ten_times_tells_nobody_twice(tmp_path: Path) -> None:
    """Others begin from the start again after a pause."""
    channel = Gated(concurrency=3)

    async def story(house: House) -> None:
        view = house.started(mails(150))
        for _ in range(10):
            channel.let(8)  # so many, and no more, are answered before the pause
            await house.until(channel.tickets.locked)
            await asyncio.to_thread(steered, house, "pause", view.campaign_id)
            await house.step()
            await asyncio.to_thread(steered, house, "resume", view.campaign_id)
        channel.let(1_000)
        done = await house.finish(view.campaign_id)
        assert done.outcomes["accepted"] == 150
        assert Counter(channel.sent) == {f"m{i}@example.com": 1 for i in range(150)}

    run(tmp_path, story, channels={"email": channel})


def test_a_batch_whose_last_outcomes_are_being_entered_is_not_taken_for_lost(tmp_path: Path) -> None:
    """The worker is told to end at the moment in which the batch is done in the database and nobody here knows it."""
    channel = Quiet(concurrency=3)

    async def story(house: House) -> None:
        engine, batches = house.notifier.engine, house.notifier.engine._batches
        commit, entered, go_on = batches.commit, threading.Event(), threading.Event()

        def slow(changes: Any, *, again: bool = False) -> Any:
            answers = commit(changes, again=again)
            if row(house, delivery_batches).state == "done":
                entered.set()
                go_on.wait(PATIENCE)
            return answers

        batches.commit = slow  # type: ignore[method-assign]
        house.started(mails(3))
        await house.until(entered.is_set)
        closing = asyncio.create_task(engine.close(grace=PATIENCE))
        while not all(lane.closed for lane in engine._lanes):  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
        go_on.set()
        await closing

    with capture_logs() as logs:
        run(tmp_path, story, channels={"email": channel})
    assert "batch.lost" not in {one["event"] for one in logs}


def test_cancelling_counts_off_whoever_was_not_written_to(tmp_path: Path) -> None:
    channel = Quiet(concurrency=2)
    channel.open.clear()

    async def story(house: House) -> None:
        view = house.started(mails(50))
        await house.until(lambda: len(channel.sent) == 2)
        cancelled = await asyncio.to_thread(steered, house, "cancel", view.campaign_id, "the data were encrypted")
        assert cancelled.status == "cancelled"
        await house.step()
        channel.open.set()  # what is on the wire is answered now
        done = await house.finish(view.campaign_id)
        assert len(channel.sent) == 2
        assert (done.outcomes["accepted"], done.outcomes["cancelled"]) == (2, 48)
        assert sum(done.outcomes.values()) == 50
        assert done.cancellation_reason == "the data were encrypted"

    run(tmp_path, story, channels={"email": channel}, batch_size=20)


def test_a_paused_campaign_can_be_cancelled(tmp_path: Path) -> None:
    channel = Quiet()

    async def story(house: House) -> None:
        view = house.started(mails(20))
        await asyncio.to_thread(steered, house, "pause", view.campaign_id)
        assert await still(house, channel) == 0, "paused before anybody was written to"
        told = await asyncio.to_thread(
            progress_of, house.database, view.campaign_id, house.clock.now(), view.recipients
        )
        assert told is not None
        assert told.paused_at is not None
        assert (told.left, told.ends_at) == (20, None)
        await asyncio.to_thread(steered, house, "cancel", view.campaign_id)
        assert (await house.finish(view.campaign_id)).outcomes["cancelled"] == 20
        assert channel.sent == []

    run(tmp_path, story, channels={"email": channel})


def test_a_decision_that_never_reached_the_workers_row_is_brought_there(tmp_path: Path) -> None:
    """Killed between the event and the row: whoever follows the events finishes it. An older one changes nothing."""
    channel = Quiet()

    async def story(house: House) -> None:
        view = house.started(mails(5))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(house.notifier.campaigns, "_control", lambda _campaign: None)
            await asyncio.to_thread(steered, house, "pause", view.campaign_id)
        assert await still(house, channel) == 0
        assert row(house).paused_at is not None
        await asyncio.to_thread(steered, house, "resume", view.campaign_id)
        assert row(house).paused_at is None
        await asyncio.to_thread(house.notifier.follower.run_once)
        assert row(house).paused_at is None, "the pause before it does not come back"
        assert (await house.finish(view.campaign_id)).outcomes["accepted"] == 5

    run(tmp_path, story, channels={"email": channel})


def test_only_a_person_steers_with_a_reason_and_only_what_can_be_steered(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        campaigns = house.notifier.campaigns
        view = house.started(mails(1))
        with pytest.raises(IllegalTransition):
            steered(house, "resume", view.campaign_id)
        with pytest.raises(InvalidInput):
            steered(house, "pause", view.campaign_id, "  ")
        with pytest.raises(InvalidInput):
            steered(house, "pause", view.campaign_id, "call +44 7700 900123 first")
        machine = Context.of_command("system:tocsin", house.clock)
        for what in (campaigns.pause, campaigns.cancel):
            with pytest.raises(Forbidden):
                what(machine, view.campaign_id, reason="by itself")
        once = house.context(APPROVER)
        campaigns.pause(once, view.campaign_id, reason="wait")
        assert campaigns.pause(once, view.campaign_id, reason="wait").status == "paused", "sent twice, done once"
        with pytest.raises(IllegalTransition):
            steered(house, "pause", view.campaign_id)
        campaign = house.record.load(Campaign, view.campaign_id)
        with pytest.raises(IllegalTransition):
            campaign.revise_text(house.context(), {})
        steered(house, "cancel", view.campaign_id)
        with pytest.raises(IllegalTransition):
            steered(house, "resume", view.campaign_id)

    run(tmp_path, story, channels={"email": Quiet()})


def test_when_all_sending_is_held_nobody_else_is_written_to_until_it_is_released(tmp_path: Path) -> None:
    """What is under way by itself stops too, not only what the next turn would begin."""
    channel = Quiet(concurrency=2)
    channel.open.clear()

    async def story(house: House) -> None:
        engine = house.notifier.engine
        view = house.started(mails(60))
        await house.until(lambda: len(channel.sent) == 2)
        await engine.rest()
        channel.open.set()  # what is on the wire is answered now
        async with asyncio.timeout(PATIENCE):
            while engine.in_flight or row(house, delivery_batches).owner is not None:  # until the batch is given back
                await engine.rest()
                await asyncio.sleep(0.01)
        for _ in range(20):
            await engine.rest()
        assert len(channel.sent) == 2
        done = await house.finish(view.campaign_id)
        assert done.outcomes["accepted"] == 60
        assert Counter(channel.sent) == {f"m{i}@example.com": 1 for i in range(60)}

    run(tmp_path, story, channels={"email": channel}, batch_size=30)
