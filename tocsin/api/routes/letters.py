"""Letters by post: batches for those whom nothing else reached, files for a printing house, and what became of them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from incidents.privacy import refuse_contacts
from notifier.letters.desk import LetterBatchView
from notifier.letters.events import Part, Stated
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS
from tocsin.api.commands import Command, CommandRoute, UnkeptRoute, commands
from tocsin.api.paths import CampaignId
from tocsin.api.responses import CHANGING, READING_ONE
from tocsin.api.scopes import Parts
from tocsin.api.values import RequestModel, ResponseModel, Text

router = APIRouter(prefix="/v1", tags=["letters"], route_class=CommandRoute)
files = APIRouter(prefix="/v1", tags=["letters"], route_class=UnkeptRoute)
"""Files with addresses in them: no answer is kept to be given again."""

Prepares = Annotated[Command, commands(Permission.PREPARE_NOTICES)]
SeesPeople = Annotated[Command, commands(Permission.READ_HISTORY)]
After = Annotated[UUID | None, Query(description="The last batch of the page before; none for the first page.")]
BatchId = Annotated[UUID, Path(examples=["5b3c7d1e-8a51-5a3f-9d0e-2f3f6b1c8a77"])]


class LetterBatches(ResponseModel):
    """The batches of a campaign."""

    items: tuple[LetterBatchView, ...] = Field(description="A hundred at most; ask on with `after`.")
    waiting: int = Field(description="People who could be written to and are in no batch.")


class Statement(RequestModel):
    """How far the letters are, by the word of whoever says so."""

    state: Stated
    reference: Annotated[Text, Field(max_length=64)] = Field("", description="Of the printing house or the post.")


@router.get(
    "/campaigns/{campaign}/letter-batches", summary="Letters of a campaign", dependencies=[READS], responses=READING_ONE
)
def of_campaign(campaign: CampaignId, services: Parts, after: After = None) -> LetterBatches:
    """Batches, and how many people could still be put into one."""
    desk = services.notifier.letters
    return LetterBatches(items=desk.of_campaign(campaign, after=after), waiting=desk.waiting(campaign))


@router.post(
    "/campaigns/{campaign}/letter-batches", status_code=201, summary="Make a batch of letters", responses=CHANGING
)
def make(command: Prepares, campaign: CampaignId, services: Parts) -> LetterBatchView:
    """Put together those who could not be reached otherwise and have a postal address, a thousand at most."""
    return services.notifier.letters.make(command.context(services.clock), campaign)


@files.post(
    "/letter-batches/{batch}/export/{part}",
    summary="Get the pages or the addresses",
    response_class=Response,
    responses=CHANGING,
)
def export(command: SeesPeople, batch: BatchId, part: Part, services: Parts) -> Response:
    """A PDF of the letters, or the addresses as CSV. Who got which is on record, with a digest."""
    found = services.notifier.letters.export(command.context(services.clock), batch, part)
    headers = {
        "Content-Disposition": f'attachment; filename="{found.name}"',
        "Cache-Control": "private, no-store",
        "X-Letters": str(found.letters),
        "X-Left-Out": str(found.left_out),
    }
    return Response(found.content, media_type=found.media, headers=headers)


@router.post("/letter-batches/{batch}/statement", summary="Say how far the letters are", responses=CHANGING)
def say(command: Prepares, batch: BatchId, body: Statement, services: Parts) -> LetterBatchView:
    """`printed`, `handed_over` (they count as sent from then on) or `given_up`."""
    refuse_contacts(body.reference, "reference")
    return services.notifier.letters.say(command.context(services.clock), batch, body.state, body.reference)
