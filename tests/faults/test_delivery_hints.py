"""Kafka fails in every way while it spreads the batches of a campaign over two notifiers: every notice still goes out,
once."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from notifier.deliveries import BatchRef, DeliveryEngine, counters
from notifier.deliveries.tables import delivery_batches
from notifier.standins.outcomes import ordinary_numbers
from notifier.wiring import build_notifier
from tests.notifier.house import KEYS, POLLING, SIMULATED, House, open_house, real_channels
from tests.servers import KafkaBroker, kafka, own_kafka
from tests.world import wait_for
from tocsin.delivery_hints import STUCK_SECONDS, DeliveryHints, HintCarrier
from tocsin.kafka import Kafka
from tocsin.observability.metrics import Metrics
from tocsin.settings_kafka import KafkaSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PEOPLE = 60
HOURS = timedelta(hours=3)
LOOKS_OFTEN = POLLING.model_copy(update={"look": timedelta(seconds=1)})
LOOKS_ONCE = POLLING.model_copy(update={"look": HOURS})
"""Where a worker that found nothing learns of new batches by hints alone."""


@contextmanager
def carried(bootstrap: str, prefix: str) -> Iterator[DeliveryHints]:
    """Hints that are carried by these brokers."""
    hints, stop = DeliveryHints(), threading.Event()
    settings = KafkaSettings(bootstrap_servers=(bootstrap,), topic_prefix=prefix, group_prefix=prefix, partitions=4)
    thread = threading.Thread(target=HintCarrier(hints, Kafka(settings, "test"), Metrics()).run, args=(stop,))
    thread.start()
    try:
        yield hints
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive(), "the carrier did not stop"


class Pair:
    """Two notifiers over one database and one world, each with hints of its own."""

    def __init__(self, house: House, second: DeliveryEngine, hints: tuple[DeliveryHints, DeliveryHints]) -> None:
        self.house = house
        self.hints = hints
        self._engines = (house.notifier.engine, second)
        self._rng = random.Random(11)
        self.claimed: Counter[int] = Counter()
        for number, engine in enumerate(self._engines):
            self._count_claims(number, engine)

    def start_campaign(self) -> UUID:
        numbers = ordinary_numbers("GB")
        tag = uuid4().hex[:6]
        rows = [(f"Person {n}", next(numbers), "", "en", "GB") for n in range(PEOPLE // 2)]
        rows += [(f"Mail {n}", "", f"m{n}-{tag}@example.com", "en", "GB") for n in range(PEOPLE // 2)]
        return self.house.started(rows).campaign_id

    async def until_told(self, share: float, campaign_id: UUID) -> None:
        """Turn the loops of both until so many were told."""
        await self._until(lambda: self._open(campaign_id) <= PEOPLE * (1 - share))

    async def finish(self, campaign_id: UUID) -> None:
        view = self.house.notifier.campaigns.view
        await self._until(lambda: view(campaign_id).status.value == "finished")

    async def finish_by_hints(self, campaign_id: UUID) -> None:
        """The same where nobody looks. A hint that the group lost while it was divided anew is given again."""
        view, given = self.house.notifier.campaigns.view, [time.monotonic()]

        def is_finished() -> bool:
            if view(campaign_id).status.value == "finished":
                return True
            if time.monotonic() - given[-1] > 15:
                given.append(time.monotonic())
                self.hints[0].publish(self.batches(campaign_id))
            return False

        await self._until(is_finished, 180.0)

    async def turn(self, times: int) -> None:
        """Some turns of the loops of both."""
        for _ in range(times):
            await self._step()

    def check(self, *campaigns: UUID) -> None:
        """Everybody was told once, and coverage adds up."""
        messages = self.house.standins.store.messages(limit=10_000)
        times = Counter((message.recipient, message.body) for message in messages)
        assert len(messages) == PEOPLE * len(campaigns)
        assert max(Counter(message.recipient for message in messages).values()) <= len(campaigns), times.most_common(1)
        for campaign_id in campaigns:
            told = counters(self.house.database, campaign_id)
            assert told is not None
            assert sum(told.values()) == PEOPLE
            assert told["reached"] + told["accepted"] == PEOPLE, told

    def batches(self, campaign_id: UUID) -> list[BatchRef]:
        wanted = select(delivery_batches.c.number).where(delivery_batches.c.campaign_id == campaign_id)
        with self.house.database.connect() as connection:
            return [BatchRef(campaign_id, number) for number in connection.execute(wanted).scalars()]

    def carried(self) -> None:
        """Wait until hints are carried from one to the other, and both hear some."""
        strange, heard = uuid4(), [0, 0]

        def both() -> bool | None:
            for hints in self.hints:
                hints.publish([BatchRef(strange, number) for number in range(1, 5)])
            for number, hints in enumerate(self.hints):
                while hints.next() is not None:
                    heard[number] += 1
            return all(heard) or None

        # The group gives up members that died, which takes a session's time, and one that is stuck joins anew.
        wait_for(both, "hints to be carried to both", patience=2 * STUCK_SECONDS)

    def _count_claims(self, number: int, engine: DeliveryEngine) -> None:
        claims = engine._lanes[0]._batches._claims
        claim = claims.claim

        def counted(**lane: Any) -> Any:
            batch = claim(**lane)
            self.claimed[number] += batch is not None
            return batch

        claims.claim = counted  # type: ignore[method-assign]

    def _open(self, campaign_id: UUID) -> int:
        told = counters(self.house.database, campaign_id)
        return PEOPLE if told is None or not sum(told.values()) else PEOPLE - sum(told.values()) + told["open"]

    async def _until(self, reached: Any, seconds: float = 120.0) -> None:
        async with asyncio.timeout(seconds):
            while not await asyncio.to_thread(reached):
                if not await self._step():
                    await asyncio.sleep(0.02)

    async def _step(self) -> int:
        engines = list(self._engines)
        self._rng.shuffle(engines)
        done = await asyncio.to_thread(self.house.notifier.follower.run_once)
        done += sum(await asyncio.gather(*(engine.run_once() for engine in engines)))
        return done + await asyncio.to_thread(self.house.notifier.relay.run_once)


@asynccontextmanager
async def pair(folder: Path, bootstrap: str, *, timing: Any = LOOKS_OFTEN) -> AsyncIterator[Pair]:
    prefix = f"t{uuid4().hex[:12]}"
    with carried(bootstrap, prefix) as mine, carried(bootstrap, prefix) as others:
        async with open_house(folder, hints=mine, timing=timing, batch_size=4) as house:
            second = build_notifier(
                house.database,
                house.record,
                house.clock,
                keys=KEYS,
                channels=real_channels(house.standins, house.clock, None),
                drill_channels={},
                worker="worker-2",
                rng=random.Random(8),
                timing=timing,
                extra_numbers=SIMULATED,
                batch_size=4,
                hints=others,
            ).engine
            try:
                yield Pair(house, second, (mine, others))
            finally:
                await second.close(grace=1)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    with own_kafka(tmp_path / "kafka") as started:
        yield started


def test_a_campaign_is_spread_over_two_by_hints_alone(tmp_path: Path) -> None:
    """Both have looked, found nothing, and will not look again for hours: what they do, they were told of."""

    async def story() -> None:
        async with pair(tmp_path, kafka(), timing=LOOKS_ONCE) as both:
            await asyncio.to_thread(both.carried)
            await both.turn(3)
            assert not sum(both.claimed.values())
            campaign = both.start_campaign()
            await both.finish_by_hints(campaign)
            both.check(campaign)
            assert min(both.claimed[0], both.claimed[1]) >= 3, both.claimed
            assert sum(both.claimed.values()) == len(both.batches(campaign)), "each batch was claimed once"

    asyncio.run(story())


def test_kafka_is_stopped_started_killed_and_wiped_in_the_middle_of_a_campaign(
    tmp_path: Path, broker: KafkaBroker
) -> None:
    async def story() -> None:
        async with pair(tmp_path, broker.bootstrap) as both:
            await asyncio.to_thread(both.carried)
            campaign = both.start_campaign()
            await both.until_told(0.2, campaign)
            await asyncio.to_thread(broker.stop)
            await both.until_told(0.4, campaign)
            await asyncio.to_thread(broker.start)
            await both.until_told(0.6, campaign)
            await asyncio.to_thread(broker.wipe)
            await both.until_told(0.8, campaign)
            await asyncio.to_thread(broker.kill)
            await both.finish(campaign)
            assert min(both.claimed.values()) > 0
            await asyncio.to_thread(broker.start)
            both.check(campaign)

            await asyncio.to_thread(both.carried)
            other = both.start_campaign()
            await both.finish(other)
            both.check(campaign, other)

    asyncio.run(story())


def test_without_kafka_from_the_beginning_to_the_end(tmp_path: Path, broker: KafkaBroker) -> None:
    async def story() -> None:
        broker.pause()  # connections are taken, nobody answers
        async with pair(tmp_path, broker.bootstrap) as both:
            campaign = both.start_campaign()
            await both.finish(campaign)
            both.check(campaign)
            broker.resume()

    asyncio.run(story())


def test_doubled_late_reordered_and_foreign_hints_change_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with pair(tmp_path, kafka()) as both:
            await asyncio.to_thread(both.carried)
            dice = random.Random(20261122)
            campaign = both.start_campaign()
            await both.until_told(0.1, campaign)
            again = [*both.batches(campaign) * 3, *(BatchRef(uuid4(), number) for number in range(1, 40))]
            dice.shuffle(again)
            for hints in both.hints:
                hints.publish(again)
            await both.finish(campaign)
            for hints in both.hints:
                hints.publish(again)  # of a campaign that is over
            await both.turn(5)
            await asyncio.to_thread(
                wait_for, lambda: not both.hints[0].leaving or None, "all of them to be on their way"
            )
            other = both.start_campaign()
            await both.finish(other)

            both.check(campaign, other)
            assert sum(both.claimed.values()) == len(both.batches(campaign)) + len(both.batches(other))

    asyncio.run(story())
