"""How fast a campaign goes, measured from its counters, and by when the law wants it done by now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, Row, func, or_, select, text, update

from incidents.clock import Clock
from incidents.record import Record
from incidents.record.database import reading, writing
from notifier.campaigns.campaign import Campaign
from notifier.deliveries.tables import delivery_batches, sendings
from notifier.deliveries.timing import Timing

log = structlog.get_logger(__name__)

KEEPS = 0.5
"""Share of the earlier speed in the measured one, so that a short stop does not look like the end."""
_READY = text("delivery_batches.state = 'ready'")


class Measuring:
    """Measures every campaign that is being sent, once in a while. Any number may try; one measures."""

    def __init__(
        self,
        engine: Engine,
        record: Record,
        clock: Clock,
        timing: Timing,
        deadline: Callable[[Campaign], datetime | None] = lambda _campaign: None,
    ) -> None:
        self._engine = engine
        self._record = record
        self._clock = clock
        self._every = timing.measure
        self._deadline = deadline
        self._after: datetime | None = None

    def measure(self) -> int:
        """Measure what is due. Returns how many campaigns."""
        now = self._clock.now()
        if self._after is not None and now < self._after:
            return 0
        self._after = now + self._every
        with reading(self._engine) as connection:
            due = connection.execute(
                select(sendings).where(
                    sendings.c.finished_at.is_(None),
                    sendings.c.cancelled_at.is_(None),
                    or_(sendings.c.measured_at.is_(None), sendings.c.measured_at <= now - self._every),
                )
            ).all()
        return sum(self._measure(row, now) for row in due)

    def _measure(self, row: Row[Any], now: datetime) -> bool:
        deadline = self._deadline(self._record.load(Campaign, row.campaign_id))
        same = (
            sendings.c.measured_at.is_(None) if row.measured_at is None else sendings.c.measured_at == row.measured_at
        )
        with writing(self._engine) as connection:
            done = first_attempts(connection, row.campaign_id).done
            changed = connection.execute(
                update(sendings)
                .where(sendings.c.campaign_id == row.campaign_id, same)
                .values(measured_at=now, measured_done=done, per_hour=_speed(row, done, now), deadline=deadline)
            )
            if changed.rowcount and deadline is not None and (row.deadline is None or deadline < row.deadline):
                self._wake_sleepers(connection, row.campaign_id, now)
        return bool(changed.rowcount)

    def _wake_sleepers(self, connection: Connection, campaign_id: UUID, now: datetime) -> None:
        """The deadline is nearer than was thought: what waits for a morning is looked at again."""
        b = delivery_batches.c
        connection.execute(
            update(delivery_batches)
            .where(b.campaign_id == campaign_id, _READY, b.zone.is_not(None), b.due_at > now)
            .values(due_at=now)
        )


class FirstAttempts(NamedTuple):
    """How far the first attempts of a campaign are, by its batches."""

    planned: int
    done: int
    cancelled: int


def first_attempts(connection: Connection, campaign_id: UUID) -> FirstAttempts:
    """Summed over batches, of which a campaign of millions has thousands."""
    b = delivery_batches.c
    sums = select(*(func.coalesce(func.sum(column), 0) for column in (b.recipients, b.settled, b.cancelled)))
    row = connection.execute(sums.where(b.campaign_id == campaign_id)).one()
    return FirstAttempts(*(int(value) for value in row))


def _speed(row: Row[Any], done: int, now: datetime) -> float | None:
    if row.measured_at is None or row.measured_done is None or row.paused_at is not None:
        return row.per_hour  # type: ignore[no-any-return]
    hours = (now - row.measured_at).total_seconds() / 3600
    measured = max(done - row.measured_done, 0) / hours if hours > 0 else 0.0
    before = measured if row.per_hour is None else row.per_hour
    speed: float = KEEPS * before + (1 - KEEPS) * measured
    return speed
