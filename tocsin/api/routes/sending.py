"""Sending under control: pause, resume and cancel a campaign, and how far it is against its deadline."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from incidents.errors import IllegalTransition
from incidents.privacy import refuse_contacts
from notifier.campaigns.service import CampaignView
from notifier.deliveries.progress import Progress, progress_of
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS
from tocsin.api.commands import Command, CommandRoute, commands, etag
from tocsin.api.paths import CampaignId
from tocsin.api.responses import CHANGING, READING_ONE, problems
from tocsin.api.scopes import Parts
from tocsin.api.values import Reason, RequestModel

router = APIRouter(prefix="/v1/campaigns", tags=["campaigns"], route_class=CommandRoute)

Approves = Annotated[Command, commands(Permission.APPROVE)]


class Steer(RequestModel):
    """Why."""

    reason: Reason = Field(examples=["The telephone desk is not staffed before nine."])


@router.post("/{campaign}/pause", summary="Pause sending", responses=CHANGING)
def pause(command: Approves, campaign: CampaignId, body: Steer, services: Parts, response: Response) -> CampaignView:
    """Stop writing to anybody new, at once. What is on the wire is settled; nobody is lost or told twice."""
    refuse_contacts(body.reason, "reason")
    view = services.campaigns.pause(command.context(services.clock), campaign, reason=body.reason)
    response.headers["ETag"] = etag(view.version)
    return view


@router.post("/{campaign}/resumption", summary="Resume sending", responses=CHANGING)
def resume(command: Approves, campaign: CampaignId, body: Steer, services: Parts, response: Response) -> CampaignView:
    """Go on with a paused campaign, from where it stood."""
    refuse_contacts(body.reason, "reason")
    view = services.campaigns.resume(command.context(services.clock), campaign, reason=body.reason)
    response.headers["ETag"] = etag(view.version)
    return view


@router.post("/{campaign}/cancellation", summary="Cancel sending", responses=CHANGING)
def cancel(command: Approves, campaign: CampaignId, body: Steer, services: Parts, response: Response) -> CampaignView:
    """Call a campaign off for good. Whoever was not written to by then is counted as `cancelled`; the duties behind it
    stay open."""
    refuse_contacts(body.reason, "reason")
    view = services.campaigns.cancel(command.context(services.clock), campaign, reason=body.reason)
    response.headers["ETag"] = etag(view.version)
    return view


@router.get(
    "/{campaign}/progress",
    summary="How far sending is",
    dependencies=[READS],
    responses={**READING_ONE, **problems("illegal-transition")},
)
def progress(campaign: CampaignId, services: Parts) -> Progress:
    """What is done and left, what it waits for, how fast it goes, and whether that is in time for the law."""
    view = services.campaigns.view(campaign)
    found = progress_of(services.engine, campaign, services.clock.now(), view.recipients)
    if found is None:
        raise IllegalTransition("Sending has not begun: ask for the forecast.", field="campaign_id")
    return found
