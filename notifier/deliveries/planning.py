"""From a started campaign to batches of first attempts, page by page; a kill resumes at the page.

No row is made for a person here. A batch is a range of positions in the audience and a channel: who is in it follows
from the audience, which is frozen, and from the order of channels, which is kept with the sending.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Engine, Row, insert, select, update

from incidents.clock import Clock
from incidents.errors import IllegalTransition
from incidents.record import Aggregate, Follower, Record, Recorded
from incidents.record.database import reading, writing
from notifier.audience import Audiences, Member
from notifier.campaigns.campaign import Campaign
from notifier.campaigns.events import CampaignStarted
from notifier.deliveries.groups import NO_CHANNEL
from notifier.deliveries.hints import BatchHints, BatchRef, NoHints
from notifier.deliveries.tables import delivery_batches, sendings

log = structlog.get_logger(__name__)

BATCH_SIZE = 500
"""Positions of the audience in one batch: enough that a claim costs nothing per person, few enough that a campaign of
thousands spreads over workers."""

BATCHES_PER_PAGE = 8


class Planner:
    """Opens the sending of started campaigns and cuts their audiences into batches."""

    def __init__(
        self,
        engine: Engine,
        record: Record,
        audiences: Audiences,
        clock: Clock,
        *,
        channel_order: Sequence[str] = ("sms", "email"),
        batch_size: int = BATCH_SIZE,
        hints: BatchHints | None = None,
    ) -> None:
        self._engine = engine
        self._record = record
        self._audiences = audiences
        self._clock = clock
        self._order = tuple(channel_order)
        self._batch_size = batch_size
        self._hints = hints or NoHints()

    def open_sending(self, campaign_id: UUID) -> bool:
        """Make the row that sending starts from. Without effect when it is there."""
        campaign = self._record.load(Campaign, campaign_id)
        if campaign.audience_id is None or campaign.started_reference is None:
            raise IllegalTransition(f"Campaign {campaign_id} was not started.")
        with writing(self._engine) as connection:
            known = connection.execute(
                select(sendings.c.campaign_id).where(sendings.c.campaign_id == campaign_id)
            ).first()
            if known is not None:
                return False
            connection.execute(
                insert(sendings).values(
                    campaign_id=campaign_id,
                    incident_id=campaign.incident_id,
                    audience_id=campaign.audience_id,
                    started_reference=campaign.started_reference,
                    started_at=self._clock.now(),
                    drill=campaign.drill,
                    policy=campaign.policy,
                    channel_order=",".join(self._order),
                )
            )
        log.info("campaign.sending", campaign=str(campaign_id), recipients=campaign.recipients, drill=campaign.drill)
        return True

    def plan_page(self) -> int:
        """Plan one page of one campaign that is not fully planned. Returns how many people; 0: all are planned."""
        with reading(self._engine) as connection:
            sending = connection.execute(
                select(sendings)
                .where(sendings.c.planned.is_(False), sendings.c.finished_at.is_(None))
                .order_by(sendings.c.started_at)
                .limit(1)
            ).first()
        if sending is None:
            return 0
        page = self._batch_size * BATCHES_PER_PAGE
        members = self._audiences.members(sending.audience_id, after=sending.planned_to, limit=page)
        # A sending of an earlier version has no order of its own: it gets ours now, before the first batch is cut.
        order = tuple(sending.channel_order.split(",")) if sending.channel_order else self._order
        batches = list(self._cut(sending, members, order))
        with writing(self._engine) as connection:
            claimed = connection.execute(
                update(sendings)
                .where(
                    sendings.c.campaign_id == sending.campaign_id,
                    sendings.c.planned.is_(False),
                    sendings.c.planned_to == sending.planned_to,
                )
                .values(
                    planned=len(members) < page,
                    planned_to=members[-1].position if members else sending.planned_to,
                    batches=sendings.c.batches + len(batches),
                    channel_order=",".join(order),
                    open=sendings.c.open + len(members),
                )
            )
            # Another worker may have planned this page in the meantime: then it is done, and there is more to do.
            if claimed.rowcount == 1 and batches:
                connection.execute(insert(delivery_batches), batches)
        if claimed.rowcount == 1:
            self._hints.publish([BatchRef(sending.campaign_id, batch["number"]) for batch in batches])
        return max(len(members), 1)

    def _cut(self, sending: Row[Any], members: Sequence[Member], order: Sequence[str]) -> Iterator[dict[str, Any]]:
        number, now = sending.batches, self._clock.now()
        for start in range(0, len(members), self._batch_size):
            some = members[start : start + self._batch_size]
            for channel, recipients in sorted(Counter(first_channel(member, order) for member in some).items()):
                number += 1
                yield new_batch(
                    sending.campaign_id, number, channel, some[0].position, some[-1].position, recipients, now
                )


def new_batch(
    campaign_id: UUID, number: int, channel: str, first: int, last: int, recipients: int, now: datetime
) -> dict[str, Any]:
    """The row of a batch that nobody has touched."""
    return {
        "campaign_id": campaign_id,
        "number": number,
        "channel": channel,
        "first": first,
        "last": last,
        "recipients": recipients,
        "state": "ready",
        "due_at": now,
        "wire_to": first - 1,
        "settled": 0,
        "fence": 0,
    }


def channels_of(member: Member, order: Sequence[str]) -> tuple[str, ...]:
    """The person's channels in the order to try them."""
    return tuple(name for name in order if name in member.channels)


def first_channel(member: Member, order: Sequence[str]) -> str:
    """The lane that the person's first attempt goes by."""
    return next((name for name in order if name in member.channels), NO_CHANNEL)


def sending_follower(record: Record, planner: Planner) -> Follower:
    """The follower that opens the sending of every campaign that starts."""

    def handle(recorded: Recorded) -> list[Aggregate]:
        if isinstance(recorded.event, CampaignStarted):
            planner.open_sending(recorded.event.originator_id)
        return []

    return Follower(record, "notifier.sending", handle, kinds=(CampaignStarted.kind,))
