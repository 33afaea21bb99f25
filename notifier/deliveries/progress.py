"""How far a sending is, what it waits for, and when it will be done: an honest answer while it runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, func, select, text

from incidents.record.database import reading
from incidents.record.event import Instant, Model
from notifier.channels.fault_words import FaultWords, words_of_fault
from notifier.deliveries.claiming import needed_for
from notifier.deliveries.measuring import first_attempts
from notifier.deliveries.order import ChannelOrder
from notifier.deliveries.tables import delivery_batches, sendings
from notifier.pacing.tables import provider_states

_READY = text("delivery_batches.state = 'ready'")


class RestingProvider(Model):
    """A provider that is left alone, and why."""

    channel: str
    name: str
    until: Instant
    code: str | None
    meaning: FaultWords | None
    """The code in words; None where there is no code."""


class Progress(Model):
    """A sending as it stands. First attempts only; what is tried again or by the next channel comes on top."""

    campaign_id: UUID
    recipients: int
    done: int
    """First attempts that are made and entered."""
    cancelled: int
    left: int
    asleep: int
    """Of those left: people who are not disturbed at this hour."""
    awake_at: Instant | None
    """When the first of them may be written to."""
    paused_at: Instant | None
    held_until: Instant | None
    held_code: str | None
    """The fault that it rests for: one of the account, the sender or the notice, not of the people."""
    held_meaning: FaultWords | None
    """The code in words; None where there is no code."""
    resting: tuple[RestingProvider, ...]
    per_hour: float | None
    """First attempts an hour, as measured lately; None before the first measurement."""
    ends_at: Instant | None
    """At that speed. None where it stands still or nothing was measured yet."""
    deadline: Instant | None
    in_time: bool | None
    """None where there is no deadline, or nothing can be said yet."""
    needed_per_hour: float | None
    """The speed that would do it in time."""
    unanswered: str | None
    """Why a provider did not say what became of unclear messages, which therefore stay unclear; None: it does."""
    texts_ended: int
    """Text messages of which a network said what became of them."""
    texts_filtered: int
    """Of those: filtered by a network, or not arrived and nobody knows why."""
    filtered_at: Instant | None
    """When it was called out that they are too many."""
    finished: bool


def progress_of(engine: Engine, campaign_id: UUID, now: datetime, recipients: int) -> Progress | None:
    """The progress of a started campaign; None when its sending has not begun."""
    with reading(engine) as connection:
        row = connection.execute(select(sendings).where(sendings.c.campaign_id == campaign_id)).first()
        if row is None:
            return None
        made = first_attempts(connection, campaign_id)
        asleep, awake_at = _asleep(connection, campaign_id, now)
        resting = connection.execute(
            select(provider_states).where(provider_states.c.rests_until > now).order_by(provider_states.c.name)
        ).all()
    held = row.finished_at is None and row.held_until is not None and row.held_until > now
    left = 0 if row.finished_at else max(recipients - made.done - made.cancelled, 0)
    stands = row.paused_at is not None or row.cancelled_at is not None
    ends_at = _ends_at(now, left, row.per_hour, awake_at if asleep == left else None, row.held_until)
    if stands and left:
        ends_at = None
    return Progress(
        campaign_id=campaign_id,
        recipients=recipients,
        done=made.done,
        cancelled=made.cancelled,
        left=left,
        asleep=asleep,
        awake_at=awake_at,
        paused_at=row.paused_at,
        held_until=row.held_until if held else None,
        held_code=row.held_code if held else None,
        held_meaning=words_of_fault(row.held_code) if held else None,
        resting=tuple(_resting(one) for one in resting if _waits_for(row, one.channel)),
        per_hour=row.per_hour,
        ends_at=ends_at,
        deadline=row.deadline,
        in_time=_in_time(left, ends_at, row.deadline, now, stands=stands),
        needed_per_hour=_needed(left, row.deadline, now),
        unanswered=row.unanswered,
        texts_ended=row.texts_ended,
        texts_filtered=row.texts_filtered,
        filtered_at=row.filtered_at,
        finished=row.finished_at is not None,
    )


def _waits_for(sending: Row[Any], channel: str) -> bool:
    """Whether a provider of this channel that rests keeps this sending waiting. A drill's channels are others."""
    if sending.drill or sending.finished_at is not None:
        return False
    if not sending.channel_order:
        return True  # nothing is cut into batches yet
    order = ChannelOrder.kept(sending.channel_order, sending.channel_rules)
    return channel in {*order.usual, *(name for rule in order.rules for name in rule.order)}


def _resting(row: Row[Any]) -> RestingProvider:
    return RestingProvider(
        channel=row.channel, name=row.name, until=row.rests_until, code=row.code, meaning=words_of_fault(row.code)
    )


def _asleep(connection: Connection, campaign_id: UUID, now: datetime) -> tuple[int, datetime | None]:
    b = delivery_batches.c
    row = connection.execute(
        select(func.coalesce(func.sum(b.recipients - b.settled), 0), func.min(b.due_at)).where(
            b.campaign_id == campaign_id, _READY, b.zone.is_not(None), b.due_at > now
        )
    ).one()
    return int(row[0]), row[1]


def _ends_at(
    now: datetime, left: int, per_hour: float | None, awake_at: datetime | None, held_until: datetime | None
) -> datetime | None:
    if not left:
        return now
    needed = needed_for(left, per_hour)
    if needed is None:
        return None
    begins = max(at for at in (now, awake_at, held_until) if at is not None)
    return begins + needed


def _in_time(
    left: int, ends_at: datetime | None, deadline: datetime | None, now: datetime, *, stands: bool
) -> bool | None:
    if deadline is None:
        return None
    if left and deadline <= now:
        return False
    if ends_at is None:
        return False if stands and left else None
    return ends_at <= deadline


def _needed(left: int, deadline: datetime | None, now: datetime) -> float | None:
    if not left or deadline is None or deadline <= now:
        return None
    return left / ((deadline - now).total_seconds() / 3600)
