"""From a started campaign to batches of first attempts, page by page; a kill resumes at the page.

No row is made for a person here. A batch is a range of positions in the audience and a channel: who is in it follows
from the audience, which is frozen, and from the order of channels, which is kept with the sending.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Engine, Row, insert, select, update

from incidents.clock import Clock
from incidents.errors import IllegalTransition
from incidents.record import Record
from incidents.record.database import reading, writing
from notifier.audience import Audiences, Member
from notifier.campaigns.campaign import Campaign
from notifier.deliveries.groups import NO_CHANNEL
from notifier.deliveries.hints import BatchHints, BatchRef, NoHints
from notifier.deliveries.order import ChannelOrder
from notifier.deliveries.partitions import Partitions
from notifier.deliveries.tables import delivery_batches, sendings
from notifier.pacing.quiet import QuietHours

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
        channel_order: ChannelOrder | Sequence[str] = ChannelOrder(),
        batch_size: int = BATCH_SIZE,
        hints: BatchHints | None = None,
        partitions: Partitions | None = None,
        quiet: QuietHours = QuietHours(),
        deadline: Callable[[Campaign], datetime | None] = lambda _campaign: None,
    ) -> None:
        """`deadline` tells by when the law wants everybody of a campaign told."""
        self._engine = engine
        self._record = record
        self._audiences = audiences
        self._clock = clock
        self._partitions = partitions
        self._quiet = quiet
        self._deadline = deadline
        self._order = channel_order if isinstance(channel_order, ChannelOrder) else ChannelOrder.plain(channel_order)
        self._batch_size = batch_size
        self._hints = hints or NoHints()

    def open_sending(self, campaign_id: UUID) -> bool:
        """Make the row that sending starts from. Without effect when it is there."""
        campaign = self._record.load(Campaign, campaign_id)
        if campaign.audience_id is None or campaign.started_reference is None:
            raise IllegalTransition(f"Campaign {campaign_id} was not started.")
        if self._partitions is not None:
            self._partitions.prepare(campaign_id, campaign.recipients)  # before anybody can have a row
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
                    channel_order=self._order.kept_usual,
                    channel_rules=self._order.kept_rules,
                    # A drill disturbs nobody, so it waits for no hour.
                    quiet=None if campaign.drill else ",".join(self._quiet.channels) or None,
                    deadline=self._deadline(campaign),
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
                .order_by(sendings.c.planned_to, sendings.c.started_at)  # a few people do not wait behind millions
                .limit(1)
            ).first()
        if sending is None:
            return 0
        page = self._batch_size * BATCHES_PER_PAGE
        members = self._audiences.members(sending.audience_id, after=sending.planned_to, limit=page)
        # A sending of an earlier version has no order of its own: it gets ours now, before the first batch is cut.
        kept = ChannelOrder.kept(sending.channel_order, sending.channel_rules) if sending.channel_order else None
        order = kept or self._order
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
                    channel_order=order.kept_usual,
                    channel_rules=order.kept_rules,
                    open=sendings.c.open + len(members),
                )
            )
            # Another worker may have planned this page in the meantime: then it is done, and there is more to do.
            if claimed.rowcount == 1 and batches:
                connection.execute(insert(delivery_batches), batches)
        if claimed.rowcount == 1:
            self._hints.publish([BatchRef(sending.campaign_id, batch["number"]) for batch in batches])
        return max(len(members), 1)

    def _cut(self, sending: Row[Any], members: Sequence[Member], order: ChannelOrder) -> Iterator[dict[str, Any]]:
        """Batches of everybody on a page. Where quiet hours are kept, one holds people of one country only, so that
        it can wait for its morning as a whole."""
        number, now = sending.batches, self._clock.now()
        quiet = frozenset((sending.quiet or "").split(","))
        by_zone: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        ways = Ways(order)
        for start in range(0, len(members), self._batch_size):
            some = members[start : start + self._batch_size]
            here: Counter[str] = Counter()
            for member in some:
                channel = ways.lane(member)
                if channel in quiet:
                    by_zone[channel, member.country].append(member.position)
                else:
                    here[channel] += 1
            for channel, recipients in sorted(here.items()):
                number += 1
                yield new_batch(
                    sending.campaign_id, number, channel, some[0].position, some[-1].position, recipients, now
                )
        for (channel, country), positions in sorted(by_zone.items()):
            for start in range(0, len(positions), self._batch_size):
                few = positions[start : start + self._batch_size]
                number += 1
                batch = new_batch(sending.campaign_id, number, channel, few[0], few[-1], len(few), now)
                yield batch | {"zone": country}


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
        "zone": None,
    }


class Ways:
    """By which channels people are told, under one order. There are few kinds of people among millions, so each kind is
    looked at once."""

    def __init__(self, order: ChannelOrder) -> None:
        self._order = order
        self._known: dict[tuple[Any, ...], tuple[str, ...]] = {}

    def of(self, member: Member) -> tuple[str, ...]:
        """The person's channels in the order to try them."""
        kind = member[2:]  # all but who it is
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = self._order.channels(member.language, member.country, member.channels)
        return found

    def lane(self, member: Member) -> str:
        """The lane that the person's first attempt goes by."""
        found = self.of(member)
        return found[0] if found else NO_CHANNEL
