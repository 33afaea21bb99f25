"""Which single deliveries are worked on next: some of every campaign, so that a few people do not wait behind millions.

Each campaign is asked by one probe of the index of what is open. The smallest comes first and takes no more than its
share; what it leaves goes to the larger ones.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, and_, exists, or_, select, text

from notifier.deliveries.states import Phase
from notifier.deliveries.tables import campaign_recipients, deliveries, sendings

OPEN = text("deliveries.phase <> 'done'")
"""Spelled as in the index of what is not done, so that the index serves it."""
STILL_OPEN = timedelta(days=7)
"""So long after its end a campaign may have a delivery that is asked for: another one of a person who was told."""
_PHASES = (Phase.READY.value, Phase.CHECKING.value, Phase.WAITING.value)


def stops_new() -> Any:
    """Whether nobody new is written to: the campaign is paused or cancelled. What is on its way is settled."""
    return or_(sendings.c.paused_at.is_not(None), sendings.c.cancelled_at.is_not(None))


def _due(now: datetime) -> Any:
    table = deliveries.c
    return and_(
        table.campaign_id == sendings.c.campaign_id,
        OPEN,
        table.phase.in_(_PHASES),
        table.due_at <= now,
        or_(table.lease_until.is_(None), table.lease_until < now),
        or_(table.phase != Phase.READY.value, ~stops_new()),
    )


def due_campaigns(connection: Connection, now: datetime) -> list[UUID]:
    """Campaigns with something to do, that with the fewest people left first."""
    found = connection.execute(
        select(sendings.c.campaign_id)
        .where(
            or_(sendings.c.finished_at.is_(None), sendings.c.finished_at > now - STILL_OPEN),
            or_(sendings.c.held_until.is_(None), sendings.c.held_until <= now),
            exists().where(_due(now)),
        )
        .order_by(sendings.c.open, sendings.c.campaign_id)
    )
    return list(found.scalars())


def due_rows(connection: Connection, campaigns: list[UUID], now: datetime, limit: int) -> list[Row[Any]]:
    """Up to so many deliveries that are due, locked; of each campaign the oldest."""
    rows: list[Row[Any]] = []
    for place, campaign_id in enumerate(campaigns):
        share = max((limit - len(rows)) // (len(campaigns) - place), 1)
        rows += connection.execute(
            select(
                deliveries,
                campaign_recipients.c.language,
                campaign_recipients.c.reference,
                sendings.c.drill,
                sendings.c.policy,
                sendings.c.deadline,
            )
            .join(sendings, sendings.c.campaign_id == deliveries.c.campaign_id)
            .join(
                campaign_recipients,
                (campaign_recipients.c.campaign_id == deliveries.c.campaign_id)
                & (campaign_recipients.c.recipient_id == deliveries.c.recipient_id),
            )
            .where(deliveries.c.campaign_id == campaign_id, _due(now))
            .order_by(deliveries.c.due_at)
            .limit(share)
            .with_for_update(of=deliveries, skip_locked=True)
        ).all()
        if len(rows) >= limit:
            break
    return rows
