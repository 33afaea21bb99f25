"""The delivery engine: claims what is due, tries it, settles it; asks the provider where nobody knows; and again.

Nothing here is remembered that a kill could lose: every step stands in the book before the next is taken.
"""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import PurePath
from uuid import UUID

import structlog

from incidents.clock import Clock
from incidents.errors import TocsinError
from incidents.record import stable_id
from notifier.channels.channel import Channel, Outgoing, ProviderUnavailable
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries.book import Claim, DeliveryBook
from notifier.deliveries.finishing import Finisher
from notifier.deliveries.journal import Journal
from notifier.deliveries.notices import Notice, Notices
from notifier.deliveries.planning import Planner
from notifier.vault import Contact, ErasedContact, Vault

log = structlog.get_logger(__name__)


TURN = 0.5
"""Seconds that one turn of the loop waits for tries to end at most."""


class LeaseLost(Exception):
    """The claim is no longer ours, or the person is told already: nothing may be written."""


class DeliveryEngine:
    """Sends for one worker. `worker` names it among all that run at the same time on one database, and is kept over
    restarts, so that it can take up its own unfinished work at once."""

    def __init__(
        self,
        book: DeliveryBook,
        planner: Planner,
        notices: Notices,
        finisher: Finisher,
        vault: Vault,
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
        self._planner = planner
        self._notices = notices
        self._finisher = finisher
        self._vault = vault
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
        self._running: dict[asyncio.Task[None], Claim] = {}
        self._stopping = False
        self._renewed = time.monotonic()

    async def recover(self) -> int:
        """At the start: take up what this worker left unfinished, and what others' deaths left."""
        total = 0
        while taken := await asyncio.to_thread(self._book.reap, own=True):
            total += taken
        if total:
            log.info("deliveries.recovered", deliveries=total)
        return total

    async def run_once(self) -> int:
        """Do what is due; returns how much was done (0: nothing now). Slow sends run on into the next call."""
        done = await asyncio.to_thread(self._planner.plan_page)
        done += await asyncio.to_thread(self._book.reap)
        await self._renew()
        free = self._batch - len(self._running)
        if not self._stopping and (free >= self._batch // 4 or not self._running):
            done += await self._begin(await asyncio.to_thread(self._book.claim, free))
        done += await self._reap_tasks()
        done += await asyncio.to_thread(self._finisher.finish_ready)
        return done

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
        """How many claims are being worked on now."""
        return len(self._running)

    async def close(self, grace: float = 10.0) -> None:
        """Let what is being written finish (up to `grace` seconds), give back what was not begun, hang up."""
        self._stopping = True
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._journal.close()
        if self._running:
            await asyncio.to_thread(self._book.give_back, list(self._running.values()))
            self._running.clear()
        for group in self._channels.values():
            for channel in group.values():
                await channel.close()

    async def _begin(self, claims: Sequence[Claim]) -> int:
        if not claims:
            return 0
        contacts = await asyncio.to_thread(self._contacts, [claim.recipient_id for claim in claims])
        for claim in claims:
            task = asyncio.create_task(self._work(claim, contacts.get(claim.recipient_id)))
            self._running[task] = claim
        return len(claims)

    def _contacts(self, ids: Sequence[UUID]) -> dict[UUID, Contact | ErasedContact]:
        try:
            return self._vault.read_many(ids)
        except TocsinError:
            found: dict[UUID, Contact | ErasedContact] = {}
            for recipient in ids:  # one damaged row must not hold up the others
                try:
                    found[recipient] = self._vault.read(recipient)
                except TocsinError as error:
                    log.error("delivery.contact-unreadable", recipient=str(recipient), reason=error.code)
            return found

    async def _renew(self) -> None:
        lease = self._book.timing.lease.total_seconds()
        if self._running and time.monotonic() - self._renewed > lease / 4:
            await asyncio.to_thread(self._book.renew, list(self._running.values()))
            self._renewed = time.monotonic()

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
            log.error("delivery.broke-off", delivery=str(claim.delivery_id), **_place(error))

    async def _send(self, claim: Claim, channel: Channel, contact: Contact | ErasedContact | None) -> None:
        address = _address(contact, claim.channel)
        if contact is None or address is None:
            code = "erased" if contact is not None and contact.erased else "no-contact"
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
            message = self._message(claim, await self._notice(claim), contact.name, address)
            outcome = await channel.send(message, about_to_write)
        except LeaseLost:
            raise
        except TocsinError as error:
            # The notice itself cannot be made: everybody's would fail alike.
            log.error("delivery.no-notice", campaign=str(claim.campaign_id), reason=error.code)
            outcome = Outcome(Verdict.CAMPAIGN_FAULT, code=error.code)
        except Exception as error:  # noqa: BLE001 - logged with its place; see there why not with its text
            log.error("delivery.channel-broke", channel=claim.channel, **_place(error))
            outcome = Outcome(Verdict.AMBIGUOUS if writing else Verdict.TEMPORARY, code=type(error).__name__[:40])
        share = self._rng.random()
        await self._journal.do(
            lambda moves: self._book.settle(
                moves, claim, outcome, share=share, reconciles=channel.reconciles, receipts=channel.has_receipts
            )
        )

    async def _notice(self, claim: Claim) -> Notice:
        return await asyncio.to_thread(self._notices.of, claim.campaign_id)

    def _message(self, claim: Claim, notice: Notice, name: str, address: str) -> Outgoing:
        return Outgoing(
            delivery_id=claim.delivery_id,
            campaign_id=claim.campaign_id,
            message_key=stable_id("message", str(claim.campaign_id), str(claim.recipient_id)),
            address=address,
            content=notice.write(claim.language, claim.channel, name, claim.reference),
            language=claim.language,
            marker=claim.reference,
        )

    async def _check(self, claim: Claim, channel: Channel, contact: Contact | ErasedContact | None) -> None:
        address = _address(contact, claim.channel)
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


def _address(contact: Contact | ErasedContact | None, channel: str) -> str | None:
    if contact is None:
        return None
    return contact.phone if channel == "sms" else contact.email


def _place(error: BaseException) -> dict[str, str]:
    """What broke and where. No text and no traceback: both may repeat an address (promise 2)."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return {"reason": type(error).__name__, "place": place}


def _long_ago(clock: Clock) -> datetime:
    return clock.now() - timedelta(days=1)
