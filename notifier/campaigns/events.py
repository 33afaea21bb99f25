"""What is recorded of a campaign, and of its deliveries.

Recipients appear by random ids only; who they are is in the vault. Deliveries are recorded in batches: one event
holds many, so that a campaign of millions stays readable.
"""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from incidents.record.event import Event, Instant, Model

DeliveryPolicy = Literal["at_least_once", "at_most_once"]


class CampaignDrafted(Event, kind="campaign.drafted"):
    """A notice was prepared for an incident. Texts are in it by language and channel; they name no recipient."""

    incident_id: UUID
    run_id: UUID | None = None
    step: str | None = None
    template: str
    template_version: str
    values: dict[str, Any]
    """What fills the template for everybody (dates, kinds of data, contact point), by language where it differs."""
    duties: tuple[str, ...] = ()
    drill: bool = False
    required_items: tuple[str, ...] = ()
    """Content items that the law behind the duties demands of the notice."""
    policy: DeliveryPolicy = "at_least_once"
    """What to do where the provider itself cannot tell whether a message went out: tell again, or not."""


class CampaignTextRevised(Event, kind="campaign.text-revised"):
    """The draft's words changed; an approval given before is void."""

    incident_id: UUID
    values: dict[str, Any]


class AudienceAttached(Event, kind="campaign.audience-attached"):
    """An imported audience was chosen for the campaign."""

    incident_id: UUID
    audience_id: UUID
    recipients: int
    by_language: dict[str, int]
    by_channel: dict[str, int]
    """How many have each channel (a person may have several)."""
    audience_digest: str


class ApprovalRequested(Event, kind="campaign.approval-requested"):
    """The author asks a second person. Digests name exactly this text and this audience."""

    incident_id: UUID
    text_digest: str
    audience_digest: str
    required_items: tuple[str, ...] = ()
    """What the law demands of it by now; facts may have brought more since the draft."""
    duties: tuple[str, ...] = ()
    """The duties it is sent for by now."""


class CampaignApproved(Event, kind="campaign.approved"):
    """A second person approved exactly these digests."""

    incident_id: UUID
    text_digest: str
    audience_digest: str
    missing_items: tuple[str, ...] = ()
    override_reason: str | None = None
    required_items: tuple[str, ...] = ()
    duties: tuple[str, ...] = ()


class CampaignRejected(Event, kind="campaign.rejected"):
    """The second person said no."""

    incident_id: UUID
    reason: str


class CampaignStarted(Event, kind="campaign.started"):
    """Sending began."""

    incident_id: UUID
    recipients: int


class CampaignPaused(Event, kind="campaign.paused"):
    """A person stopped the sending. What was on the wire is entered; nobody else is written to until it is resumed."""

    incident_id: UUID
    reason: str


class CampaignResumed(Event, kind="campaign.resumed"):
    """A person let a paused sending go on from where it stood."""

    incident_id: UUID
    reason: str


class CampaignCancelled(Event, kind="campaign.cancelled"):
    """A person called the sending off for good. Whoever was not written to by then is not written to any more."""

    incident_id: UUID
    reason: str


class SuppressionOverridden(Event, kind="campaign.suppression-overridden"):
    """A person decided that this notice, which the law demands, goes to those too who opted out or complained.
    Addresses that do not exist stay left out."""

    incident_id: UUID
    reason: str


class CampaignFinished(Event, kind="campaign.finished"):
    """Nobody is left to try: each recipient has an outcome (`reached`, `accepted`, `failed`, `ambiguous`,
    `suppressed`, `cancelled`), so that together they are all who were planned."""

    incident_id: UUID
    outcomes: dict[str, int]


TAKEN_BACK = "other-delivery"
"""Code of a move that takes back what was believed of a delivery: the message found for it is another one's."""


class DeliveryMove(Model):
    """One delivery's step to a new state."""

    recipient: UUID
    delivery: UUID
    channel: str
    """`sms` or `email`."""
    state: str
    """`claimed`, `accepted`, `sent`, `delivered`, `failed`, `undelivered`, `rejected`, `suppressed`, `cancelled`,
    `ambiguous` or `read` (the person said so on the notice page)."""
    at: Instant
    provider_id: str | None = None
    code: str | None = None
    language: str | None = None
    """Language tag (BCP 47) of the notice that was sent; coverage by language is counted from it."""


class DeliveriesRecorded(Event, kind="delivery.recorded"):
    """Moves of many deliveries, in order. `up_to` is the outbox row that the last one came from."""

    incident_id: UUID
    campaign_id: UUID
    up_to: int
    moves: tuple[DeliveryMove, ...]


class DeliveriesCancelled(Event, kind="delivery.cancelled"):
    """Nobody tries these any more, because the campaign was cancelled. `up_to` as in `delivery.recorded`, of whose
    stream it is a part."""

    incident_id: UUID
    campaign_id: UUID
    up_to: int
    untried: dict[str, int] = Field(default_factory=dict)
    """How many people nobody had tried yet, by the channel of their first attempt. Who they are follows from the
    audience: all who have no move on record."""
    moves: tuple[DeliveryMove, ...] = ()
    """Attempts that were still to be made, each with the state `cancelled`."""


EVENTS: tuple[type[Event], ...] = (
    CampaignDrafted,
    CampaignTextRevised,
    AudienceAttached,
    ApprovalRequested,
    CampaignApproved,
    CampaignRejected,
    CampaignStarted,
    CampaignPaused,
    CampaignResumed,
    CampaignCancelled,
    SuppressionOverridden,
    CampaignFinished,
    DeliveriesRecorded,
    DeliveriesCancelled,
)
