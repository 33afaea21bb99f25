"""Claiming batches: of the smallest sending first, and none of people who are not to be disturbed now."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection, Row, Select, and_, exists, or_, select, text, update

from incidents.record.database import reading, writing
from notifier.campaigns.events import DeliveryPolicy
from notifier.deliveries.book import DeliveryBook
from notifier.deliveries.due import stops_new
from notifier.deliveries.hints import BatchHints, BatchRef, NoHints
from notifier.deliveries.order import ChannelOrder
from notifier.deliveries.tables import delivery_batches, sendings
from notifier.pacing.quiet import QuietHours

_t = delivery_batches.c
_READY = text("delivery_batches.state = 'ready'")  # spelled as in the index, so that the index serves it
_HINTS_AT_ONCE = 64
"""Hints that one claim looks at: a flood of stale ones must not keep it from looking for itself."""
_HINTS_KEPT = 1_000
"""Hints that are kept for each other lane; those that are pushed out are found by looking."""
_LONGEST_HOURS = 24.0 * 365


@dataclass(slots=True, eq=False)
class Batch:
    """The right to make the first attempt on the people of one batch, until `fence` is outdone."""

    ref: BatchRef
    channel: str
    last: int
    fence: int
    claimed_at: datetime
    trusted_until: float
    """In this machine's uptime: from then on somebody else may have taken it over."""
    wire_to: int
    """Nobody beyond this position may be written to."""
    drill: bool
    policy: DeliveryPolicy
    audience_id: UUID
    order: ChannelOrder = field(repr=False)
    zone: str | None = None
    """The country of its people; None: it is not cut by country."""
    done: bool = False
    """Everybody of it is settled."""

    @property
    def campaign_id(self) -> UUID:
        return self.ref.campaign_id


class BatchClaims:
    """Claims for one worker."""

    def __init__(
        self, book: DeliveryBook, hints: BatchHints, quiet: QuietHours, *, uptime: Callable[[], float]
    ) -> None:
        self._book = book
        self._engine = book.engine
        self._clock = book.clock
        self._lease = book.timing.lease
        self._look = book.timing.look.total_seconds()
        self._hints = hints
        self._quiet = quiet
        self._uptime = uptime
        self._hinted: defaultdict[tuple[bool, str], deque[BatchRef]] = defaultdict(partial(deque, maxlen=_HINTS_KEPT))
        self._look_after: defaultdict[tuple[bool, str], float] = defaultdict(float)
        """By lane, so that one that finds nothing does not keep the others from looking."""
        self._lock = threading.Lock()
        """Of `_hinted`: several claims may be made at once."""

    def claim(
        self,
        *,
        drill: bool,
        channel: str,
        others: Collection[str] | None = None,
        only: UUID | None = None,
        without: Collection[UUID] = (),
    ) -> Batch | None:
        """The next batch of a lane. With `others`, one of any channel that is none of these; `only` of one campaign, or
        of any but those in `without`."""
        lane = _t.channel == channel if others is None else _t.channel.not_in(sorted(others))
        claimed = self._claim_hinted(drill, channel, lane, only, without)
        if claimed is not None or (only is None and self._uptime() < self._look_after[drill, channel]):
            return claimed
        wanted = self._sendings(drill, lane, only, without)
        with reading(self._engine) as connection:  # an idle worker takes no lock
            found = connection.execute(wanted).first()
        if found is not None:
            with writing(self._engine) as connection:
                for sending in connection.execute(wanted).all():
                    claimed = self._take(connection, sending, lane)
                    if claimed is not None:
                        return claimed
        if only is None and not isinstance(self._hints, NoHints):
            self._look_after[drill, channel] = self._uptime() + self._look
        return None

    def has_work(self) -> bool:
        """Whether it is worth asking for a claim; cheap, for a worker that has nothing to do."""
        if not isinstance(self._hints, NoHints):
            return True
        with reading(self._engine) as connection:
            ready = select(_t.number).where(_READY, _t.due_at <= self._clock.now()).limit(1)
            return connection.execute(ready).first() is not None

    def _claim_hinted(
        self, drill: bool, channel: str, lane: Any, only: UUID | None, without: Collection[UUID]
    ) -> Batch | None:
        """A batch that was announced to this worker. Looks at a few hints, and keeps those that others can use."""
        for _ in range(_HINTS_AT_ONCE):
            ref = self._kept(drill, channel, only, without)
            if ref is not None:
                with writing(self._engine) as connection:
                    sending = connection.execute(
                        select(sendings).where(sendings.c.campaign_id == ref.campaign_id, self._sends())
                    ).first()
                    claimed = self._take(connection, sending, and_(lane, _t.number == ref.number)) if sending else None
                if claimed is not None:
                    return claimed
            elif (ref := self._hints.next()) is None:
                return None
            else:
                self._keep(ref)
        return None

    def _keep(self, ref: BatchRef) -> None:
        with reading(self._engine) as connection:
            row = connection.execute(
                select(_t.channel, sendings.c.drill)
                .join(sendings, sendings.c.campaign_id == _t.campaign_id)
                .where(_t.campaign_id == ref.campaign_id, _t.number == ref.number, _READY)
            ).first()
        if row is not None:
            with self._lock:
                self._hinted[row.drill, row.channel].append(ref)

    def _kept(self, drill: bool, channel: str, only: UUID | None, without: Collection[UUID]) -> BatchRef | None:
        with self._lock:
            mine = self._hinted[drill, channel]
            for ref in mine:
                if (only is None or ref.campaign_id == only) and ref.campaign_id not in without:
                    mine.remove(ref)
                    return ref
        return None

    def _sendings(
        self, drill: bool, lane: Any, only: UUID | None = None, without: Collection[UUID] = ()
    ) -> Select[Any]:
        """Sendings that may go on and have a batch for the lane: one probe of an index each, whatever their size."""
        ready = exists().where(_t.campaign_id == sendings.c.campaign_id, _READY, lane, _t.due_at <= self._clock.now())
        wanted = (
            select(sendings)
            .where(sendings.c.finished_at.is_(None), sendings.c.drill.is_(drill), self._sends(), ready)
            .order_by(sendings.c.open, sendings.c.campaign_id)
        )
        if only is not None:
            return wanted.where(sendings.c.campaign_id == only)
        return wanted.where(sendings.c.campaign_id.not_in(sorted(without))) if without else wanted

    def _sends(self) -> Any:
        rested = or_(sendings.c.held_until.is_(None), sendings.c.held_until <= self._clock.now())
        return and_(rested, ~stops_new())

    def _take(self, connection: Connection, sending: Row[Any], lane: Any) -> Batch | None:
        now, asked = self._clock.now(), self._uptime()
        while True:
            row = connection.execute(
                select(delivery_batches)
                .where(_t.campaign_id == sending.campaign_id, _READY, lane, _t.due_at <= now)
                .order_by(_t.number)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if row is None:
                return None
            if (until := self._quiet_until(sending, row, now)) is None:
                break
            _put_off(connection, row, until, now)
        connection.execute(
            update(delivery_batches)
            .where(_t.campaign_id == row.campaign_id, _t.number == row.number)
            .values(
                state="held",
                owner=self._book.worker,
                fence=row.fence + 1,
                lease_until=now + self._lease,
                claimed_at=now,
            )
        )
        return Batch(
            ref=BatchRef(row.campaign_id, row.number),
            channel=row.channel,
            last=row.last,
            fence=row.fence + 1,
            claimed_at=now,
            trusted_until=asked + self._lease.total_seconds(),
            wire_to=row.wire_to,
            drill=sending.drill,
            policy=cast(DeliveryPolicy, sending.policy),
            audience_id=sending.audience_id,
            order=ChannelOrder.kept(sending.channel_order, sending.channel_rules),
            zone=row.zone,
        )

    def _quiet_until(self, sending: Row[Any], row: Row[Any], now: datetime) -> datetime | None:
        if row.zone is None:
            return None
        return self._quiet.wait(
            row.channel, row.zone, now, deadline=sending.deadline, needed=needed_for(sending.open, sending.per_hour)
        )


def needed_for(people: int, per_hour: float | None) -> timedelta | None:
    """How long the rest of a sending takes at the speed that was measured; None where none was, or where it stood still
    for so long that the measured speed, which only fades, says nothing."""
    hours = people / per_hour if per_hour else _LONGEST_HOURS
    return timedelta(hours=hours) if hours < _LONGEST_HOURS else None


def _put_off(connection: Connection, row: Row[Any], until: datetime, now: datetime) -> None:
    """Let all batches like this one wait: one statement for a country, not one for each of its people."""
    connection.execute(
        update(delivery_batches)
        .where(
            _t.campaign_id == row.campaign_id,
            _READY,
            _t.channel == row.channel,
            _t.zone == row.zone,
            _t.due_at <= now,
        )
        .values(due_at=until)
    )
