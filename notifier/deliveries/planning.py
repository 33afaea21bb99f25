"""From a started campaign to one row per person and one attempt each, page by page; a kill resumes at the page."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, insert, select, update

from incidents.clock import Clock
from incidents.errors import IllegalTransition
from incidents.record import Aggregate, Follower, Record, Recorded
from incidents.record.database import reading, writing
from notifier.audience import Audiences, Member
from notifier.campaigns.campaign import Campaign
from notifier.campaigns.events import CampaignStarted
from notifier.deliveries.moves import new_delivery
from notifier.deliveries.references import reference_code
from notifier.deliveries.tables import campaign_recipients, deliveries, sendings

log = structlog.get_logger(__name__)

PAGE = 500


class Planner:
    """Opens the sending of started campaigns and plans their recipients."""

    def __init__(
        self,
        engine: Engine,
        record: Record,
        audiences: Audiences,
        clock: Clock,
        *,
        reference_key: bytes,
        channel_order: Sequence[str] = ("sms", "email"),
    ) -> None:
        self._engine = engine
        self._record = record
        self._audiences = audiences
        self._clock = clock
        self._reference_key = reference_key
        self._order = tuple(channel_order)

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
        members = self._audiences.members(sending.audience_id, after=sending.planned_to, limit=PAGE)
        with writing(self._engine) as connection:
            claimed = connection.execute(
                update(sendings)
                .where(
                    sendings.c.campaign_id == sending.campaign_id,
                    sendings.c.planned.is_(False),
                    sendings.c.planned_to == sending.planned_to,
                )
                .values(
                    planned=len(members) < PAGE,
                    planned_to=members[-1].position if members else sending.planned_to,
                    open=sendings.c.open + len(members),
                )
            )
            # Another worker may have planned this page in the meantime: then it is done, and there is more to do.
            if claimed.rowcount == 1 and members:
                self._insert(connection, sending.campaign_id, members)
        return max(len(members), 1)

    def _insert(self, connection: Connection, campaign_id: UUID, members: Sequence[Member]) -> None:
        now = self._clock.now()
        people, attempts = [], []
        for member in members:
            channels = [name for name in self._order if name in member.channels]
            people.append(
                {
                    "campaign_id": campaign_id,
                    "recipient_id": member.recipient_id,
                    "position": member.position,
                    "language": member.language,
                    "channels": ",".join(channels),
                    # Stored, never made again: it stays what was printed, whatever becomes of the key.
                    "reference": reference_code(self._reference_key, campaign_id, member.recipient_id),
                    "outcome": "open",
                }
            )
            attempts.append(new_delivery(campaign_id, member.recipient_id, channels[0], 0, now))
        connection.execute(insert(campaign_recipients), people)
        connection.execute(insert(deliveries), attempts)


def sending_follower(record: Record, planner: Planner) -> Follower:
    """The follower that opens the sending of every campaign that starts."""

    def handle(recorded: Recorded) -> list[Aggregate]:
        if isinstance(recorded.event, CampaignStarted):
            planner.open_sending(recorded.event.originator_id)
        return []

    return Follower(record, "notifier.sending", handle, kinds=(CampaignStarted.kind,))
