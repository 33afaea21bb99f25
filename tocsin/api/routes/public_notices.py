"""Public notices: drafted, published by a second person's approval, corrected by new versions; or a suggestion that is
dismissed. What is published is at `/p`, for everybody."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import Field

from incidents.errors import NotFound
from incidents.privacy import refuse_contacts
from notifier.public_notice.events import SaidInPublic
from notifier.public_notice.service import NoticesToPublic, PublicNoticeEntry, PublicNoticeView
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS
from tocsin.api.commands import Command, CommandRoute, commands, etag
from tocsin.api.paths import IncidentId
from tocsin.api.responses import CHANGING, READING_ONE
from tocsin.api.scopes import Parts
from tocsin.api.values import Digest, Reason, RequestModel, ResponseModel, Text, Word
from tocsin.services import Services

router = APIRouter(prefix="/v1", tags=["public-notices"], route_class=CommandRoute)

Prepares = Annotated[Command, commands(Permission.PREPARE_NOTICES)]
Approves = Annotated[Command, commands(Permission.APPROVE)]
Decides = Annotated[Command, commands(Permission.DECIDE_DUTIES)]
NoticeId = Annotated[UUID, Path(examples=["3c8f2f0e-6f0b-5a7c-8f51-2f3f6b1c8a77"])]
_VALUES = Field(
    None,
    description="What fills the template, by language where it differs; left out: that of the campaign.",
    max_length=100,
    examples=[{"organisation": {"en": "Lantern Bank", "zh-Hans": "灯笼银行"}, "occurred_on": "2026-11-19"}],
)


class DraftPublicNotice(RequestModel):
    """A public notice to be prepared."""

    campaign: UUID | None = Field(None, description="Whose words it takes, and whose unreached people it is for.")
    suggestion: UUID | None = Field(None, description="The suggestion that it takes up.")
    template: Word | None = Field(None, examples=["personal-data-breach"])
    values: dict[str, Any] | None = _VALUES


class RevisePublicNotice(RequestModel):
    """The values that replace those of the version being prepared."""

    values: dict[str, Any] = Field(max_length=100, examples=[{"organisation": {"en": "Lantern Bank"}}])
    correction: dict[str, Annotated[Text, Field(max_length=600)]] = Field(
        default_factory=dict,
        max_length=20,
        description="What is corrected, by language, for everybody to read; needed once a version is published.",
        examples=[{"en": "The day of the incident was wrong."}],
    )


class Publish(RequestModel):
    """Approval of exactly this text, which publishes it."""

    text_digest: Digest
    override_reason: Reason | None = Field(None, description="Needed when it lacks what the law demands.")


class Refuse(RequestModel):
    """Why not."""

    reason: Reason


class PublicNoticeShown(ResponseModel):
    """A public notice, and what would be published as it stands."""

    notice: PublicNoticeView
    words: dict[str, SaidInPublic]


class PublicNoticesShown(ResponseModel):
    """The public notices of an incident."""

    items: tuple[PublicNoticeEntry, ...]


@router.get(
    "/incidents/{incident}/public-notices",
    summary="Public notices of an incident",
    dependencies=[READS],
    responses=READING_ONE,
)
def of_incident(incident: IncidentId, services: Parts) -> PublicNoticesShown:
    """Those suggested, drafted and published, the one that changed last on top."""
    return PublicNoticesShown(items=_notices(services).of_incident(incident))


@router.post(
    "/incidents/{incident}/public-notices", status_code=201, summary="Draft a public notice", responses=CHANGING
)
def draft(
    command: Prepares, incident: IncidentId, body: DraftPublicNotice, services: Parts, response: Response
) -> PublicNoticeView:
    """Draft one, from a campaign's words or new ones. Nobody can see it before a second person publishes it."""
    if body.campaign is None and body.suggestion is None and (body.template is None or body.values is None):
        raise NotFound("Name a campaign or a suggestion, or give a template and values.", field="template")
    view = _notices(services).draft(
        command.context(services.clock),
        incident_id=incident,
        template=body.template or "",
        values=body.values,
        campaign_id=body.campaign,
        notice_id=body.suggestion,
    )
    response.headers["Location"] = f"/v1/public-notices/{view.notice_id}"
    return _tagged(view, response)


@router.get("/public-notices/{notice}", summary="Read a public notice", dependencies=[READS], responses=READING_ONE)
def read(notice: NoticeId, services: Parts, response: Response) -> PublicNoticeShown:
    """Where it stands, its words as they would be published, and every version that was."""
    notices = _notices(services)
    view = notices.view(notice)
    response.headers["ETag"] = etag(view.version)
    return PublicNoticeShown(notice=view, words=notices.preview(notice))


@router.put("/public-notices/{notice}/text", summary="Revise a public notice", responses=CHANGING)
def revise(
    command: Prepares, notice: NoticeId, body: RevisePublicNotice, services: Parts, response: Response
) -> PublicNoticeView:
    """Replace the words of the version being prepared. What is published stays until the next version is."""
    view = _notices(services).revise(command.context(services.clock), notice, body.values, body.correction)
    return _tagged(view, response)


@router.post("/public-notices/{notice}/approval-request", summary="Ask to publish", responses=CHANGING)
def request_approval(command: Prepares, notice: NoticeId, services: Parts, response: Response) -> PublicNoticeView:
    """Ask a second person to publish exactly this text."""
    return _tagged(_notices(services).request_approval(command.context(services.clock), notice), response)


@router.post("/public-notices/{notice}/publication", summary="Publish", responses=CHANGING)
def publish(
    command: Approves, notice: NoticeId, body: Publish, services: Parts, response: Response
) -> PublicNoticeView:
    """Approve by digest and publish. Whoever wrote it cannot. A version that is published stays for ever."""
    view = _notices(services).publish(
        command.context(services.clock), notice, text_digest=body.text_digest, override_reason=body.override_reason
    )
    return _tagged(view, response)


@router.post("/public-notices/{notice}/rejection", summary="Reject a public notice", responses=CHANGING)
def reject(command: Approves, notice: NoticeId, body: Refuse, services: Parts, response: Response) -> PublicNoticeView:
    """Say no, with a reason the author can work with."""
    refuse_contacts(body.reason, "reason")
    return _tagged(_notices(services).reject(command.context(services.clock), notice, reason=body.reason), response)


@router.post("/public-notices/{notice}/dismissal", summary="Dismiss a suggestion", responses=CHANGING)
def dismiss(command: Decides, notice: NoticeId, body: Refuse, services: Parts, response: Response) -> PublicNoticeView:
    """Decide that a public notice is not needed, although too many people cannot be reached."""
    refuse_contacts(body.reason, "reason")
    return _tagged(_notices(services).dismiss(command.context(services.clock), notice, reason=body.reason), response)


def _notices(services: Services) -> NoticesToPublic:
    if services.notifier.to_public is None:
        raise NotFound("There are no public notices here: no public address is set.")
    return services.notifier.to_public


def _tagged(view: PublicNoticeView, response: Response) -> PublicNoticeView:
    response.headers["ETag"] = etag(view.version)
    return view
