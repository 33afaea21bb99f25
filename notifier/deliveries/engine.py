"""The delivery engine: everybody's first attempt by batches, and one by one whatever did not end there.

Lanes (`notifier.deliveries.lane`) make the first attempts. What is to be tried again, is unclear, waits for a receipt
or goes on by the next channel is claimed, tried and settled singly here. Nothing is remembered that a kill could lose:
every step stands in the books before the next is taken.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from incidents.clock import Clock
from incidents.errors import TocsinError
from notifier.channels.channel import Channel, ProviderUnavailable
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries.batches import BatchBook
from notifier.deliveries.book import Claim, DeliveryBook
from notifier.deliveries.early import enter_early
from notifier.deliveries.faults import place_of
from notifier.deliveries.finishing import Finisher
from notifier.deliveries.journal import Journal
from notifier.deliveries.lane import Lane
from notifier.deliveries.letters import Letters, address_of, reason_without_address
from notifier.deliveries.planning import Planner
from notifier.deliveries.traces import DeliverySpans, say_outcome
from notifier.vault import Contact, ErasedContact

log = structlog.get_logger(__name__)


TURN = 0.5
"""Seconds that one turn of the loop waits for tries to end at most."""
BREATH = 0.25
"""Seconds between two turns while the lanes are busy and there is nothing else."""
PLANNING = 0.5
"""Seconds that one turn spends on cutting audiences into batches at most."""


class LeaseLost(Exception):
    """The claim is no longer ours, or the person is told already: nothing may be written."""


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
        channels: Mapping[str, Channel],
        drill_channels: Mapping[str, Channel],
        rng: random.Random,
        batch: int = 64,
    ) -> None:
        shared = {id(channel) for channel in channels.values()} & {id(channel) for channel in drill_channels.values()}
        if shared:
            raise ValueError("a drill needs channels of its own: one object is both a real channel and a drill's")
        self._book = book
        self._batches = batches
        self._planner = planner
        self._letters = letters
        self._finisher = finisher
        self._clock = clock
        self._channels = {False: dict(channels), True: dict(drill_channels)}
        self._slots = {
            id(channel): asyncio.Semaphore(channel.concurrency)
            for group in self._channels.values()
            for channel in group.values()
        }
        self._rng = rng
        self._batch = batch
        self._journal = Journal(book)
        self._spans = DeliverySpans()
        self._lanes = [lane for drill, group in self._channels.items() for lane in self._lanes_of(drill, group)]
        self._entered = 0
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
        done = await asyncio.to_thread(self._plan)
        done += await asyncio.to_thread(self._reap)
        await self._renew()
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
        return self._book.reap() + self._batches.reap()

    def _lanes_of(self, drill: bool, group: Mapping[str, Channel]) -> list[Lane]:
        def lane(name: str, channel: Channel | None, others: Sequence[str] | None = None) -> Lane:
            return Lane(
                self._batches,
                self._letters,
                self._clock,
                self._rng,
                drill=drill,
                name=name,
                channel=channel,
                others=others,
                is_temporary=self._book.is_temporary,
                spans=self._spans,
            )

        # The last one takes what this worker has no channel for: those people go on to their next channel.
        return [*(lane(name, channel) for name, channel in group.items()), lane("none", None, sorted(group))]

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
        self._stopping = True
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
        for group in self._channels.values():
            for channel in group.values():
                await channel.close()

    async def _begin(self, claims: Sequence[Claim]) -> int:
        if not claims:
            return 0
        contacts = await asyncio.to_thread(self._letters.contacts, [claim.recipient_id for claim in claims])
        for claim in claims:
            task = asyncio.create_task(self._work(claim, contacts.get(claim.recipient_id)))
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

    async def _work(self, claim: Claim, contact: Contact | ErasedContact | None) -> None:
        channel = self._channels[claim.drill].get(claim.channel)
        try:
            if channel is None:
                await self._journal.do(lambda moves: self._book.fail(moves, claim, "no-channel"))
                return
            async with self._slots[id(channel)]:
                if claim.work == "send":
                    await self._send(claim, channel, contact)
                elif claim.work == "check":
                    await self._check(claim, channel, contact)
                else:
                    await self._poll(claim, channel)
        except LeaseLost:
            log.info("delivery.claim-lost", delivery=str(claim.delivery_id))
        except Exception as error:  # noqa: BLE001 - logged with its place; see there why not with its text
            # The claim runs out and is taken over as after a kill: nothing is lost, nothing is sent blindly.
            log.error("delivery.broke-off", delivery=str(claim.delivery_id), **place_of(error))

    async def _send(self, claim: Claim, channel: Channel, contact: Contact | ErasedContact | None) -> None:
        address = address_of(contact, claim.channel)
        if contact is None or address is None:
            code = reason_without_address(contact)
            await self._journal.do(lambda moves: self._book.fail(moves, claim, code))
            return
        writing = False

        async def about_to_write() -> None:
            nonlocal writing
            if self._stopping or not await self._journal.do(
                lambda moves: self._book.mark_writing(moves, claim, channel.write_timeout)
            ):
                raise LeaseLost
            writing = True

        try:
            notice = await asyncio.to_thread(self._letters.notice, claim.campaign_id)
            person = claim.recipient_id
            withheld = await asyncio.to_thread(self._letters.withheld, notice, claim.channel, {person: address})
            if (why := withheld.get(person)) is not None:
                await self._journal.do(lambda moves: self._book.fail(moves, claim, why, state="suppressed"))
                return
            message = self._letters.write(
                notice,
                campaign_id=claim.campaign_id,
                recipient_id=claim.recipient_id,
                delivery_id=claim.delivery_id,
                channel=claim.channel,
                language=claim.language,
                reference=claim.reference,
                name=contact.name,
                address=address,
            )
            with self._spans.around(claim, notice.incident_id):
                outcome = await channel.send(message, about_to_write)
                say_outcome(outcome)
        except LeaseLost:
            raise
        except TocsinError as error:
            # The notice itself cannot be made: everybody's would fail alike.
            log.error("delivery.no-notice", campaign=str(claim.campaign_id), reason=error.code)
            outcome = Outcome(Verdict.CAMPAIGN_FAULT, code=error.code)
        except Exception as error:  # noqa: BLE001 - logged with its place; see there why not with its text
            log.error("delivery.channel-broke", channel=claim.channel, **place_of(error))
            outcome = Outcome(Verdict.AMBIGUOUS if writing else Verdict.TEMPORARY, code=type(error).__name__[:40])
        share = self._rng.random()
        await self._journal.do(
            lambda moves: self._book.settle(
                moves, claim, outcome, share=share, reconciles=channel.reconciles, receipts=channel.has_receipts
            )
        )

    async def _check(self, claim: Claim, channel: Channel, contact: Contact | ErasedContact | None) -> None:
        address = address_of(contact, claim.channel)
        can_tell = channel.reconciles and address is not None
        found = []
        if can_tell and address is not None:
            try:
                found = await channel.find(address, claim.reference, claim.written_at or _long_ago(self._clock))
            except ProviderUnavailable as error:
                await self._put_off(claim, str(error))
                return
        await self._journal.do(lambda moves: self._book.enter_check(moves, claim, found, can_tell=can_tell))

    async def _poll(self, claim: Claim, channel: Channel) -> None:
        try:
            found = await channel.look_up(claim.provider_id) if claim.provider_id else None
        except ProviderUnavailable as error:
            await self._put_off(claim, str(error))
            return
        await self._journal.do(lambda moves: self._book.enter_poll(moves, claim, found))

    async def _put_off(self, claim: Claim, reason: str) -> None:
        log.warning("delivery.provider-silent", channel=claim.channel, reason=reason)
        delay = self._book.timing.backoff(3, self._rng.random())
        await self._journal.do(lambda moves: self._book.put_off(moves, claim, delay))


def _long_ago(clock: Clock) -> datetime:
    return clock.now() - timedelta(days=1)
