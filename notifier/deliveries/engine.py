"""The delivery engine: everybody's first attempt by batches, and one by one whatever did not end there.

Lanes (`notifier.deliveries.lane`) make the first attempts. What is to be tried again, is unclear, waits for a receipt
or goes on by the next channel is claimed, tried and settled singly here. Nothing is remembered that a kill could lose:
every step stands in the books before the next is taken.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog

from incidents.clock import Clock, uptime
from notifier.channels.channel import Channel
from notifier.deliveries.batches import BatchBook
from notifier.deliveries.book import Claim, DeliveryBook
from notifier.deliveries.cancelling import Cancelling
from notifier.deliveries.early import enter_early
from notifier.deliveries.faults import place_of
from notifier.deliveries.filtering import FilterWatch
from notifier.deliveries.finishing import Finisher
from notifier.deliveries.journal import Journal
from notifier.deliveries.lane import Lane
from notifier.deliveries.letters import Letters
from notifier.deliveries.measuring import Measuring
from notifier.deliveries.planning import Planner
from notifier.deliveries.singles import Singles
from notifier.deliveries.traces import DeliverySpans
from notifier.pacing.book import PaceBook
from notifier.pacing.breaker import Change
from notifier.pacing.provider import Provider, Route, Routes
from notifier.pacing.quiet import QuietHours

log = structlog.get_logger(__name__)


TURN = 0.5
"""Seconds that one turn of the loop waits for tries to end at most."""
BREATH = 0.25
"""Seconds between two turns while the lanes are busy and there is nothing else."""
PLANNING = 0.5
"""Seconds that one turn spends on cutting audiences into batches at most."""


class DeliveryEngine:
    """Sends for one worker. `worker` names it among all that run at the same time on one database, and is kept over
    restarts, so that it can take up its own unfinished work at once."""

    def __init__(
        self,
        book: DeliveryBook,
        batches: BatchBook,
        planner: Planner,
        letters: Letters,
        finisher: Finisher,
        clock: Clock,
        *,
        channels: Mapping[str, Channel | Sequence[Provider]],
        drill_channels: Mapping[str, Channel],
        rng: random.Random,
        batch: int = 64,
        pace: PaceBook | None = None,
        quiet: QuietHours = QuietHours(),
        cancelling: Cancelling | None = None,
        measuring: Measuring | None = None,
    ) -> None:
        """A channel may have several providers. Without `pace` there are no limits."""
        self._routes: dict[bool, dict[str, Routes]] = {
            drill: {name: self._routes_of(channel, book, None if drill else pace) for name, channel in group.items()}
            for drill, group in ((False, channels), (True, drill_channels))
        }
        real, drills = ({id(route.channel) for route in self._all(drill)} for drill in (False, True))
        if real & drills:
            raise ValueError("a drill needs channels of its own: one object is both a real channel and a drill's")
        self._book = book
        self._batches = batches
        self._planner = planner
        self._letters = letters
        self._finisher = finisher
        self._clock = clock
        self._pace = pace
        self._cancelling = cancelling or Cancelling(book)
        self._measuring = measuring
        self._filter_watch, self._watch_after = FilterWatch(book), 0.0
        self._rng = rng
        self._batch = batch
        self._journal = Journal(book)
        self._spans = DeliverySpans()
        self._singles = Singles(
            book, self._journal, letters, clock, routes=self._routes, quiet=quiet, rng=rng, spans=self._spans
        )
        for route in self._all(drill=False):
            route.on_change(partial(self._health, route))
        self._lanes = [lane for drill, group in self._routes.items() for lane in self._lanes_of(drill, group)]
        self._entered = 0
        self._said: set[asyncio.Task[None]] = set()
        self._running: dict[asyncio.Task[None], Claim] = {}
        self._stopping = False
        self._renewed = time.monotonic()

    async def recover(self) -> int:
        """At the start: take up what this worker left unfinished, and what others' deaths left."""
        total = 0
        while taken := await asyncio.to_thread(self._book.reap, own=True):
            total += taken
        batches = await asyncio.to_thread(self._batches.reap, own=True)
        if total or batches:
            log.info("deliveries.recovered", deliveries=total, batches=batches)
        return total + batches

    async def run_once(self) -> int:
        """Do what is due; returns how much was done (0: nothing now). Slow sends run on into the next call."""
        self._hold(held=False)
        done = await asyncio.to_thread(self._plan)
        done += await asyncio.to_thread(self._reap)
        await self._renew()
        await self._halt()
        if not self._stopping:
            await self._look()
        free = self._batch - len(self._running)
        if not self._stopping and (free >= self._batch // 4 or not self._running):
            done += await self._begin(await asyncio.to_thread(self._book.claim, free))
        done += await self._reap_tasks()
        done += await asyncio.to_thread(enter_early, self._book)
        done += await asyncio.to_thread(self._finisher.finish_ready)
        entered = sum(lane.progress for lane in self._lanes)
        news, self._entered = entered - self._entered, entered
        if not self._running and (busy := [lane for lane in self._lanes if lane.busy]):
            quiet = [asyncio.create_task(lane.until_quiet()) for lane in busy]
            await asyncio.wait(quiet, timeout=BREATH)  # the lanes go on by themselves
            for task in quiet:
                task.cancel()
        return done + news

    async def rest(self) -> None:
        """All sending is held: hand out nothing until `run_once` is called again. Call it as often. What is on its way
        is let to end, and entered; the rest is given back."""
        self._hold(held=True)
        await self._renew()
        await self._reap_tasks()

    def _hold(self, *, held: bool) -> None:
        self._singles.held = held
        for lane in self._lanes:
            if held:
                lane.rest()
            lane.resting = held

    async def _halt(self) -> None:
        """Stop what people have stopped, also where nothing is being committed that would show it."""
        campaigns = {batch.campaign_id for lane in self._lanes for batch in lane.batches}
        campaigns |= {claim.campaign_id for claim in self._running.values()}
        stopped = await asyncio.to_thread(self._batches.stopped, campaigns) if campaigns else set[UUID]()
        self._singles.halted = stopped
        for lane in self._lanes if stopped else ():
            lane.halt(stopped)

    async def _look(self) -> None:
        """Let lanes that have nothing to do look for a batch."""
        resting = [one for one in self._lanes if one.idle]
        if not resting or not await asyncio.to_thread(self._batches.has_work):
            return
        for lane in resting:
            lane.look()

    def _plan(self) -> int:
        planned, until = 0, time.monotonic() + PLANNING
        while (page := self._planner.plan_page()) and time.monotonic() < until:
            planned += page
        return planned + page

    def _reap(self) -> int:
        if self._measuring is not None:
            self._measuring.measure()
        if uptime() >= self._watch_after:
            self._watch_after = uptime() + self._book.timing.measure.total_seconds()
            self._filter_watch.look()
        return self._book.reap() + self._batches.reap() + self._cancelling.sweep()

    def _routes_of(self, given: Channel | Sequence[Provider], book: DeliveryBook, pace: PaceBook | None) -> Routes:
        providers = given if isinstance(given, Sequence) else (Provider(given.name, given),)
        rests = book.timing.rests()
        return Routes([Route(provider, book.table, pace, rests) for provider in providers])

    def _all(self, drill: bool) -> Iterator[Route]:
        for routes in self._routes[drill].values():
            yield from routes.all

    def _health(self, route: Route, change: Change) -> None:
        """A provider began to rest, or works again: say so, for people to see."""
        rests = change is Change.RESTS
        seconds = max(route.breaker.rests_until - uptime(), 0.0)
        until = self._clock.now() + timedelta(seconds=seconds) if rests else None
        code = route.breaker.code
        level = log.warning if rests else log.info
        level(
            "provider.rests" if rests else "provider.works", provider=route.name, code=code, seconds=round(seconds, 1)
        )
        if self._pace is not None:
            said = asyncio.create_task(asyncio.to_thread(self._pace.rests, route.channel.name, route.name, until, code))
            self._said.add(said)
            said.add_done_callback(self._said_so)

    def _said_so(self, said: asyncio.Task[None]) -> None:
        self._said.discard(said)
        if not said.cancelled() and (error := said.exception()) is not None:
            log.warning("provider.not-shown", **place_of(error))

    def _lanes_of(self, drill: bool, group: Mapping[str, Routes]) -> list[Lane]:
        def lane(name: str, routes: Routes | None, others: Sequence[str] | None = None) -> Lane:
            return Lane(
                self._batches,
                self._letters,
                self._clock,
                self._rng,
                drill=drill,
                name=name,
                routes=routes,
                others=others,
                is_temporary=self._book.is_temporary,
                spans=self._spans,
            )

        # The last one takes what this worker has no channel for: those people go on to their next channel.
        return [*(lane(name, routes) for name, routes in group.items()), lane("none", None, sorted(group))]

    async def _reap_tasks(self) -> int:
        """Wait for tries to end: for the first, then until a new claim is worth its query, but not for long."""
        ended, until = 0, time.monotonic() + TURN
        while self._running and (left := until - time.monotonic()) > 0:
            finished, _ = await asyncio.wait(self._running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                self._running.pop(task)
            ended += len(finished)
            if len(self._running) <= self._batch - self._batch // 4:
                break
        return ended

    @property
    def in_flight(self) -> int:
        """How many deliveries are being worked on now."""
        return len(self._running) + sum(lane.unsettled for lane in self._lanes)

    async def close(self, grace: float = 10.0) -> None:
        """Let what is being written finish (up to `grace` seconds), give back what was not begun, hang up."""
        self._stopping = self._singles.stopping = True
        lanes = asyncio.gather(*(lane.close(grace) for lane in self._lanes))
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._journal.close()
        if self._running:
            await asyncio.to_thread(self._book.give_back, list(self._running.values()))
            self._running.clear()
        await lanes
        await asyncio.gather(*self._said, return_exceptions=True)
        for drill in self._routes:
            for route in self._all(drill):
                await route.pace.close()
                await route.channel.close()

    async def _begin(self, claims: Sequence[Claim]) -> int:
        if not claims:
            return 0
        contacts = await asyncio.to_thread(self._letters.contacts, [claim.recipient_id for claim in claims])
        for claim in claims:
            task = asyncio.create_task(self._singles.work(claim, contacts.get(claim.recipient_id)))
            self._running[task] = claim
        return len(claims)

    async def _renew(self) -> None:
        lease = self._book.timing.lease.total_seconds()
        if time.monotonic() - self._renewed <= lease / 4:
            return
        self._renewed = time.monotonic()
        if self._running:
            await asyncio.to_thread(self._book.renew, list(self._running.values()))
        held = {lane: lane.batches for lane in self._lanes if lane.batches}
        for lane, batches in held.items():
            lane.renewed(await asyncio.to_thread(self._batches.renew, batches))
