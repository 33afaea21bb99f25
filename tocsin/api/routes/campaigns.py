"""Campaigns: a notice drafted, given an audience, approved by a second person, and how far it has come."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import Field

from incidents.errors import NotFound
from incidents.privacy import refuse_contacts
from notifier.audience import Audience
from notifier.campaigns.forecast import Forecast
from notifier.campaigns.service import CampaignView, Preview
from notifier.templates import RenderedEmail, RenderedSms
from projections.coverage.coverage import CampaignCoverage, campaign_coverage
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS
from tocsin.api.commands import Command, CommandRoute, commands, etag
from tocsin.api.paths import CampaignId, IncidentId
from tocsin.api.responses import CHANGING, READING_ONE, problems
from tocsin.api.scopes import Parts
from tocsin.api.values import Digest, Reason, RequestModel, ResponseModel, Word
from tocsin.services import Services

router = APIRouter(prefix="/v1", tags=["campaigns"], route_class=CommandRoute)

Prepares = Annotated[Command, commands(Permission.PREPARE_NOTICES)]
Approves = Annotated[Command, commands(Permission.APPROVE)]

Language = Annotated[str, Query(min_length=2, max_length=20, pattern=r"^[A-Za-z-]+$", examples=["zh-Hans"])]

_VALUES = Field(
    description="What fills the template for everybody, by language where it differs.",
    max_length=100,
    examples=[{"organisation": {"en": "Lantern Bank", "zh-Hans": "灯笼银行"}, "occurred_on": "2026-11-19"}],
)


class DraftCampaign(RequestModel):
    """A notice to be prepared."""

    template: Word = Field(examples=["personal-data-breach"])
    values: dict[str, Any] = _VALUES
    duties: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] | None = Field(
        None,
        max_length=100,
        description="The duties it is to fulfil, which say what it must hold; by default all due to individuals.",
    )


class ReviseText(RequestModel):
    """The values that replace those of the draft."""

    values: dict[str, Any] = _VALUES


class Approve(RequestModel):
    """Approval of exactly this text and this audience."""

    text_digest: Digest
    audience_digest: Digest
    override_reason: Reason | None = Field(None, description="Needed when the notice lacks what the law demands.")


class Reject(RequestModel):
    """Why not."""

    reason: Reason


class OverrideSuppression(RequestModel):
    """Why whoever opted out or complained is written to all the same."""

    reason: Reason


class PreviewShown(ResponseModel):
    """The notice as an invented person would get it."""

    language: str
    sms: RenderedSms | None
    email: RenderedEmail | None


class CampaignShown(ResponseModel):
    """A campaign, and the audience it was given (numbers only)."""

    campaign: CampaignView
    audience: Audience | None
    counsel: tuple[str, ...] = Field(
        description="Duties behind the notice whose rule is of low confidence: verify with counsel before you approve."
    )


def shown(services: Services, view: CampaignView, audience: Audience | None) -> CampaignShown:
    """A campaign as an answer."""
    register = services.duties.register(view.incident_id)
    behind = [state for name in view.duties if (state := register.duties.get(name)) is not None]
    unsure = tuple(state.duty.duty_id for state in behind if state.duty.confidence == "low")
    return CampaignShown(campaign=view, audience=audience, counsel=unsure)


@router.post("/incidents/{incident}/campaigns", status_code=201, summary="Draft a notice", responses=CHANGING)
def draft(
    command: Prepares, incident: IncidentId, body: DraftCampaign, services: Parts, response: Response
) -> CampaignView:
    """Draft a campaign for an incident. Values may still be incomplete, but not malformed."""
    duties, items = _demanded(services, incident, body.duties)
    view = services.campaigns.draft(
        command.context(services.clock),
        incident_id=incident,
        template=body.template,
        values=body.values,
        required_items=items,
        duties=duties,
        policy=services.settings.delivery_policy,
    )
    response.headers["Location"] = f"/v1/campaigns/{view.campaign_id}"
    return _tagged(view, response)


@router.get("/campaigns/{campaign}", summary="Read a campaign", dependencies=[READS], responses=READING_ONE)
def read(campaign: CampaignId, services: Parts, response: Response) -> CampaignShown:
    """The campaign as the record has it: text, audience in numbers, approval, digests."""
    view = services.campaigns.view(campaign)
    response.headers["ETag"] = etag(view.version)
    audience = services.audiences.find(view.audience_id) if view.audience_id else None
    return shown(services, view, audience)


@router.put("/campaigns/{campaign}/text", summary="Revise the text", responses=CHANGING)
def revise(
    command: Prepares, campaign: CampaignId, body: ReviseText, services: Parts, response: Response
) -> CampaignView:
    """Replace the values. An approval asked for or given before is void."""
    view = services.campaigns.revise_text(command.context(services.clock), campaign, body.values)
    return _tagged(view, response)


@router.get("/campaigns/{campaign}/preview", summary="See the notice", dependencies=[READS], responses=READING_ONE)
def preview(
    campaign: CampaignId,
    services: Parts,
    language: Language = "en",
    channel: Literal["sms", "email"] | None = None,
) -> PreviewShown:
    """The notice in one language, to an invented person; never to a real one."""
    found: Preview = services.campaigns.preview(campaign, language)
    return PreviewShown(
        language=found.language,
        sms=found.sms if channel != "email" else None,
        email=found.email if channel != "sms" else None,
    )


@router.get(
    "/campaigns/{campaign}/forecast",
    summary="What sending will take",
    dependencies=[READS],
    responses={**READING_ONE, **problems("illegal-transition")},
)
def read_forecast(campaign: CampaignId, services: Parts) -> Forecast:
    """Segments by language, cost by country and time, from the text and the audience as they stand; and whether that is
    in time for the law, or what would make it so."""
    return services.campaigns.forecast(campaign, services.clock.now())


@router.post("/campaigns/{campaign}/approval-request", summary="Ask for approval", responses=CHANGING)
def request_approval(command: Prepares, campaign: CampaignId, services: Parts, response: Response) -> CampaignView:
    """Ask a second person to approve exactly this text and this audience."""
    return _tagged(services.campaigns.request_approval(command.context(services.clock), campaign), response)


@router.post("/campaigns/{campaign}/approval", summary="Approve", responses=CHANGING)
def approve(
    command: Approves, campaign: CampaignId, body: Approve, services: Parts, response: Response
) -> CampaignView:
    """Approve by digest. Whoever wrote it cannot; what lacks an item its law demands needs a reason."""
    if body.override_reason is not None:
        refuse_contacts(body.override_reason, "override_reason")
    view = services.campaigns.approve(
        command.context(services.clock),
        campaign,
        text_digest=body.text_digest,
        audience_digest=body.audience_digest,
        override_reason=body.override_reason,
    )
    return _tagged(view, response)


@router.post("/campaigns/{campaign}/rejection", summary="Reject", responses=CHANGING)
def reject(command: Approves, campaign: CampaignId, body: Reject, services: Parts, response: Response) -> CampaignView:
    """Say no, with a reason the author can work with. An approval can be taken back until the start."""
    refuse_contacts(body.reason, "reason")
    return _tagged(services.campaigns.reject(command.context(services.clock), campaign, reason=body.reason), response)


@router.post("/campaigns/{campaign}/suppression-override", summary="Override suppressions", responses=CHANGING)
def override_suppression(
    command: Approves, campaign: CampaignId, body: OverrideSuppression, services: Parts, response: Response
) -> CampaignView:
    """Let a notice that the law demands go to those too who opted out or complained. Addresses that do not exist stay
    left out. Only before it starts."""
    view = services.campaigns.override_suppression(command.context(services.clock), campaign, reason=body.reason)
    return _tagged(view, response)


@router.get("/campaigns/{campaign}/coverage", summary="Who is reached", dependencies=[READS], responses=READING_ONE)
def coverage(campaign: CampaignId, services: Parts) -> CampaignCoverage:
    """How many recipients were reached, are in flight, failed, or cannot be told."""
    return campaign_coverage(services.engine, campaign)


def _demanded(
    services: Services, incident: UUID, named: tuple[str, ...] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The duties a notice is to fulfil, and the items they demand of it."""
    register = services.duties.register(incident)
    if named is None:
        told = register.open_duties(recipient_kinds=("individuals",))
        states = {name: state for name, state in told.items() if state.duty.status == "due"}
    else:
        missing = [name for name in named if name not in register.duties]
        if missing:
            raise NotFound(f"{len(missing)} of these duties are not on record for this incident.", field="duties")
        states = {name: register.duties[name] for name in named}
    items = {item for state in states.values() for item in state.duty.contents}
    return tuple(sorted(states)), tuple(sorted(items))


def _tagged(view: CampaignView, response: Response) -> CampaignView:
    response.headers["ETag"] = etag(view.version)
    return view
