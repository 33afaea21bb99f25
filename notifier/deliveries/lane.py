"""A lane: one channel's first attempts on one worker, from claiming batches to entering outcomes.

Four loops. The loader claims batches and makes groups of messages ready. The marker asks for one group after another
to be marked, and offers it. The writer commits, in one transaction, the outcomes that came in and the mark that lets
the next group be written. The channel takes messages from the stream and settles them.

The mark is never further ahead than a window of messages without an entered outcome, which bounds what is unclear after
a kill. The window grows while the channel has to wait for commits and shrinks when it does not; a campaign that would
rather not tell than tell twice gets no more than the connections hold.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Collection, Sequence

import structlog

from incidents.clock import Clock, uptime
from incidents.errors import TocsinError
from notifier.channels.channel import Channel
from notifier.channels.outcome import Outcome, Verdict
from notifier.channels.stream import Parcel, StreamingChannel, send_each
from notifier.deliveries.batches import Answer, Batch, BatchBook, Change
from notifier.deliveries.faults import place_of
from notifier.deliveries.groups import Ending, Rules, Seat, given_up, of_outcome, suppressed, untouched
from notifier.deliveries.letters import Letters, address_of, reason_without_address
from notifier.deliveries.open_batch import Group, Mark, OpenBatch, Place
from notifier.deliveries.traces import DeliverySpans

log = structlog.get_logger(__name__)

GATHER = 0.03
"""Seconds that outcomes may gather before they are committed when nothing else presses."""
PAUSE = 1.0
"""Seconds before a failed step is tried again."""
GROUPS_READY = 2
"""Groups made ready ahead of the one that is being marked."""
REST = 0.2
"""Seconds between two looks of a lane that finds nothing."""
MOST_RETURNS = 5


class Lane:
    """One channel of one kind (real or drill) on one worker. It is the `Stream` that its channel takes from."""

    def __init__(
        self,
        batches: BatchBook,
        letters: Letters,
        clock: Clock,
        rng: random.Random,
        *,
        drill: bool,
        name: str,
        channel: Channel | None,
        others: Collection[str] | None = None,
        is_temporary: Callable[[str | None], bool],
        spans: DeliverySpans | None = None,
        uptime: Callable[[], float] = uptime,
    ) -> None:
        self._batches = batches
        self._letters = letters
        self._clock = clock
        self._rng = rng
        self._drill = drill
        self._name = name
        self._channel = channel
        self._others = others
        self._is_temporary = is_temporary
        self._spans = spans or DeliverySpans()
        self._uptime = uptime
        self._narrowest = 2 * channel.concurrency if channel is not None else 500
        self._widest = max(channel.window if isinstance(channel, StreamingChannel) else 0, 2 * self._narrowest)
        self._width = 2 * self._narrowest
        self._starved = False
        self._queue: deque[Parcel] = deque()
        self._parked: list[Callable[[], None]] = []
        self._open: list[OpenBatch] = []
        self._current: OpenBatch | None = None
        self._ready: asyncio.Queue[Group | None] = asyncio.Queue(GROUPS_READY)
        self._work = asyncio.Event()
        self._look = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._sender: asyncio.Task[None] | None = None
        self._failed = False
        self._finishing = False
        self._loading = False
        self._look_after = 0.0
        self.closed = False
        self.progress = 0
        """Outcomes entered so far."""

    # -- what the engine calls ---------------------------------------------------------------------------

    def look(self) -> None:
        """There may be a batch to claim."""
        if self.closed:
            return
        if not self._tasks:
            self._tasks = [asyncio.create_task(loop()) for loop in (self._load, self._mark, self._write)]
        self._look.set()

    @property
    def idle(self) -> bool:
        """Whether it found nothing to claim when it looked, some time ago."""
        return not self.closed and not self._loading and self._uptime() >= self._look_after

    @property
    def busy(self) -> bool:
        """Whether there is anything under way."""
        return not self._quiet.is_set()

    def _note(self) -> None:
        if self._loading or self._open:
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
        self._wake_parked()
        if self._sender is not None:
            await asyncio.wait([self._sender], timeout=grace)
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        for one in self._open:
            self._withdraw(one)
        self._look.set()
        if self._tasks:
            loader, marker, writer = self._tasks
            await asyncio.wait([loader])  # what it was about to claim is given back
            await self._ready.put(None)
            await asyncio.wait([marker])
            self._finishing = True
            self._work.set()
            await asyncio.wait([writer])

    def renewed(self, lost: Collection[Batch]) -> None:
        """The leases were renewed, but for these, which somebody else has taken over."""
        for one in self._open:
            if one.batch in lost:
                one.lost = True
                self._withdraw(one)
        self._wake_parked()

    # -- the stream ---------------------------------------------------------------------------------------

    def take(self) -> Parcel | None:
        if not self._queue:
            self._starved = True
            return None
        if self.closed or not self.still_ours(self._queue[0]):
            return None
        parcel = self._queue.popleft()
        place: Place = parcel.place
        place.number = self._spans.chosen(place.open.batch.campaign_id)
        if place.number:
            place.taken_at = self._uptime()
        return parcel

    def park(self, wake: Callable[[], None]) -> None:
        self._parked.append(wake)
        if self.closed:
            self._wake_parked()

    def give_back(self, parcel: Parcel, *, counted: bool = False) -> None:
        place: Place = parcel.place
        if self.closed or place.open.release or place.open.lost:
            self._end(place, untouched(self._clock.now()))
            return
        parcel.returns += counted
        if parcel.returns >= MOST_RETURNS:
            self.settle(parcel, Outcome(Verdict.TEMPORARY, code="returned"))
            return
        self._queue.appendleft(parcel)
        self._wake_parked()

    def settle(self, parcel: Parcel, outcome: Outcome) -> None:
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
        self._end(place, of_outcome(outcome, place.open.rules, self._clock.now(), share))

    def broke(self, parcel: Parcel, error: Exception) -> None:
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
        place: Place = parcel.place
        return not self.closed and not place.open.lost and self._uptime() < place.open.batch.trusted_until

    def _wake_parked(self) -> None:
        parked, self._parked = self._parked, []
        for wake in parked:
            wake()

    def _end(self, place: Place, ending: Ending) -> None:
        place.open.ended.append((place.seat, ending))
        self._work.set()

    # -- loading ------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        while not self.closed:
            try:
                self._loading = True
                self._note()
                if not await self._load_group():
                    self._loading, self._look_after = False, self._uptime() + REST
                    self._note()
                    await self._look.wait()
                    self._look.clear()
            except Exception as error:  # noqa: BLE001 - logged; what was claimed is given back and claimed again
                log.error("lane.load-failed", channel=self._name, **place_of(error))
                self._drop_current()
                await asyncio.sleep(PAUSE)

    async def _load_group(self) -> bool:
        """Make the next group ready. False: there is nothing to claim."""
        one = self._current
        if one is None:
            self._look.clear()
            batch = await asyncio.to_thread(
                self._batches.claim, drill=self._drill, channel=self._name, others=self._others
            )
            if batch is None:
                return False
            one = self._current = self._opened(batch)
            one.seats.extend(await asyncio.to_thread(self._batches.seats, batch))
            if not one.seats:
                raise LookupError(f"batch {batch.ref.number} of {batch.campaign_id} has nobody left and is not done")
        seats = [one.seats.popleft() for _ in range(min(self._group(one), len(one.seats)))]
        made = await self._prepared(one, seats) if seats and not self._stops(one) else []
        if not seats or self._stops(one):
            self._drop_current()
            return True
        one.ahead += 1
        if not one.seats:
            self._current = None
        await self._ready.put(Group(one, seats[-1].position, len(seats), made))
        return True

    async def _mark(self) -> None:
        """Have one group after another marked, and offer it."""
        while (group := await self._ready.get()) is not None:
            one, answer = group.open, Answer.RESTS
            if not self._stops(one):
                self._adapt(group.size)
                one.mark = Mark(group.wire_to, group.size, asyncio.get_running_loop().create_future())
                self._work.set()
                answer = await one.mark.answer
            one.ahead -= 1
            if answer is Answer.DONE:
                self._offer(one, group.made)
            elif not one.release:
                self._withdraw(one)
            self._work.set()

    def _opened(self, batch: Batch) -> OpenBatch:
        channel = self._channel
        rules = Rules(
            timing=self._batches.timing,
            policy=batch.policy,
            reconciles=channel is not None and channel.reconciles,
            receipts=channel is not None and channel.has_receipts,
            is_temporary=self._is_temporary,
        )
        one = OpenBatch(batch, rules, deque())
        self._open.append(one)
        return one

    def _window(self, one: OpenBatch) -> int:
        """How many messages may be marked without an entered outcome."""
        if one.batch.policy == "at_most_once":
            return self._narrowest
        return self._width

    def _adapt(self, group: int) -> None:
        """Called when a group is ready to be marked: has the channel been waiting for one?"""
        if self._starved:
            self._width = min(2 * self._width, self._widest)
        elif len(self._queue) > group:
            self._width = max(self._width * 9 // 10, 2 * self._narrowest)
        self._starved = False

    def _group(self, one: OpenBatch) -> int:
        return max(self._window(one) // 4, 1)

    def _stops(self, one: OpenBatch) -> bool:
        return self.closed or one.lost or one.release

    def _drop_current(self) -> None:
        """Give back what is left of the batch that was being loaded."""
        one, self._current = self._current, None
        if one is not None:
            self._withdraw(one)

    def _withdraw(self, one: OpenBatch) -> None:
        """Take back what was offered and not yet taken. It is marked, so it goes on as single deliveries."""
        one.seats.clear()
        one.release = True
        kept: deque[Parcel] = deque()
        for parcel in self._queue:
            place: Place = parcel.place
            if place.open is one:
                one.ended.append((place.seat, untouched(self._clock.now())))
            else:
                kept.append(parcel)
        self._queue = kept
        self._work.set()

    async def _prepared(self, one: OpenBatch, seats: Sequence[Seat]) -> list[Parcel | tuple[Place, Ending]]:
        """The messages to these people, and the ending of those who cannot be written to."""
        batch, now = one.batch, self._clock.now()
        if self._channel is None:
            return [(Place(one, seat), given_up("no-channel", now)) for seat in seats]
        try:
            contacts = await asyncio.to_thread(self._letters.contacts, [seat.recipient_id for seat in seats])
            notice = await asyncio.to_thread(self._letters.notice, batch.campaign_id)
            addresses = {person: address_of(contact, batch.channel) for person, contact in contacts.items()}
            known = {person: address for person, address in addresses.items() if address is not None}
            withheld = await asyncio.to_thread(self._letters.withheld, notice, batch.channel, known)
            made: list[Parcel | tuple[Place, Ending]] = []
            for seat in seats:
                contact = contacts.get(seat.recipient_id)
                address = addresses.get(seat.recipient_id)
                if (why := withheld.get(seat.recipient_id)) is not None:
                    made.append((Place(one, seat), suppressed(why, now)))
                    continue
                if contact is None or address is None:
                    made.append((Place(one, seat), given_up(reason_without_address(contact), now)))
                    continue
                message = self._letters.write(
                    notice,
                    campaign_id=batch.campaign_id,
                    recipient_id=seat.recipient_id,
                    delivery_id=seat.delivery_id,
                    channel=batch.channel,
                    language=seat.language,
                    reference=seat.reference,
                    name=contact.name,
                    address=address,
                )
                made.append(Parcel(message, Place(one, seat, notice.incident_id)))
        except TocsinError as error:
            log.error("delivery.no-notice", campaign=str(batch.campaign_id), reason=error.code)
            await asyncio.to_thread(self._batches.hold, batch.campaign_id, error.code)
            one.release = True
            return []
        return made

    def _offer(self, one: OpenBatch, made: Sequence[Parcel | tuple[Place, Ending]]) -> None:
        for entry in made:
            if isinstance(entry, Parcel):
                self._queue.append(entry)
            else:
                self._end(*entry)
        if self._stops(one):
            self._withdraw(one)
        if self._channel is not None and self._sender is None:
            self._sender = asyncio.create_task(self._send(self._channel))
        self._wake_parked()

    async def _send(self, channel: Channel) -> None:
        while not self.closed:
            try:
                if isinstance(channel, StreamingChannel):
                    await channel.send_stream(self)
                else:
                    await send_each(channel, self)
            except Exception as error:  # noqa: BLE001 - logged; the stream is taken up again
                log.error("lane.channel-broke", channel=self._name, **place_of(error))
                await asyncio.sleep(PAUSE)

    # -- writing ------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        while not self._finishing:
            await self._work.wait()
            if not self._presses():
                await asyncio.sleep(GATHER)
            self._work.clear()
            if changes := self._changes():
                await self._commit(changes)
        while changes := self._changes():
            await self._commit(changes)

    def _presses(self) -> bool:
        """Whether to commit at once: a group could be written, or enough has come together."""
        ended = sum(len(one.ended) for one in self._open)
        return ended >= self._widest // 4 or any(
            one.mark is not None and one.mark.size <= self._room(one) for one in self._open
        )

    def _room(self, one: OpenBatch) -> int:
        """How many more messages of this batch could be marked in a commit that enters what has ended."""
        return self._window(one) - self.unsettled + sum(len(other.ended) for other in self._open)

    def _changes(self) -> list[tuple[OpenBatch, Change, Mark | None]]:
        """What is to be committed now: all outcomes, and the marks that fit into the window."""
        rooms = [self._room(one) for one in self._open]
        marked, changes = 0, []
        for one, room in zip(self._open, rooms, strict=True):
            mark = one.mark
            if mark is not None and self._stops(one):
                mark.answer.set_result(Answer.LOST if one.lost else Answer.RESTS)
                mark = one.mark = None
            if mark is not None and mark.size > room - marked:
                mark = None
            marked += mark.size if mark else 0
            ended, one.ended = one.ended, []
            # A batch is given back when nothing of it is under way any more.
            leaves = one.release and not one.left and not one.ahead and one.covered == len(ended)
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
        self._open = [one for one in self._open if not self._is_over(one)]
        self._note()

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
            self._withdraw(one)
        elif answer is Answer.RESTS and not one.release:
            self._withdraw(one)
        if any(other.mark is not None for other in self._open):
            self._work.set()

    def _is_over(self, one: OpenBatch) -> bool:
        return not (one.covered or one.ended or one.mark is not None or one.ahead or one.seats or one is self._current)
