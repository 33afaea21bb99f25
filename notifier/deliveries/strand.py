"""A strand: one campaign's way through a lane. It claims the campaign's batches one after another and has its groups
made, marked and offered, beside those of other campaigns and not behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol
from uuid import UUID

import structlog

from incidents.errors import TocsinError
from notifier.deliveries.batches import Answer, BatchBook
from notifier.deliveries.claiming import Batch
from notifier.deliveries.faults import place_of
from notifier.deliveries.making import Maker
from notifier.deliveries.open_batch import Group, Mark, OpenBatch

log = structlog.get_logger(__name__)

PAUSE = 1.0
"""Seconds before a failed step is tried again."""
GROUPS_READY = 2
"""Groups made ready ahead of the one that is being marked."""


class Serves(Protocol):
    """The lane, as its strands see it."""

    def opened(self, batch: Batch) -> OpenBatch: ...
    def stops(self, one: OpenBatch) -> bool: ...
    def window(self, one: OpenBatch) -> int: ...
    def adapt(self, group: int) -> None: ...
    def offer(self, group: Group) -> None: ...
    def withdraw(self, one: OpenBatch) -> None: ...
    def press(self) -> None: ...


class Strand:
    """Runs until the campaign has no batch left for this lane."""

    def __init__(
        self, lane: Serves, batches: BatchBook, maker: Maker, claim: Callable[[UUID], Awaitable[Batch | None]]
    ) -> None:
        self._lane = lane
        self._batches = batches
        self._maker = maker
        self._claim = claim
        self._ready: asyncio.Queue[Group | None] = asyncio.Queue(GROUPS_READY)

    async def run(self, first: Batch) -> None:
        """Work on a batch, and on those of its campaign after it."""
        marker = asyncio.create_task(self._mark())
        batch: Batch | None = first
        try:
            while batch is not None:
                one = self._lane.opened(batch)
                try:
                    await self._load(one)
                except Exception as error:  # noqa: BLE001 - logged; what was claimed is given back and claimed again
                    log.error("lane.load-failed", channel=batch.channel, **place_of(error))
                    self._lane.withdraw(one)
                    one.loading = False
                    self._lane.press()
                    await asyncio.sleep(PAUSE)
                batch = await self._next(one)
        finally:
            await self._ready.put(None)
            await marker

    async def _next(self, last: OpenBatch) -> Batch | None:
        if self._lane.stops(last):
            return None  # the campaign may not go on; whoever looks for work finds out when it may
        try:
            return await self._claim(last.batch.campaign_id)
        except Exception as error:  # noqa: BLE001 - logged; it is looked for again
            log.error("lane.claim-failed", channel=last.batch.channel, **place_of(error))
            return None

    async def _load(self, one: OpenBatch) -> None:
        """Make one group of the batch after another ready."""
        batch = one.batch
        one.seats.extend(await asyncio.to_thread(self._batches.seats, batch))
        if not one.seats:
            raise LookupError(f"batch {batch.ref.number} of {batch.campaign_id} has nobody left and is not done")
        while one.seats and not self._lane.stops(one):
            size = min(max(self._lane.window(one) // 4, 1), len(one.seats))
            seats = [one.seats.popleft() for _ in range(size)]
            try:
                made = await asyncio.to_thread(self._maker.made, one, seats)
            except TocsinError as error:
                log.error("delivery.no-notice", campaign=str(batch.campaign_id), reason=error.code)
                await asyncio.to_thread(self._batches.hold, batch.campaign_id, error.code)
                one.release = True
                break
            if self._lane.stops(one):
                break
            one.ahead += 1
            one.loading = bool(one.seats)
            await self._ready.put(Group(one, seats[-1].position, len(seats), made))
        one.loading = False
        if self._lane.stops(one):
            self._lane.withdraw(one)
        self._lane.press()

    async def _mark(self) -> None:
        """Have one group after another marked, and offer it."""
        while (group := await self._ready.get()) is not None:
            one, answer = group.open, Answer.RESTS
            if not self._lane.stops(one):
                self._lane.adapt(group.size)
                one.mark = Mark(group.wire_to, group.size, asyncio.get_running_loop().create_future())
                self._lane.press()
                answer = await one.mark.answer
            one.ahead -= 1
            if answer is Answer.DONE:
                self._lane.offer(group)
            elif not one.release:
                self._lane.withdraw(one)
            self._lane.press()
