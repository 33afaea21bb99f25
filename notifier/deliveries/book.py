"""The delivery book: every step of sending as one small transaction. Synchronous; the engine calls it from threads.

A claim is committed before anything is tried, the phase before anything may be on its way, the result after. Each
claim raises the delivery's fence; a step under an older fence has no effect, except that news of what became of a
message is always welcome (as a late receipt is).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, cast
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, Row, and_, or_, select, update

from incidents.clock import Clock
from incidents.record.database import reading, writing
from notifier.campaigns.events import DeliveryPolicy
from notifier.channels.channel import Found
from notifier.channels.outcome import MAX_CODE, DeliveryState, Outcome, OutcomeTable, Verdict, outcome_table
from notifier.deliveries import sids
from notifier.deliveries.due import due_campaigns, due_rows
from notifier.deliveries.groups import Ending
from notifier.deliveries.holding import enter_hold
from notifier.deliveries.moves import Moves, person_key
from notifier.deliveries.states import ARRIVED, FINAL_RANK, RANK, TOLD, Phase
from notifier.deliveries.tables import deliveries
from notifier.deliveries.taking_back import named
from notifier.deliveries.timing import Timing

log = structlog.get_logger(__name__)

Work = Literal["send", "check", "poll"]
SKEW = timedelta(minutes=1)
"""How far a provider's clock may be off ours."""
_WORK: dict[Phase, Work] = {Phase.READY: "send", Phase.CHECKING: "check", Phase.WAITING: "poll"}


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one delivery, until `fence` is outdone."""

    delivery_id: UUID
    campaign_id: UUID
    recipient_id: UUID
    channel: str
    repeat: int
    work: Work
    fence: int
    tries: int
    checks: int
    state: DeliveryState
    language: str
    reference: str = field(repr=False)
    drill: bool
    policy: DeliveryPolicy
    provider_id: str | None
    written_at: datetime | None
    provider: str | None = None
    deadline: datetime | None = None
    """When the law wants everybody of the campaign told."""
    unclear_at: datetime | None = None
    """When it became unclear what came of it."""
    silent_since: datetime | None = None
    """When the provider that is asked first gave no answer, as long as it gives none."""


class DeliveryBook:
    """All reading and writing of the tables of sending, for one worker."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        worker: str,
        timing: Timing | None = None,
        table: OutcomeTable | None = None,
    ) -> None:
        self.engine = self._engine = engine
        self.clock = self._clock = clock
        self.worker = self._worker = worker
        self.timing = timing or Timing()
        self.table = self._table = table or outcome_table()

    @contextmanager
    def transaction(self) -> Iterator[Moves]:
        """A transaction whose moves are logged and counted at its end."""
        with writing(self._engine) as connection:
            moves = self.moves(connection)
            yield moves
            moves.flush()
        moves.committed()

    def moves(self, connection: Connection) -> Moves:
        """Moves within a transaction of the caller, who must `flush` them."""
        return Moves(
            connection,
            self._clock.now(),
            self.timing.max_repeats,
            lambda code, repeat: self._table.repeats_after(code, repeat) or self.timing.first_backoff,
            self.is_temporary,
            self._table.is_filtered,
            self.timing.unconfirmed,
        )

    def claim(self, limit: int) -> list[Claim]:
        """Take up to `limit` deliveries that are due, some of every campaign. Committed before this returns."""
        if limit <= 0:
            return []
        with reading(self._engine) as connection:  # an idle worker takes no lock
            campaigns = due_campaigns(connection, self._clock.now())
        if not campaigns:
            return []
        with self.transaction() as moves:
            rows = due_rows(moves.connection, campaigns, moves.now, limit)
            ready = [row for row in rows if row.phase == Phase.READY]
            self._lease(moves, [row.delivery_id for row in rows])
            self._start_trying(moves, ready)
        return [self._claim_of(row) for row in rows]

    def renew(self, claims: Iterable[Claim]) -> None:
        """Keep claims that wait for a free connection from running out."""
        ids = [claim.delivery_id for claim in claims]
        ours = and_(
            deliveries.c.delivery_id.in_(ids),
            deliveries.c.lease_owner == self._worker,
            deliveries.c.phase != Phase.WRITING.value,
        )
        with writing(self._engine) as connection:
            # What somebody has locked is being settled or taken over; to wait for it could block both for good.
            free = list(
                connection.execute(
                    select(deliveries.c.delivery_id).where(ours).with_for_update(skip_locked=True)
                ).scalars()
            )
            connection.execute(
                update(deliveries)
                .where(ours, deliveries.c.delivery_id.in_(free))
                .values(lease_until=self._clock.now() + self.timing.lease)
            )

    def give_back(self, claims: Iterable[Claim]) -> None:
        """Return claims that were not begun."""
        with self.transaction() as moves:
            for claim in sorted(claims, key=lambda one: person_key(one.campaign_id, one.recipient_id)):
                row = self._held(moves, claim)
                if row is not None and row.phase == Phase.CLAIMED:
                    moves.set_phase(row.delivery_id, Phase.READY, moves.now)
                elif row is not None and row.phase != Phase.WRITING:
                    moves.set_phase(row.delivery_id, Phase(row.phase), row.due_at)

    def mark_writing(self, moves: Moves, claim: Claim, write_timeout: float, provider: str | None = None) -> bool:
        """Note that from now on the message may be on its way. False: the claim was lost, write nothing."""
        until = moves.now + timedelta(seconds=write_timeout) + self.timing.margin
        sibling = deliveries.alias()
        told_already = (
            select(sibling.c.delivery_id)
            .where(
                sibling.c.campaign_id == claim.campaign_id,
                sibling.c.recipient_id == claim.recipient_id,
                sibling.c.state.in_(TOLD),
                # What a provider took and never confirmed keeps nobody from being told by the next channel.
                or_(
                    sibling.c.state.in_(ARRIVED),
                    sibling.c.phase != Phase.DONE.value,
                    sibling.c.channel.not_in(self.timing.unconfirmed),
                ),
            )
            .exists()
        )
        moves.lock_person(claim.campaign_id, claim.recipient_id)
        if moves.is_stopped(claim.campaign_id):
            self._let_go(moves, claim)
            return False
        marked = moves.connection.execute(
            update(deliveries)
            .where(
                deliveries.c.delivery_id == claim.delivery_id,
                deliveries.c.lease_fence == claim.fence,
                deliveries.c.phase == Phase.CLAIMED.value,
                deliveries.c.rank <= RANK["claimed"],
                ~told_already,
            )
            .values(phase=Phase.WRITING.value, written_at=moves.now, lease_until=until, provider=provider)
        )
        if marked.rowcount == 1:
            return True
        self._let_go(moves, claim)
        return False

    def _let_go(self, moves: Moves, claim: Claim) -> None:
        """News came in between that the person is told, or the campaign cancelled: following up calls it off. Or it was
        paused: then it waits."""
        row = self._held(moves, claim)
        if row is not None and row.phase == Phase.CLAIMED:
            moves.set_phase(row.delivery_id, Phase.READY, moves.now)
            moves.follow_up(row.campaign_id, row.recipient_id)

    def settle(
        self, moves: Moves, claim: Claim, outcome: Outcome, *, share: float, reconciles: bool, receipts: bool
    ) -> None:
        """Enter what came of a try. `share` is the random part of a delay."""
        row = moves.lock(claim.delivery_id)
        if row is None:
            return
        held = row.lease_fence == claim.fence and row.phase in {Phase.CLAIMED, Phase.WRITING}
        match outcome.verdict:
            case Verdict.ACCEPTED:
                self._accept(moves, row, outcome.state, outcome.provider_id, receipts=receipts)
            case Verdict.REJECTED:
                moves.move(row, "rejected", code=outcome.code)
                self._rest(moves, claim.delivery_id, receipts=receipts)
            case _ if not held:
                # Somebody took over: an answer that says nothing certain changes nothing.
                log.info("delivery.settled-late", delivery=str(claim.delivery_id), verdict=outcome.verdict.value)
                return
            case _ if row.rank >= RANK["accepted"]:
                self._rest(moves, claim.delivery_id, receipts=receipts)  # a receipt was faster
            case Verdict.TEMPORARY:
                self._again_later(moves, row, outcome, share)
            case Verdict.CAMPAIGN_FAULT:
                self.hold(moves, row.campaign_id, outcome.code)
                moves.set_phase(row.delivery_id, Phase.READY, moves.now + self.timing.hold)
            case _:
                self._unclear(moves, row, outcome.code, reconciles=reconciles)
        moves.follow_up(row.campaign_id, row.recipient_id)

    def enter_late(self, moves: Moves, of: UUID, ending: Ending) -> None:
        """Enter a certain answer to a first attempt that was taken over: it is checked by now, or settled."""
        row = moves.lock(of)
        if row is None:
            log.error("delivery.unknown", delivery=str(of))
            return
        if ending.state == "rejected":
            moves.move(row, "rejected", code=ending.code)
            self._rest(moves, of, receipts=False)
        else:
            self._accept(moves, row, ending.state, ending.provider_id, receipts=ending.phase is Phase.WAITING)
        moves.follow_up(row.campaign_id, row.recipient_id)

    def _accept(
        self, moves: Moves, row: Row[Any], state: DeliveryState, provider_id: str | None, *, receipts: bool
    ) -> None:
        moves.went_well(row.campaign_id)
        row = named(moves, row, provider_id)
        moves.move(row, state, code=None, provider_id=provider_id)
        if row.provider_id is None and provider_id is not None:
            moves.connection.execute(
                update(deliveries).where(deliveries.c.delivery_id == row.delivery_id).values(provider_id=provider_id)
            )
        self._rest(moves, row.delivery_id, receipts=receipts)

    def hold(self, moves: Moves, campaign_id: UUID, code: str | None) -> None:
        """Let a campaign rest after a fault that is ours; it goes on by itself, and loudly not before."""
        moves.at_end(campaign_id, "hold", lambda: enter_hold(moves, self.timing, campaign_id, code))

    def fail(self, moves: Moves, claim: Claim, code: str, *, state: DeliveryState = "failed") -> None:
        """Give an attempt up without trying: the person was erased, has no such address, or is not to be written to."""
        row = self._held(moves, claim)
        if row is None:
            return
        moves.move(row, state, code=code)
        moves.set_phase(row.delivery_id, Phase.DONE)
        moves.follow_up(row.campaign_id, row.recipient_id)

    def enter_check(
        self,
        moves: Moves,
        claim: Claim,
        found: list[Found],
        *,
        can_tell: bool,
        refused: str | None = None,
        answers_take: timedelta = timedelta(),
    ) -> None:
        """Enter the answer to "what became of it?". Not found, asked often enough: unclear for ever; at once if the
        channel cannot tell. `refused`: why there was no answer, and there will be none. `answers_take`: what was made
        more lately may be another delivery's whose answer is under way, and is left to the next question."""
        row = self._held(moves, claim)
        if row is None or row.phase != Phase.CHECKING:
            return
        more = can_tell and row.checks + 1 < len(self.timing.check_delays)
        latest = (row.unclear_at or row.due_at) + SKEW
        latest = min(latest, moves.now - answers_take) if more else latest
        match = sids.ours(moves.connection, row, found, latest=latest, now=moves.now)
        if match is not None:
            moves.move(row, match.state, code=match.code, provider_id=match.provider_id)
            self._rest(moves, row.delivery_id, receipts=True)
        elif more:
            due = moves.now + self.timing.check_delays[row.checks + 1]
            since = None if refused is None else row.silent_since
            moves.set_phase(row.delivery_id, Phase.CHECKING, due, checks=row.checks + 1, silent_since=since)
        else:
            self._never_known(moves, row, refused and f"unanswered-{refused}")
        if can_tell:
            moves.note_unanswered(row.campaign_id, refused)
        moves.follow_up(row.campaign_id, row.recipient_id)

    def enter_poll(self, moves: Moves, claim: Claim, found: Found | None) -> None:
        """Enter the provider's word on an accepted message whose receipt did not come."""
        row = self._held(moves, claim)
        if row is None or row.phase != Phase.WAITING:
            return
        if found is not None:
            moves.move(row, found.state, code=found.code)
        fresh = moves.lock(claim.delivery_id)
        if fresh is None:
            return
        polls = fresh.checks + 1
        if fresh.rank >= FINAL_RANK or polls >= len(self.timing.poll_delays):
            moves.set_phase(fresh.delivery_id, Phase.DONE, checks=polls)
        else:
            due = moves.now + self.timing.poll_delays[polls]
            since = None if found is not None else fresh.silent_since
            moves.set_phase(fresh.delivery_id, Phase.WAITING, due, checks=polls, silent_since=since)
        moves.follow_up(fresh.campaign_id, fresh.recipient_id)

    def postpone(self, moves: Moves, claim: Claim, until: datetime) -> None:
        """Give a claim back that is not to be tried before then, through no fault of its own."""
        row = self._held(moves, claim)
        if row is not None and row.phase == Phase.CLAIMED:
            moves.set_phase(row.delivery_id, Phase.READY, until)

    def put_off(self, moves: Moves, claim: Claim, delay: timedelta) -> None:
        """The provider could not be asked: ask later, without counting it."""
        row = self._held(moves, claim)
        if row is not None and row.phase in {Phase.CHECKING, Phase.WAITING}:
            since = row.silent_since or moves.now
            moves.set_phase(row.delivery_id, Phase(row.phase), moves.now + delay, silent_since=since)

    def receive(
        self,
        moves: Moves,
        delivery_id: UUID,
        provider_id: str | None,
        state: DeliveryState,
        code: str | None,
        *,
        receipts: bool = True,
    ) -> bool | None:
        """Enter a receipt. True: it moved the delivery; False: it was further already; None: there is none such.
        `receipts`: whether more is to be awaited, or asked for, while the state is not final."""
        row = moves.lock(delivery_id)
        if row is None:
            return None
        if None not in (row.provider_id, provider_id) and row.provider_id != provider_id:
            log.warning("receipt.other-message", delivery=str(delivery_id))
        row = named(moves, row, provider_id)
        moved = moves.move(row, state, code=code, provider_id=row.provider_id or provider_id)
        if row.phase not in {Phase.CLAIMED, Phase.WRITING}:  # a try in flight is let to settle
            self._rest(moves, delivery_id, receipts=receipts)
        moves.follow_up(row.campaign_id, row.recipient_id)
        return moved

    def reap(self, *, own: bool = False, limit: int = 500) -> int:
        """Take over from the dead: claims that ran out, and with `own` those of this worker's former life.

        What was not written goes back to be tried; what may have been written is to be checked first.
        """
        gone: Any = deliveries.c.lease_until < self._clock.now()
        if own:
            gone = or_(gone, deliveries.c.lease_owner == self._worker)
        with reading(self._engine) as connection:
            leased = select(deliveries.c.delivery_id).where(deliveries.c.lease_owner.is_not(None), gone)
            ids = list(connection.execute(leased.limit(limit)).scalars())
        for delivery in ids:
            # One at a time: several that take over, and the one that is late, lock people in orders of their own.
            with self.transaction() as moves:
                row = moves.lock(delivery)
                if row is None or row.lease_until is None:
                    continue
                if row.lease_until >= moves.now and not (own and row.lease_owner == self._worker):
                    continue
                self._take_over(moves, row)
        return len(ids)

    def _take_over(self, moves: Moves, row: Row[Any]) -> None:
        fence = {"lease_fence": row.lease_fence + 1}
        if row.phase == Phase.WRITING and row.rank < RANK["accepted"]:
            log.warning("delivery.unsettled", delivery=str(row.delivery_id), channel=row.channel)
            due = moves.now + self.timing.check_delays[0]
            until = min(moves.now, row.lease_until or moves.now)
            moves.set_phase(
                row.delivery_id, Phase.CHECKING, due, checks=0, unclear_at=until, silent_since=None, **fence
            )
        elif row.phase in {Phase.WRITING, Phase.CLAIMED} and row.rank >= RANK["accepted"]:
            moves.set_phase(row.delivery_id, Phase(row.phase), **fence)
            self._rest(moves, row.delivery_id, receipts=True)
            moves.follow_up(row.campaign_id, row.recipient_id)
        elif row.phase == Phase.CLAIMED:
            moves.set_phase(row.delivery_id, Phase.READY, moves.now, **fence)
        else:
            moves.set_phase(row.delivery_id, Phase(row.phase), row.due_at, **fence)

    def _held(self, moves: Moves, claim: Claim) -> Row[Any] | None:
        row = moves.lock(claim.delivery_id)
        return row if row is not None and row.lease_fence == claim.fence else None

    def _again_later(self, moves: Moves, row: Row[Any], outcome: Outcome, share: float) -> None:
        tries = row.tries + 1
        if tries >= self.timing.max_tries:
            moves.move(row, "failed", code=outcome.code)
            moves.set_phase(row.delivery_id, Phase.DONE, tries=tries)
            return
        delay = self.timing.backoff(tries - 1, share, outcome.retry_after)
        moves.set_phase(row.delivery_id, Phase.READY, moves.now + delay, tries=tries, code=outcome.code)

    def _unclear(self, moves: Moves, row: Row[Any], code: str | None, *, reconciles: bool) -> None:
        log.warning("delivery.unclear", delivery=str(row.delivery_id), channel=row.channel, code=code)
        if reconciles:
            due = moves.now + self.timing.check_delays[0]
            moves.set_phase(
                row.delivery_id, Phase.CHECKING, due, checks=0, code=code, unclear_at=moves.now, silent_since=None
            )
        else:
            moves.set_phase(row.delivery_id, Phase.CHECKING, moves.now, code=code)
            self._never_known(moves, row)

    def _never_known(self, moves: Moves, row: Row[Any], code: str | None = None) -> None:
        moves.move(row, "ambiguous", code=code[:MAX_CODE] if code else row.code)
        moves.set_phase(row.delivery_id, Phase.DONE)

    def _rest(self, moves: Moves, delivery_id: UUID, *, receipts: bool) -> None:
        """After an accepted or final state: wait for a receipt, or be done."""
        row = moves.connection.execute(select(deliveries).where(deliveries.c.delivery_id == delivery_id)).one()
        if row.rank >= FINAL_RANK or not receipts:
            moves.set_phase(delivery_id, Phase.DONE)
        elif row.rank >= RANK["accepted"] and row.phase not in {Phase.WAITING}:
            due = moves.now + self.timing.poll_delays[0]
            moves.set_phase(delivery_id, Phase.WAITING, due, checks=0, silent_since=None)

    def _lease(self, moves: Moves, ids: list[UUID]) -> None:
        if ids:
            moves.connection.execute(
                update(deliveries)
                .where(deliveries.c.delivery_id.in_(ids))
                .values(
                    lease_owner=self._worker,
                    lease_fence=deliveries.c.lease_fence + 1,
                    lease_until=moves.now + self.timing.lease,
                    changed_at=moves.now,
                )
            )

    def _start_trying(self, moves: Moves, ready: list[Row[Any]]) -> None:
        if not ready:
            return
        moves.connection.execute(
            update(deliveries)
            .where(deliveries.c.delivery_id.in_([row.delivery_id for row in ready]))
            .values(phase=Phase.CLAIMED.value, state="claimed", rank=RANK["claimed"])
        )
        for row in ready:
            if row.rank < RANK["claimed"]:
                moves.log_claim(row)

    def _claim_of(self, row: Row[Any]) -> Claim:
        return Claim(
            delivery_id=row.delivery_id,
            campaign_id=row.campaign_id,
            recipient_id=row.recipient_id,
            channel=row.channel,
            repeat=row.repeat,
            work=_WORK[Phase(row.phase)],
            fence=row.lease_fence + 1,
            tries=row.tries,
            checks=row.checks,
            state=row.state,
            language=row.language,
            reference=row.reference,
            drill=row.drill,
            policy=cast(DeliveryPolicy, row.policy),
            provider_id=row.provider_id,
            written_at=row.written_at,
            provider=row.provider,
            deadline=row.deadline,
            unclear_at=row.unclear_at,
            silent_since=row.silent_since,
        )

    def is_temporary(self, code: str | None) -> bool:
        """Whether a fault with this code may pass by itself."""
        return self._table.is_temporary(code)
