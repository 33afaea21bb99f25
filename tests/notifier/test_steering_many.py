"""Several workers on one PostgreSQL: a pause stops all of them, a pace is shared by all, and nobody is told twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from incidents.record.database import reading
from notifier.deliveries.tables import campaign_recipients, delivery_batches
from notifier.pacing.book import Drawn
from notifier.pacing.limits import Limits
from notifier.pacing.provider import Provider
from tests.notifier.house import APPROVER, PATIENCE, House, open_house
from tests.notifier.test_lanes import mails
from tests.notifier.test_providers import Gated
from tests.servers import fresh_database

pytestmark = pytest.mark.slow

PEOPLE = 240


async def turn(houses: list[House], until: Callable[[], bool], seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(until):
            done = [await house.step() for house in houses]
            if not any(done):
                await asyncio.sleep(0.01)


def run_many(folder: Path, story: Callable[[list[House], list[Gated]], Any], limits: Limits = Limits()) -> None:
    async def live() -> None:
        with fresh_database("postgresql", folder) as url:
            async with AsyncExitStack() as stack:
                channels = [Gated() for _ in range(3)]
                houses = []
                for number, channel in enumerate(channels):
                    room = folder / str(number)
                    room.mkdir()
                    provider = Provider("same", channel, limits)
                    opened = open_house(room, url=url, worker=f"w{number}", channels={"email": (provider,)})
                    houses.append(await stack.enter_async_context(opened))
                await story(houses, channels)

    asyncio.run(live())


def draws_of(house: House) -> list[Drawn]:
    """What this worker draws from now on for its pace."""
    pace, drawn = house.notifier.engine._pace, list[Drawn]()
    assert pace is not None
    draw = pace.draw

    def noted(*asked: Any) -> Drawn:
        drawn.append(draw(*asked))
        return drawn[-1]

    pace.draw = noted  # type: ignore[method-assign]
    return drawn


def entered(house: House) -> int:
    with reading(house.database) as connection:
        told = select(func.count()).where(campaign_recipients.c.outcome == "accepted")
        return int(connection.execute(told).scalar_one())


def test_a_pause_stops_every_worker_and_resuming_tells_everybody_once(tmp_path: Path) -> None:
    async def story(houses: list[House], channels: list[Gated]) -> None:
        def sent() -> list[str]:
            return [address for channel in channels for address in channel.sent]

        view = houses[0].started(mails(PEOPLE))
        for turns in range(1, 4):
            for channel in channels:
                channel.let(5)
            await turn(houses, lambda least=15 * turns: len(sent()) >= least)  # type: ignore[misc]
            houses[0].notifier.campaigns.pause(houses[0].context(APPROVER), view.campaign_id, reason="wait")
            for house in houses:
                await house.step()
            for channel in channels:
                channel.let(3 * channel.concurrency)  # what is on the wire is answered
            await turn(houses, lambda: all(house.notifier.engine.in_flight == 0 for house in houses))
            stopped = len(sent())
            for _ in range(3):
                for house in houses:
                    await house.step()
            assert len(sent()) == stopped == entered(houses[0]), "nobody new, and what was on the wire is entered"
            with reading(houses[0].database) as connection:
                held = select(func.count()).where(delivery_batches.c.state == "held")
                assert connection.execute(held).scalar_one() == 0
            houses[1].notifier.campaigns.resume(houses[1].context(APPROVER), view.campaign_id, reason="go on")
        for channel in channels:
            channel.let(PEOPLE)
        campaigns = houses[0].notifier.campaigns
        await turn(houses, lambda: campaigns.view(view.campaign_id).status == "finished")
        assert Counter(sent()) == {f"m{i}@example.com": 1 for i in range(PEOPLE)}
        assert sum(bool(channel.sent) for channel in channels) > 1, "more than one worker took part"

    run_many(tmp_path, story)


def test_cancelling_counts_everybody_whatever_worker_had_them(tmp_path: Path) -> None:
    async def story(houses: list[House], channels: list[Gated]) -> None:
        view = houses[0].started(mails(PEOPLE))
        for channel in channels:
            channel.let(5)
        await turn(houses, lambda: sum(len(channel.sent) for channel in channels) >= 15)
        houses[2].notifier.campaigns.cancel(houses[2].context(APPROVER), view.campaign_id, reason="enough")
        for channel in channels:
            channel.let(PEOPLE)
        campaigns = houses[0].notifier.campaigns
        await turn(houses, lambda: campaigns.view(view.campaign_id).status == "finished")
        sent = sum(len(channel.sent) for channel in channels)
        outcomes = campaigns.view(view.campaign_id).outcomes
        assert outcomes["accepted"] == sent < PEOPLE
        assert outcomes["cancelled"] == PEOPLE - sent

    run_many(tmp_path, story)


def test_workers_share_one_pace(tmp_path: Path) -> None:
    """A bucket of one that hardly fills: three workers together send no more than one would."""

    async def story(houses: list[House], channels: list[Gated]) -> None:
        for channel in channels:
            channel.let(PEOPLE)
        drawn = [draws_of(house) for house in houses]
        view = houses[0].started(mails(PEOPLE))
        await turn(houses, lambda: all(drawn) and any(channel.sent for channel in channels))
        for _ in range(10):
            for house in houses:
                await house.step()
        assert sum(len(channel.sent) for channel in channels) == 1
        assert sum(one.units > 0 for mine in drawn for one in mine) == 1, "each asked, and one got it"
        houses[0].notifier.campaigns.cancel(houses[0].context(APPROVER), view.campaign_id, reason="enough")
        campaigns = houses[0].notifier.campaigns
        await turn(houses, lambda: campaigns.view(view.campaign_id).status == "finished")

    run_many(tmp_path, story, Limits(per_second=0.0005))
