"""A lane: one channel's first attempts on one worker, from claiming batches to entering outcomes.

A scout looks for campaigns that nobody here works on yet and gives each a strand, which claims its batches and has its
messages made, marked and offered. So a few people never wait behind the millions of another campaign. The writer
commits, in one transaction, the outcomes that came in and the marks that let the next groups be written. The channel's
providers take from the shelf, each campaign in its turn, and settle.

The mark is never further ahead than a window of messages without an entered outcome, which bounds what is unclear after
a kill. The window grows while the channel has to wait for commits and shrinks when it does not; campaigns share it; one
that would rather not tell than tell twice gets no more than the connections hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Collection
from functools import partial
from uuid import UUID

import structlog

from incidents.clock import Clock, uptime
from incidents.errors import TocsinError
from notifier.channels.outcome import Outcome, Verdict
from notifier.channels.stream import Parcel, StreamingChannel
from notifier.deliveries.batches import Answer, BatchBook, Change
from notifier.deliveries.claiming import Batch
from notifier.deliveries.faults import place_of
from notifier.deliveries.groups import Ending, Rules, of_outcome, untouched
from notifier.deliveries.letters import Letters
from notifier.deliveries.making import Maker
from notifier.deliveries.open_batch import Group, Mark, OpenBatch, Place
from notifier.deliveries.route_stream import RouteStream
from notifier.deliveries.shelf import Shelf
from notifier.deliveries.sids import UNMARKED
from notifier.deliveries.strand import Strand
from notifier.deliveries.traces import DeliverySpans
from notifier.pacing.provider import Route, Routes

log = structlog.get_logger(__name__)

GATHER = 0.1
"""Seconds that outcomes may gather before they are committed when nothing else presses."""
LOOK_EACH = 16
"""Outcomes after which the writer looks whether enough have come together."""
PAUSE = 1.0
"""Seconds before a failed step is tried again."""
REST = 0.2
"""Seconds between two looks of a lane for a campaign that it does not work on yet."""
MOST_RETURNS = 5
MOST_STRANDS = 8
"""Campaigns that a lane works on at once."""


def _widths(routes: Collection[Route]) -> tuple[int, int]:
    """The narrowest and the widest window of messages without an entered outcome."""
    narrowest = 2 * sum(route.channel.concurrency for route in routes) or 500
    windows = [route.channel.window for route in routes if isinstance(route.channel, StreamingChannel)]
    return narrowest, max(8 * narrowest, *windows, 0)


def _by_country(routes: Collection[Route]) -> bool:
    """Whether any provider has limits by country now."""
    return any(route.pace.by_country for route in routes)


class Lane:
    """One channel of one kind (real or drill) on one worker."""

    def __init__(
        self,
        batches: BatchBook,
        letters: Letters,
        clock: Clock,
        rng: random.Random,
        *,
        drill: bool,
        name: str,
        routes: Routes | None,
        others: Collection[str] | None = None,
        is_temporary: Callable[[str | None], bool],
        spans: DeliverySpans | None = None,
        uptime: Callable[[], float] = uptime,
    ) -> None:
        """Without `routes` nobody is reached: people go on to their next channel."""
        self._batches = batches
        self._clock = clock
        self._rng = rng
        self._name = name
        self._unmarked = name in UNMARKED
        self._routes = routes
        self._is_temporary = is_temporary
        self._spans = spans or DeliverySpans()
        self._uptime = uptime
        self._claim = partial(batches.claim, drill=drill, channel=name, others=others)
        all_routes = routes.all if routes is not None else ()
        self._maker = Maker(letters, clock, reaches=routes is not None, by_country=partial(_by_country, all_routes))
        self._narrowest, self._widest = _widths(all_routes)
        self._width = 2 * self._narrowest
        self._starved = False
        self._parked: list[Callable[[], None]] = []
        self._open: list[OpenBatch] = []
        self._strands: dict[UUID, asyncio.Task[None]] = {}
        self._work = asyncio.Event()
        self._more = asyncio.Event()
        self._ended = 0
        self._look = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._senders: list[asyncio.Task[None]] = []
        self._failed = False
        self._finishing = False
        self._loading = False
        self._look_after = 0.0
        self.shelf = Shelf()
        self.closed = False
        self.resting = False
        """All sending is held: nothing is claimed or handed out."""
        self.progress = 0
        """Outcomes entered so far."""

    # -- what the engine calls ---------------------------------------------------------------------------

    def look(self) -> None:
        """There may be a batch to claim."""
        if self.closed:
            return
        if not self._tasks:
            self._tasks = [asyncio.create_task(loop()) for loop in (self._scout, self._write)]
        self._look.set()

    @property
    def idle(self) -> bool:
        """Whether it found no other campaign when it looked, some time ago."""
        return not self.closed and not self._loading and self._uptime() >= self._look_after

    @property
    def busy(self) -> bool:
        """Whether there is anything under way."""
        return not self._quiet.is_set()

    def _note(self) -> None:
        if self._loading or self._open or self._strands:
            self._quiet.clear()
        else:
            self._quiet.set()

    async def until_quiet(self) -> None:
        """Return when nothing is under way."""
        await self._quiet.wait()

    @property
    def batches(self) -> list[Batch]:
        """Batches that are held now."""
        return [one.batch for one in self._open if not one.lost]

    @property
    def unsettled(self) -> int:
        """Messages that are marked and have no entered outcome."""
        return sum(one.covered for one in self._open)

    async def close(self, grace: float) -> None:
        """Let what is being written finish (up to `grace` seconds), give back the rest."""
        self.closed = True
        self.wake_parked()
        if self._senders:
            await asyncio.wait(self._senders, timeout=grace)
            for sender in self._senders:
                sender.cancel()
            await asyncio.gather(*self._senders, return_exceptions=True)
        for one in self._open:
            self.withdraw(one)
        self._look.set()
        if self._tasks:
            scout, writer = self._tasks
            await asyncio.wait([scout])  # what it was about to claim is given back
            while self._strands:
                await asyncio.wait(list(self._strands.values()))
            self._finishing = True
            self._work.set()
            await asyncio.wait([writer])

    def renewed(self, lost: Collection[Batch]) -> None:
        """The leases were renewed, but for these, which somebody else has taken over."""
        for one in self._open:
            if one.batch in lost:
                one.lost = True
                self.withdraw(one)
        self.wake_parked()

    def halt(self, campaigns: Collection[UUID]) -> None:
        """Nobody else of these campaigns may be written to now."""
        for one in self._open:
            if one.batch.campaign_id in campaigns and not one.release:
                self.withdraw(one)

    def rest(self) -> None:
        """Claim and hand out nothing until `resting` is taken back. What was taken by a provider is let to end."""
        self.resting = True
        for one in self._open:
            if not one.release:
                self.withdraw(one)

    # -- what providers call -------------------------------------------------------------------------------

    def starve(self) -> None:
        """There was nothing to take."""
        self._starved = True

    def taken(self, parcel: Parcel, route: Route) -> None:
        """A provider has it now."""
        place: Place = parcel.place
        place.provider = route.name
        if self._unmarked:
            place.tried_at = self._clock.now()
        place.number = self._spans.chosen(place.open.batch.campaign_id)
        if place.number:
            place.taken_at = self._uptime()

    def park(self, wake: Callable[[], None]) -> None:
        """Call `wake` once, soon after there may be something to take."""
        self._parked.append(wake)
        if self.closed:
            self.wake_parked()

    def wake_parked(self) -> None:
        """There may be something to take."""
        parked, self._parked = self._parked, []
        for wake in parked:
            wake()

    def give_back(self, parcel: Parcel, *, counted: bool = False) -> None:
        """It was not tried; somebody takes it again."""
        place: Place = parcel.place
        if self.closed or place.open.release or place.open.lost:
            self._end(place, untouched(self._clock.now()))
            return
        parcel.returns += counted
        if parcel.returns >= MOST_RETURNS:
            self.settle(parcel, Outcome(Verdict.TEMPORARY, code="returned"))
            return
        self.shelf.put(parcel, first=True)
        self.wake_parked()

    def settle(self, parcel: Parcel, outcome: Outcome) -> None:
        """What came of it."""
        place: Place = parcel.place
        share = self._rng.random()
        if place.number and place.incident_id is not None:
            batch = place.open.batch
            self._spans.enter(
                place.number,
                batch.campaign_id,
                place.incident_id,
                outcome,
                channel=batch.channel,
                drill=batch.drill,
                seconds=self._uptime() - place.taken_at,
            )
        self._end(
            place, of_outcome(outcome, place.open.rules, self._clock.now(), share, place.provider, place.tried_at)
        )

    def broke(self, parcel: Parcel, error: Exception) -> None:
        """The channel's own code failed on it."""
        if not isinstance(error, InterruptedError):
            log.error("delivery.channel-broke", channel=self._name, **place_of(error))
        if isinstance(error, InterruptedError) and not parcel.written:
            self.give_back(parcel)
            return
        verdict = Verdict.AMBIGUOUS if parcel.written else Verdict.TEMPORARY
        if isinstance(error, TocsinError) and not parcel.written:
            # The notice itself cannot be made: everybody's would fail alike.
            verdict = Verdict.CAMPAIGN_FAULT
        self.settle(parcel, Outcome(verdict, code=type(error).__name__[:40]))

    def still_ours(self, parcel: Parcel) -> bool:
        """Whether it may be written now."""
        place: Place = parcel.place
        one = place.open
        return not (self.closed or one.lost) and self._uptime() < one.batch.trusted_until

    def _end(self, place: Place, ending: Ending) -> None:
        place.open.ended.append((place.seat, ending))
        self._work.set()
        self._ended += 1
        if not self._ended % LOOK_EACH:
            self._more.set()

    # -- looking for campaigns -----------------------------------------------------------------------------

    async def _scout(self) -> None:
        while not self.closed:
            try:
                self._loading = True
                self._note()
                self._look.clear()
                if not await self._begin_strand():
                    self._loading, self._look_after = False, self._uptime() + REST
                    self._note()
                    await self._look.wait()
            except Exception as error:  # noqa: BLE001 - logged; it looks again
                log.error("lane.claim-failed", channel=self._name, **place_of(error))
                await asyncio.sleep(PAUSE)

    async def _begin_strand(self) -> bool:
        """Begin to work on one more campaign. False: there is none to claim."""
        if self.resting or len(self._strands) >= MOST_STRANDS:
            return False
        batch = await asyncio.to_thread(self._claim, without=frozenset(self._strands))
        if batch is None:
            return False
        strand = Strand(self, self._batches, self._maker, self._claim_more)
        campaign_id = batch.campaign_id
        task = self._strands[campaign_id] = asyncio.create_task(strand.run(batch))
        task.add_done_callback(lambda _task: self._strand_ended(campaign_id))
        return True

    async def _claim_more(self, campaign_id: UUID) -> Batch | None:
        return None if self.closed or self.resting else await asyncio.to_thread(self._claim, only=campaign_id)

    def _strand_ended(self, campaign_id: UUID) -> None:
        self._strands.pop(campaign_id, None)
        self._note()

    # -- what strands call ---------------------------------------------------------------------------------

    def opened(self, batch: Batch) -> OpenBatch:
        """A batch that was claimed is worked on from now."""
        all_routes = self._routes.all if self._routes is not None else ()
        rules = Rules(
            timing=self._batches.timing,
            policy=batch.policy,
            reconciles=self._routes is not None and self._routes.reconciles,
            receipts=any(route.channel.has_receipts for route in all_routes),
            is_temporary=self._is_temporary,
        )
        one = OpenBatch(batch, rules)
        self._open.append(one)
        return one

    def stops(self, one: OpenBatch) -> bool:
        """Whether no more of it is to be written here."""
        return self.closed or self.resting or one.lost or one.release

    def window(self, one: OpenBatch) -> int:
        """How many messages of its campaign may be marked without an entered outcome."""
        whole = self._narrowest if one.batch.policy == "at_most_once" else self._width
        return max(whole // max(len(self._strands), 1), 1)

    def adapt(self, group: int) -> None:
        """Called when a group is ready to be marked: has the channel been waiting for one?"""
        if self._starved:
            self._width = min(2 * self._width, self._widest)
        elif len(self.shelf) > group:
            self._width = max(self._width * 9 // 10, 2 * self._narrowest)
        self._starved = False

    def offer(self, group: Group) -> None:
        """These may be written now."""
        for entry in group.made:
            if isinstance(entry, Parcel):
                self.shelf.put(entry)
            else:
                self._end(*entry)
        if self.stops(group.open):
            self.withdraw(group.open)
        if self._routes is not None and not self._senders:
            streams = [RouteStream(self, route, self._routes, self._uptime) for route in self._routes.all]
            self._senders = [asyncio.create_task(stream.run()) for stream in streams]
        self.wake_parked()

    def withdraw(self, one: OpenBatch) -> None:
        """Take back what was offered and not yet taken. It is marked, so it goes on as single deliveries."""
        one.seats.clear()
        one.release = True
        for parcel in self.shelf.withdraw(one):
            one.ended.append((parcel.place.seat, untouched(self._clock.now())))
        self._work.set()

    def press(self) -> None:
        """There may be something to commit."""
        self._work.set()
        self._more.set()

    # -- writing ------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        while not self._finishing:
            await self._work.wait()
            await self._gather()
            self._work.clear()
            if changes := self._changes():
                await self._commit(changes)
            else:
                self._forget_what_is_over()
        while changes := self._changes():
            await self._commit(changes)

    async def _gather(self) -> None:
        """Let outcomes come together, for as long as nothing presses."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER):
                while not (self._presses() or self._finishing):
                    self._more.clear()
                    await self._more.wait()

    def _presses(self) -> bool:
        """Whether to commit at once: a group could be written, or enough has come together."""
        ended = sum(len(one.ended) for one in self._open)
        return ended >= self._widest // 4 or any(
            one.mark is not None and self._fits(one, one.mark) for one in self._open
        )

    def _fits(self, one: OpenBatch, mark: Mark) -> bool:
        """Whether a group could be marked in a commit that enters what has ended."""
        same = [other for other in self._open if other.batch.campaign_id == one.batch.campaign_id]
        unsettled = sum(other.covered - len(other.ended) for other in same)
        return mark.size <= self.window(one) - unsettled or unsettled <= 0

    def _changes(self) -> list[tuple[OpenBatch, Change, Mark | None]]:
        """What is to be committed now: all outcomes, and the marks that fit into the window."""
        fitting = {one.mark for one in self._open if one.mark is not None and self._fits(one, one.mark)}
        changes = []
        for one in self._open:
            mark = one.mark
            if mark is not None and self.stops(one):
                mark.answer.set_result(Answer.LOST if one.lost else Answer.RESTS)
                mark = one.mark = None
            if mark not in fitting:
                mark = None
            ended, one.ended = one.ended, []
            # A batch is given back when nothing of it is under way any more.
            leaves = one.release and not one.left and not one.ahead and not one.loading and one.covered == len(ended)
            if ended or mark or leaves:
                one.left = leaves
                release = self._clock.now() if leaves else None
                wire_to = mark.wire_to if mark else None
                changes.append((one, Change(one.batch, ended, wire_to, release), mark))
        return changes

    async def _commit(self, changes: list[tuple[OpenBatch, Change, Mark | None]]) -> None:
        try:
            answers = await asyncio.to_thread(
                self._batches.commit, [change for _, change, _ in changes], again=self._failed
            )
        except Exception as error:  # noqa: BLE001 - logged; nothing of it is forgotten, it is entered later
            log.error("lane.commit-failed", channel=self._name, **place_of(error))
            self._failed = True
            for one, change, _ in changes:
                one.ended[:0] = change.endings
                one.left = False
            self._work.set()
            if self._finishing:
                self._open.clear()  # the leases run out, and what was marked is checked as after a kill
            else:
                await asyncio.sleep(PAUSE)
            return
        self._failed = False
        for (one, change, mark), answer in zip(changes, answers, strict=True):
            self._committed(one, change, mark, answer)
        self._forget_what_is_over()

    def _committed(self, one: OpenBatch, change: Change, mark: Mark | None, answer: Answer) -> None:
        one.covered -= len(change.endings)
        self.progress += len(change.endings)
        if mark is not None:
            one.mark = None
            if answer is Answer.DONE:
                one.covered += mark.size
            mark.answer.set_result(answer)
        if answer is Answer.LOST:
            one.lost = True
            self.withdraw(one)
        elif one.batch.done or (not one.release and one.is_over):
            one.left = True  # everybody of it is settled: there is nothing to give back
        elif answer is Answer.RESTS and not one.release:
            self.halt({one.batch.campaign_id})
        if any(other.mark is not None for other in self._open):
            self._work.set()

    def _forget_what_is_over(self) -> None:
        self._open = [one for one in self._open if not one.is_over]
        self._note()
