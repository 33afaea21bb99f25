"""Cancelling: nothing new is tried from one commit on; whoever was not written to is counted off page by page.

What is on the wire is let to end, because its outcome is a fact that belongs on record. A kill between pages loses
nothing: the next sweep finds what is left.
"""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import structlog
from sqlalchemy import select, text, update

from incidents.record.database import reading, writing
from notifier.deliveries.book import DeliveryBook
from notifier.deliveries.due import OPEN
from notifier.deliveries.states import Phase
from notifier.deliveries.tables import deliveries, delivery_batches, sendings

log = structlog.get_logger(__name__)

BATCHES_AT_ONCE = 500
ATTEMPTS_AT_ONCE = 200
_READY_BATCH = text("delivery_batches.state = 'ready'")  # spelled as in the index, so that the index serves it


class Cancelling:
    """Calls off what a cancelled campaign has left. Several may run; each person is counted off once."""

    def __init__(self, book: DeliveryBook) -> None:
        self._book = book
        self._engine = book.engine

    def cancel(self, campaign_id: UUID) -> bool:
        """Let nothing new be tried from now on. False: it was cancelled before, is finished, or never started."""
        with writing(self._engine) as connection:
            changed = connection.execute(
                update(sendings)
                .where(
                    sendings.c.campaign_id == campaign_id,
                    sendings.c.cancelled_at.is_(None),
                    sendings.c.finished_at.is_(None),
                )
                .values(cancelled_at=self._book.clock.now())
            )
        if changed.rowcount == 1:
            log.warning("campaign.cancelled", campaign=str(campaign_id))
        return changed.rowcount == 1

    def sweep(self) -> int:
        """Call off one page of each cancelled campaign. Returns how many people and attempts; 0: nothing is left."""
        with reading(self._engine) as connection:
            cancelled = connection.execute(
                select(sendings.c.campaign_id).where(
                    sendings.c.cancelled_at.is_not(None), sendings.c.finished_at.is_(None)
                )
            ).scalars()
            campaigns = sorted(cancelled)
        return sum(self._batches(campaign_id) + self._attempts(campaign_id) for campaign_id in campaigns)

    def _batches(self, campaign_id: UUID) -> int:
        """Batches that nobody holds: their people have no row, and get none."""
        t = delivery_batches.c
        with self._book.transaction() as moves:
            ready = moves.connection.execute(
                select(t.number, t.channel, (t.recipients - t.settled).label("left"))
                .where(t.campaign_id == campaign_id, _READY_BATCH)
                .order_by(t.number)
                .limit(BATCHES_AT_ONCE)
                .with_for_update(skip_locked=True)
            ).all()
            if not ready:
                return 0
            moves.connection.execute(
                update(delivery_batches)
                .where(t.campaign_id == campaign_id, t.number.in_([row.number for row in ready]))
                .values(state="done", cancelled=t.recipients - t.settled)
            )
            untried: Counter[str] = Counter()
            for row in ready:
                untried[row.channel] += row.left
            for channel, people in sorted(untried.items()):
                moves.cancel_untried(campaign_id, channel, people)
        return sum(untried.values()) or 1

    def _attempts(self, campaign_id: UUID) -> int:
        """Single attempts that wait for their time."""
        with reading(self._engine) as connection:
            waiting = list(
                connection.execute(
                    select(deliveries.c.delivery_id)
                    .where(OPEN, deliveries.c.campaign_id == campaign_id, deliveries.c.phase == Phase.READY.value)
                    .limit(ATTEMPTS_AT_ONCE)
                ).scalars()
            )
        for delivery_id in waiting:
            # One at a time, for the same reason as taking over: several people are locked by others in other orders.
            with self._book.transaction() as moves:
                row = moves.lock(delivery_id)
                if row is not None and row.phase == Phase.READY:
                    moves.follow_up(row.campaign_id, row.recipient_id)
        return len(waiting)
