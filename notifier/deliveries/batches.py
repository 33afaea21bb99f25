"""The book of batches: claiming, marking what may be on the wire, entering outcomes by the group, taking over.

Synchronous; the engine calls it from threads. One small committed write says for many people that they may be told
from now on, before anything is written; one more enters what came of many. Both are refused to whoever no longer holds
the batch, so that two who believe they have it cannot both send it and count it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection, Row, and_, insert, or_, select, text, update

from incidents.clock import uptime
from incidents.record.bulk import BulkInsert
from incidents.record.database import reading, writing
from notifier.audience import Audiences
from notifier.campaigns.events import DeliveryPolicy
from notifier.deliveries import sids
from notifier.deliveries.book import DeliveryBook
from notifier.deliveries.claiming import Batch, BatchClaims
from notifier.deliveries.due import stops_new
from notifier.deliveries.groups import (
    ATTEMPT_COLUMNS,
    PERSON_COLUMNS,
    Ending,
    Seat,
    move_count,
    packed,
    rows_of,
    unknown,
)
from notifier.deliveries.hints import BatchHints, BatchRef, NoHints
from notifier.deliveries.moves import Moves, delivery_id, first_ids, person_key
from notifier.deliveries.order import ChannelOrder
from notifier.deliveries.planning import Ways
from notifier.deliveries.references import reference_code
from notifier.deliveries.tables import campaign_recipients, deliveries, delivery_batches, delivery_log, sendings
from notifier.pacing.quiet import QuietHours

log = structlog.get_logger(__name__)

_t = delivery_batches.c
_READY = text("delivery_batches.state = 'ready'")  # spelled as in the index, so that the index serves it
_HELD = text("delivery_batches.state = 'held'")
_IDS_AT_ONCE = 500
_PAGE = 50
_KEPT_ORDER = (sendings.c.channel_order, sendings.c.channel_rules)

Late = tuple[bytes, Seat, Ending]
"""By `person_key`: what became of somebody of a batch that somebody else holds by now."""
_insert_persons = BulkInsert(campaign_recipients, PERSON_COLUMNS)
_insert_attempts = BulkInsert(deliveries, ATTEMPT_COLUMNS)


class Answer(StrEnum):
    """What became of a change."""

    DONE = "done"
    RESTS = "rests"
    """The outcomes are entered, but nobody else may be written to now: the campaign is held."""
    LOST = "lost"
    """Somebody else holds the batch. What is certain was entered all the same."""


@dataclass(slots=True)
class Change:
    """What one transaction is to do to one batch."""

    batch: Batch
    endings: list[tuple[Seat, Ending]] = field(default_factory=list)
    wire_to: int | None = None
    release: datetime | None = None
    """Give it back, to be claimed from then on."""


class BatchBook:
    """Reading and writing of batches for one worker, beside its book of single deliveries."""

    def __init__(
        self,
        book: DeliveryBook,
        audiences: Audiences,
        *,
        reference_key: bytes,
        hints: BatchHints | None = None,
        quiet: QuietHours = QuietHours(),
        uptime: Callable[[], float] = uptime,
    ) -> None:
        self._book = book
        self._engine = book.engine
        self._clock = book.clock
        self._audiences = audiences
        self._reference_key = reference_key
        self._hints = hints or NoHints()
        self._uptime = uptime
        self._claims = BatchClaims(book, self._hints, quiet, uptime=uptime)
        self.timing = book.timing

    def claim(
        self,
        *,
        drill: bool,
        channel: str,
        others: Collection[str] | None = None,
        only: UUID | None = None,
        without: Collection[UUID] = (),
    ) -> Batch | None:
        """Take the next batch of a lane, of the smallest sending first, so that a few people do not wait behind
        millions. With `others`, a batch of any channel that is none of these; `only` of one campaign, or of any but
        those in `without`."""
        return self._claims.claim(drill=drill, channel=channel, others=others, only=only, without=without)

    def seats(self, batch: Batch) -> list[Seat]:
        """Who of the batch has not been written to, by position."""
        return self._seats(
            batch.ref, batch.channel, batch.audience_id, batch.order, batch.wire_to, batch.last, batch.zone
        )

    def has_work(self) -> bool:
        """Whether it is worth asking for a claim; cheap, for a worker that has nothing to do."""
        return self._claims.has_work()

    def stopped(self, campaigns: Collection[UUID]) -> set[UUID]:
        """Those of these campaigns in which nobody new may be written to now."""
        with reading(self._engine) as connection:
            return _resting(connection, campaigns, self._clock.now())

    def hold(self, campaign_id: UUID, code: str) -> None:
        """Let a campaign rest whose notice cannot be made."""
        with self._book.transaction() as moves:
            self._book.hold(moves, campaign_id, code)

    def commit(self, changes: Sequence[Change], *, again: bool = False) -> list[Answer]:
        """Make the changes, all in one transaction. The answers are in the order of the changes.

        `again`: an earlier try ended in an error and may have been committed all the same; what is entered is not
        entered twice.
        """
        answers: dict[int, Answer] = {}
        done: list[Batch] = []
        asked = self._uptime()
        with self._book.transaction() as moves:
            campaigns = {change.batch.campaign_id for change in changes}
            resting = _resting(moves.connection, campaigns, moves.now)
            # One order for everybody, so that two workers cannot block each other: of the batches, then of the people.
            late: list[Late] = []
            for change in sorted(changes, key=lambda one: (one.batch.campaign_id.bytes, one.batch.ref.number)):
                missing = self._without_entered(moves, change) if again else change
                answers[id(change)] = self._change(moves, missing, resting, late, done)
            self._enter_late(moves, late)
        for batch in done:
            batch.done = True
        for change in changes:
            if answers[id(change)] is Answer.LOST:
                continue
            change.batch.trusted_until = asked + self.timing.lease.total_seconds()
            if change.wire_to is not None and answers[id(change)] is Answer.DONE:
                change.batch.wire_to = change.wire_to
        if released := [change.batch.ref for change in changes if change.release is not None]:
            self._hints.publish(released)
        return [answers[id(change)] for change in changes]

    def renew(self, batches: Collection[Batch]) -> list[Batch]:
        """Keep batches that are being worked on. Returns those that are somebody else's by now."""
        asked = self._uptime()
        kept: list[Batch] = []
        with writing(self._engine) as connection:
            for batch in sorted(batches, key=lambda one: (one.campaign_id.bytes, one.ref.number)):
                until = self._clock.now() + self.timing.lease
                if connection.execute(self._of(batch).values(lease_until=until)).rowcount == 1:
                    kept.append(batch)
        for batch in kept:
            batch.trusted_until = asked + self.timing.lease.total_seconds()
        return [batch for batch in batches if batch not in kept]

    def reap(self, *, own: bool = False) -> int:
        """Take over batches whose holder is dead: whose lease ran out, and with `own` those of this worker's former
        life. Goes through all of them; one that cannot be taken over holds up no other."""
        taken, after = 0, None
        while page := self._run_out(own, after):
            for row in page:
                try:
                    taken += self._take_over(row, own=own)
                except Exception as error:  # noqa: BLE001 - logged; the next ones must not wait for it
                    log.error(
                        "batch.not-taken-over",
                        campaign=str(row.campaign_id),
                        batch=row.number,
                        reason=type(error).__name__,
                    )
            after = page[-1]
        return taken

    def _seats(
        self,
        ref: BatchRef,
        channel: str,
        audience_id: UUID,
        order: ChannelOrder,
        after: int,
        to: int,
        zone: str | None,
    ) -> list[Seat]:
        if to <= after:
            return []
        campaign_id, id_of, ways = ref.campaign_id, first_ids(ref.campaign_id, channel), Ways(order)
        return [
            Seat(
                member.position,
                member.recipient_id,
                member.language,
                ways.of(member),
                id_of(member.recipient_id),
                reference_code(self._reference_key, campaign_id, member.recipient_id),
            )
            for member in self._audiences.members(audience_id, after=after, limit=to - after)
            if member.position <= to and (zone is None or member.country == zone) and ways.lane(member) == channel
        ]

    def _change(self, moves: Moves, change: Change, resting: set[UUID], late: list[Late], done: list[Batch]) -> Answer:
        batch = change.batch
        faults = [ending.ours for _, ending in change.endings if ending.ours is not None]
        rests = batch.campaign_id in resting or bool(faults)
        values: dict[str, Any] = {
            "settled": _t.settled + len(change.endings),
            "lease_until": moves.now + self.timing.lease,
        }
        if change.wire_to is not None and not rests:
            values["wire_to"] = change.wire_to
        held = moves.connection.execute(self._of(batch).values(values).returning(_t.settled, _t.recipients)).first()
        if held is None:
            log.warning("batch.lost", campaign=str(batch.campaign_id), batch=batch.ref.number)
            late += ((person_key(batch.campaign_id, seat.recipient_id), seat, one) for seat, one in change.endings)
            return Answer.LOST
        self._insert(moves, batch.ref.campaign_id, batch.channel, batch.policy, batch.claimed_at, change.endings)
        if any(ending.state == "accepted" for _, ending in change.endings):
            moves.went_well(batch.campaign_id)
        if faults:
            self._book.hold(moves, batch.campaign_id, faults[0])
        if held.settled == held.recipients:
            self._let_go(moves, batch, "done")
            done.append(batch)
        elif change.release is not None:
            self._let_go(moves, batch, "ready", change.release)
        return Answer.RESTS if rests else Answer.DONE

    def _without_entered(self, moves: Moves, change: Change) -> Change:
        ids = [seat.recipient_id for seat, _ in change.endings]
        entered = _entered(moves.connection, change.batch.campaign_id, ids)
        left = [(seat, ending) for seat, ending in change.endings if seat.recipient_id not in entered]
        return replace(change, endings=left)

    def _let_go(self, moves: Moves, batch: Batch, state: str, due_at: datetime | None = None) -> None:
        values = {"state": state, "owner": None, "lease_until": None, **({"due_at": due_at} if due_at else {})}
        moves.connection.execute(self._of(batch).values(values))

    def _of(self, batch: Batch) -> Any:
        """An update of the batch that has no effect once somebody else holds it."""
        return update(delivery_batches).where(
            _t.campaign_id == batch.campaign_id, _t.number == batch.ref.number, _HELD, _t.fence == batch.fence
        )

    def _insert(
        self,
        moves: Moves,
        campaign_id: UUID,
        channel: str,
        policy: DeliveryPolicy,
        claimed_at: datetime,
        endings: Sequence[tuple[Seat, Ending]],
    ) -> None:
        if not endings:
            return
        rows = rows_of(
            campaign_id,
            channel,
            endings,
            policy=policy,
            timing=self.timing,
            is_temporary=moves.is_temporary,
            claimed_at=claimed_at,
            now=moves.now,
            next_id=lambda recipient, by, repeat: delivery_id(campaign_id, recipient, by, repeat),
            cancelled=moves.is_cancelled(campaign_id),
        )
        _insert_persons(moves.connection, rows.persons)
        _insert_attempts(moves.connection, rows.attempts)
        sids.note(moves.connection, channel, ((one.provider_id, seat.delivery_id) for seat, one in endings), moves.now)
        if rows.moves:
            moves.connection.execute(
                insert(delivery_log).values(
                    campaign_id=campaign_id,
                    channel=channel,
                    at=moves.now,
                    moved=move_count(rows.moves),
                    moves=packed(rows.moves),
                )
            )
        moves.log_called_off(campaign_id, rows.called_off)
        for outcome, people in Counter(rows.outcomes).items():
            moves.count(campaign_id, "open", outcome, people)

    def _enter_late(self, moves: Moves, late: Sequence[Late]) -> None:
        """News of what became of a message is welcome from whoever has it."""
        for _, seat, ending in sorted(late, key=lambda one: one[0]):
            if ending.certain:
                self._book.enter_late(moves, seat.delivery_id, ending)
            else:
                log.info("delivery.settled-late", delivery=str(seat.delivery_id), state=ending.state)

    def _run_out(self, own: bool, after: Row[Any] | None) -> Sequence[Row[Any]]:
        gone: Any = _t.lease_until < self._clock.now()
        if own:
            gone = or_(gone, _t.owner == self._book.worker)
        where = [_HELD, gone]
        if after is not None:
            key = (_t.campaign_id > after.campaign_id, _t.campaign_id == after.campaign_id, _t.number > after.number)
            where.append(or_(key[0], and_(key[1], key[2])))
        with reading(self._engine) as connection:
            return connection.execute(
                select(delivery_batches, sendings.c.audience_id, sendings.c.policy, *_KEPT_ORDER)
                .join(sendings, sendings.c.campaign_id == _t.campaign_id)
                .where(*where)
                .order_by(_t.campaign_id, _t.number)
                .limit(_PAGE)
            ).all()

    def _take_over(self, row: Row[Any], *, own: bool) -> int:
        """Whoever may have been written to becomes a single delivery that is to be checked; the rest is ready."""
        ref = BatchRef(row.campaign_id, row.number)
        order = ChannelOrder.kept(row.channel_order, row.channel_rules)
        seats = self._seats(ref, row.channel, row.audience_id, order, row.first - 1, row.wire_to, row.zone)
        with self._book.transaction() as moves:
            # As it was read, and still run out: its holder may have renewed it in the meantime.
            gone: Any = _t.lease_until < moves.now
            still = or_(gone, _t.owner == self._book.worker) if own else gone
            taken = moves.connection.execute(
                update(delivery_batches)
                .where(
                    _t.campaign_id == row.campaign_id,
                    _t.number == row.number,
                    _HELD,
                    _t.fence == row.fence,
                    _t.wire_to == row.wire_to,
                    still,
                )
                .values(fence=row.fence + 1, state="ready", owner=None, lease_until=None, due_at=moves.now)
                .returning(_t.settled, _t.recipients)
            ).first()
            if taken is None:
                return 0
            entered = _entered(moves.connection, row.campaign_id, [seat.recipient_id for seat in seats])
            unsettled = [
                (seat, unknown(self.timing, moves.now, row.lease_until))
                for seat in seats
                if seat.recipient_id not in entered
            ]
            self._insert(moves, row.campaign_id, row.channel, row.policy, row.claimed_at or moves.now, unsettled)
            settled = taken.settled + len(unsettled)
            moves.connection.execute(
                update(delivery_batches)
                .where(_t.campaign_id == row.campaign_id, _t.number == row.number)
                .values(settled=settled, state="done" if settled == taken.recipients else "ready")
            )
        log.warning("batch.taken-over", campaign=str(row.campaign_id), batch=row.number, unsettled=len(unsettled))
        self._hints.publish([ref])
        return 1


def _resting(connection: Connection, campaigns: Collection[UUID], now: datetime) -> set[UUID]:
    found = connection.execute(
        select(sendings.c.campaign_id).where(
            sendings.c.campaign_id.in_(sorted(campaigns)), or_(sendings.c.held_until > now, stops_new())
        )
    )
    return set(found.scalars())


def _entered(connection: Connection, campaign_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
    found: set[UUID] = set()
    person = campaign_recipients.c
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = ids[start : start + _IDS_AT_ONCE]
        found.update(
            connection.execute(
                select(person.recipient_id).where(person.campaign_id == campaign_id, person.recipient_id.in_(some))
            ).scalars()
        )
    return found
