"""What people decide about a sending while it goes on, brought from the campaign to its row, where workers see it."""

from __future__ import annotations

import structlog
from sqlalchemy import Engine, update

from incidents.clock import Clock
from incidents.record import Aggregate, Follower, Record, Recorded
from incidents.record.database import writing
from notifier.campaigns.campaign import Campaign, CampaignStatus
from notifier.campaigns.events import CampaignCancelled, CampaignPaused, CampaignResumed, CampaignStarted
from notifier.deliveries.cancelling import Cancelling
from notifier.deliveries.planning import Planner
from notifier.deliveries.tables import sendings

log = structlog.get_logger(__name__)

KINDS = (CampaignStarted.kind, CampaignPaused.kind, CampaignResumed.kind, CampaignCancelled.kind)


class SendingControl:
    """Pauses, resumes and cancels sendings. Any number may apply the same decision, in any order: a row takes only what
    is newer than what it has."""

    def __init__(self, engine: Engine, clock: Clock, cancelling: Cancelling) -> None:
        self._engine = engine
        self._clock = clock
        self._cancelling = cancelling

    def apply(self, campaign: Campaign) -> bool:
        """Bring the row up to the campaign. False: it was, or there is none yet."""
        paused = campaign.status is CampaignStatus.PAUSED
        with writing(self._engine) as connection:
            changed = connection.execute(
                update(sendings)
                .where(sendings.c.campaign_id == campaign.id, sendings.c.control_version < campaign.version)
                .values(control_version=campaign.version, paused_at=self._clock.now() if paused else None)
            )
        if campaign.cancellation_reason is not None:
            self._cancelling.cancel(campaign.id)
        if changed.rowcount:
            log.info("campaign.steered", campaign=str(campaign.id), status=campaign.status.value)
        return bool(changed.rowcount)


def sending_follower(record: Record, planner: Planner, control: SendingControl) -> Follower:
    """The follower that opens the sending of every campaign that starts, and steers it."""

    def handle(recorded: Recorded) -> list[Aggregate]:
        if not isinstance(recorded.event, (CampaignStarted, CampaignPaused, CampaignResumed, CampaignCancelled)):
            return []
        campaign_id = recorded.event.originator_id
        if isinstance(recorded.event, CampaignStarted):
            planner.open_sending(campaign_id)
        else:
            control.apply(record.load(Campaign, campaign_id))
        return []

    return Follower(record, "notifier.sending", handle, kinds=KINDS)
