"""Codes of notices, for those who are asked about them: what a campaign's code is, and which campaign a code is of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field

from incidents.errors import NotFound
from notifier.public.code import MAX_TYPED
from notifier.public.notices import PublicNotice, PublicNotices
from tocsin.api.authentication import READS
from tocsin.api.commands import CommandRoute
from tocsin.api.paths import CampaignId
from tocsin.api.responses import READING_ONE
from tocsin.api.scopes import Parts
from tocsin.api.values import ResponseModel
from tocsin.services import Services

router = APIRouter(prefix="/v1", tags=["campaigns"], route_class=CommandRoute, dependencies=[READS])

TypedCode = Annotated[
    str,
    Path(
        min_length=1, max_length=MAX_TYPED, description="The code, however it was typed.", examples=["7K3M9QA-4T6V8WX"]
    ),
]


class NoticeCode(ResponseModel):
    """By what anybody can check that a campaign's notices are genuine."""

    campaign_id: UUID
    code: str
    address: str = Field(description="The page of the code. Anybody may open it, without a key.")
    first_sent_at: datetime | None = Field(
        description="Since when the page says that the notice is genuine; null: nothing is sent yet, or it is a drill."
    )
    languages: tuple[str, ...] = Field(description="Languages in which the page shows the notice.")


@router.get("/campaigns/{campaign}/genuine", summary="A campaign's code", responses=READING_ONE)
def code_of(campaign: CampaignId, services: Parts) -> NoticeCode:
    """The code and address in the campaign's notices. Known before the first is sent; the page comes with it."""
    public = _public(services)
    return _shown(campaign, public, public.page_of(campaign))


@router.get("/notices/{code}", summary="Check a code", responses=READING_ONE)
def check(code: TypedCode, services: Parts) -> NoticeCode:
    """Which campaign a code is of that somebody reads out. NotFound: no notice of yours carries it."""
    public = _public(services)
    found = public.find(code)
    if found is None:
        raise NotFound("No notice that was sent has this code. Look whether it was typed right.", field="code")
    return _shown(found.campaign_id, public, found)


def _public(services: Services) -> PublicNotices:
    if services.notifier.public is None:
        raise NotFound("Notices carry no codes here: no public address is set.")
    return services.notifier.public


def _shown(campaign_id: UUID, public: PublicNotices, page: PublicNotice | None) -> NoticeCode:
    check_at = public.check_of(campaign_id)
    return NoticeCode(
        campaign_id=campaign_id,
        code=check_at.code,
        address=check_at.address,
        first_sent_at=page.first_sent_at if page is not None else None,
        languages=tuple(page.words) if page is not None else (),
    )
