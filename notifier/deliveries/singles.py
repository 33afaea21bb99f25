"""Working on single deliveries: what is to be tried again, is unclear, waits for a receipt or goes on by the next
channel. Each is claimed before, marked as being written before the first byte, and settled after."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import structlog

from incidents.clock import Clock, uptime
from incidents.errors import TocsinError
from notifier.channels.channel import Found, Outgoing, ProviderUnavailable
from notifier.channels.outcome import Outcome, Verdict
from notifier.deliveries.book import Claim, DeliveryBook
from notifier.deliveries.faults import place_of
from notifier.deliveries.journal import Journal
from notifier.deliveries.letters import Letters, address_of, reason_without_address
from notifier.deliveries.making import cost_of, country_of
from notifier.deliveries.moves import Moves, person_key
from notifier.deliveries.traces import DeliverySpans, say_outcome
from notifier.pacing.provider import Route, Routes
from notifier.pacing.quiet import QuietHours
from notifier.vault import Contact, ErasedContact

log = structlog.get_logger(__name__)

R = TypeVar("R")

SHORTEST_WAIT, LONGEST_WAIT = 0.2, 30.0
"""Seconds before a single delivery asks again for a provider. Another worker may find one sooner."""
MOST_WAITING = 8
"""Single deliveries that wait for the pace of one provider for as long as it takes: enough to use all of it. More would
keep those of other channels and campaigns from being worked on."""
PATIENCE = 2.0
"""Seconds that any other one waits for it."""
ENTERED = timedelta(seconds=10)
"""So long after its answer came, what became of a message is surely entered."""
LATER = 5.0
"""Seconds, and up to as many more, after which that one is looked at again."""
ENTER_AGAIN = (0.2, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""Seconds before each further try to enter what became of a message."""


class LeaseLost(Exception):
    """The claim is no longer ours, or the person is told already: nothing may be written."""


class NotNow(Exception):
    """It may not be tried before `until`, through no fault of its own."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until.isoformat())
        self.until = until


class Singles:
    """Works on one claim at a time in each task that calls it."""

    def __init__(
        self,
        book: DeliveryBook,
        journal: Journal,
        letters: Letters,
        clock: Clock,
        *,
        routes: Mapping[bool, Mapping[str, Routes]],
        quiet: QuietHours,
        rng: random.Random,
        spans: DeliverySpans,
    ) -> None:
        """`routes`: the providers by channel, for real sendings (False) and for drills (True)."""
        self._book = book
        self._journal = journal
        self._letters = letters
        self._clock = clock
        self._routes = routes
        self._quiet = quiet
        self._rng = rng
        self._spans = spans
        self._waiting: Counter[Route] = Counter()
        self.stopping = False
        self.halted: Collection[UUID] = ()
        """Campaigns in which nobody new may be written to now."""
        self.held = False
        """Nobody at all may."""

    async def work(self, claim: Claim, contact: Contact | ErasedContact | None) -> None:
        """Do what is to be done with one delivery."""
        routes = self._routes[claim.drill].get(claim.channel)
        try:
            if routes is None:
                await self._enter(claim, lambda moves: self._book.fail(moves, claim, "no-channel"))
            elif claim.work == "send":
                await self._send(claim, routes, contact)
            elif claim.work == "check":
                await self._check(claim, routes, contact)
            else:
                await self._poll(claim, routes)
        except LeaseLost:
            log.info("delivery.claim-lost", delivery=str(claim.delivery_id))
        except NotNow as later:
            until = later.until
            await self._enter(claim, lambda moves: self._book.postpone(moves, claim, until))
        except Exception as error:  # noqa: BLE001 - logged with its place; see there why not with its text
            # The claim runs out and is taken over as after a kill: nothing is lost, nothing is sent blindly.
            log.error("delivery.broke-off", delivery=str(claim.delivery_id), **place_of(error))

    async def _send(self, claim: Claim, routes: Routes, contact: Contact | ErasedContact | None) -> None:
        address = address_of(contact, claim.channel)
        if contact is None or address is None:
            code = reason_without_address(contact)
            await self._enter(claim, lambda moves: self._book.fail(moves, claim, code))
            return
        self._not_at_night(claim, address)
        route = self._route(routes)
        asking = writing = False

        async def about_to_write() -> None:
            nonlocal asking, writing
            if self.held:
                route.breaker.untried()
                raise NotNow(self._clock.now())
            asking = True
            if self.stopping or not await self._enter(
                claim, lambda moves: self._book.mark_writing(moves, claim, route.channel.write_timeout, route.name)
            ):
                raise LeaseLost
            asking, writing = False, True

        try:
            message = await self._message(claim, contact, address)
            if message is None:
                return
            await self._paced(claim, route, country_of(address), cost_of(message[0].content))
            async with route.slots:
                if not route.breaker.admits():  # it failed while this one waited
                    raise self._later(routes)
                route.breaker.given()
                with self._spans.around(claim, message[1]):
                    outcome = await route.channel.send(message[0], about_to_write)
                    say_outcome(outcome)
        except LeaseLost:
            route.breaker.untried()
            raise
        except NotNow:
            raise
        except TocsinError as error:
            # The notice itself cannot be made: everybody's would fail alike.
            log.error("delivery.no-notice", campaign=str(claim.campaign_id), reason=error.code)
            outcome = Outcome(Verdict.CAMPAIGN_FAULT, code=error.code)
        except Exception as error:  # noqa: BLE001 - logged with its place; see there why not with its text
            log.error("delivery.channel-broke", channel=claim.channel, **place_of(error))
            outcome = Outcome(Verdict.AMBIGUOUS if writing else Verdict.TEMPORARY, code=type(error).__name__[:40])
        if asking:
            route.breaker.untried()  # it is our own books that failed
        else:
            route.heard(outcome, alone=routes.alone)
        await self._settle(claim, routes, route, outcome)

    async def _paced(self, claim: Claim, route: Route, country: str, cost: float) -> None:
        """Return when it may go by the provider's pace. Those of a campaign that was stopped meanwhile go back, so that
        nothing is drawn for them; so do most of those that would have to wait long, so that the others get on."""
        if route.pace.admits(country, cost):
            return
        stays = self._waiting[route] < MOST_WAITING
        self._waiting[route] += stays
        try:
            async with asyncio.timeout(None if stays else PATIENCE):
                while not route.pace.admits(country, cost):
                    await route.pace.more()
                    if self.held or claim.campaign_id in self.halted:
                        raise NotNow(self._clock.now())
        except TimeoutError:
            raise NotNow(self._clock.now() + timedelta(seconds=LATER * (1 + self._rng.random()))) from None
        finally:
            self._waiting[route] -= stays

    async def _message(
        self, claim: Claim, contact: Contact | ErasedContact, address: str
    ) -> tuple[Outgoing, UUID] | None:
        notice = await asyncio.to_thread(self._letters.notice, claim.campaign_id)
        person = claim.recipient_id
        withheld = await asyncio.to_thread(self._letters.withheld, notice, claim.channel, {person: address})
        if (why := withheld.get(person)) is not None:
            await self._enter(claim, lambda moves: self._book.fail(moves, claim, why, state="suppressed"))
            return None
        message = self._letters.writer(notice, claim.campaign_id, claim.channel).write(
            recipient_id=claim.recipient_id,
            delivery_id=claim.delivery_id,
            language=claim.language,
            reference=claim.reference,
            name=contact.name,
            address=address,
        )
        return message, notice.incident_id

    async def _settle(self, claim: Claim, routes: Routes, route: Route, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.CAMPAIGN_FAULT and route.is_at_fault(outcome) and routes.other_than(route):
            # Surely not taken: the next try goes to another provider, and the campaign need not rest for it.
            outcome = Outcome(Verdict.TEMPORARY, code=outcome.code)
        share = self._rng.random()
        await self._surely(
            claim,
            lambda moves: self._book.settle(
                moves,
                claim,
                outcome,
                share=share,
                reconciles=route.channel.reconciles,
                receipts=route.channel.has_receipts,
            ),
        )

    async def _surely(self, claim: Claim, step: Callable[[Moves], None]) -> None:
        """Enter what became of a message, again where the database is away: forgotten, it would be told twice. Entered
        before an error, it has no second effect; late, whoever took over welcomes what is certain."""
        for pause in ENTER_AGAIN:
            try:
                await self._enter(claim, step)
            except Exception as error:  # noqa: BLE001 - logged; it is tried again
                log.warning("delivery.not-entered", delivery=str(claim.delivery_id), **place_of(error))
                await asyncio.sleep(pause)
            else:
                return
        await self._enter(claim, step)

    def _route(self, routes: Routes) -> Route:
        route = routes.pick()
        if route is None:
            raise self._later(routes)
        return route

    def _later(self, routes: Routes) -> NotNow:
        """When a provider has rested; sooner where one is only being tried with another message."""
        seconds = min(max(routes.wait(uptime()), SHORTEST_WAIT), LONGEST_WAIT)
        return NotNow(self._clock.now() + timedelta(seconds=seconds))

    def _not_at_night(self, claim: Claim, address: str) -> None:
        if claim.drill or claim.channel not in self._quiet.channels:
            return
        until = self._quiet.wait(
            claim.channel, country_of(address), self._clock.now(), deadline=claim.deadline, needed=None
        )
        if until is not None:
            raise NotNow(until)

    async def _check(self, claim: Claim, routes: Routes, contact: Contact | ErasedContact | None) -> None:
        address = address_of(contact, claim.channel)
        can_tell = routes.reconciles and address is not None
        found: list[Found] = []
        refused = None
        if can_tell and address is not None:
            try:
                earliest = claim.written_at or self._clock.now() - timedelta(days=1)
                found = await routes.find(claim.provider, address, claim.reference, earliest)
            except ProviderUnavailable as error:
                if not self._gives_up(claim, error):
                    await self._put_off(claim, str(error))
                    return
                refused = str(error)
        await self._enter(
            claim,
            lambda moves: self._book.enter_check(
                moves,
                claim,
                found,
                can_tell=can_tell,
                refused=refused,
                answers_take=timedelta(seconds=routes.write_timeout(claim.provider)) + ENTERED,
            ),
        )

    async def _poll(self, claim: Claim, routes: Routes) -> None:
        found = None
        try:
            found = await routes.look_up(claim.provider, claim.provider_id) if claim.provider_id else None
        except ProviderUnavailable as error:
            if not self._gives_up(claim, error):
                await self._put_off(claim, str(error))
                return
        await self._enter(claim, lambda moves: self._book.enter_poll(moves, claim, found))

    def _gives_up(self, claim: Claim, error: ProviderUnavailable) -> bool:
        """Whether a question that had no answer counts as asked: the provider refuses to say, or did not for long."""
        since = claim.silent_since
        silent = since is not None and self._clock.now() - since > self._book.timing.patience
        if error.lasting or silent:
            log.error(
                "delivery.provider-refuses" if error.lasting else "delivery.provider-never-answered",
                channel=claim.channel,
                campaign=str(claim.campaign_id),
                delivery=str(claim.delivery_id),
                code=str(error),
            )
        return error.lasting or silent

    async def _put_off(self, claim: Claim, reason: str) -> None:
        log.warning("delivery.provider-silent", channel=claim.channel, reason=reason)
        delay = self._book.timing.backoff(3, self._rng.random())
        await self._enter(claim, lambda moves: self._book.put_off(moves, claim, delay))

    async def _enter(self, claim: Claim, step: Callable[[Moves], R]) -> R:
        return await self._journal.do(step, person_key(claim.campaign_id, claim.recipient_id))
