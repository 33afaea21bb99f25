"""What became of a person, for whoever may know. Every look is on record; an address comes in and never goes out."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from fastapi.responses import StreamingResponse
from pydantic import Field, model_validator

from projections.coverage.history import PersonHistory
from tocsin.access.roles import Permission
from tocsin.api.commands import Command, UnkeptRoute, commands
from tocsin.api.responses import CHANGING, CREATING
from tocsin.api.scopes import Parts
from tocsin.api.values import Reason, RequestModel, ResponseModel

router = APIRouter(prefix="/v1", tags=["history"], route_class=UnkeptRoute)

Looks = Annotated[Command, commands(Permission.READ_HISTORY)]
CampaignId = Annotated[UUID, Path(examples=["0b7f6c1e-8a51-4a3f-9d0e-2f3f6b1c8a77"])]
MEDIA = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


class SearchPerson(RequestModel):
    """What is known of the person, and why it is asked. Exactly one of the first three."""

    address: Annotated[str, Field(min_length=3, max_length=320)] | None = Field(
        None, description="An email address or a telephone number as +<country code><number>. It is not kept."
    )
    reference: Annotated[str, Field(min_length=5, max_length=40)] | None = Field(
        None, description="The reference printed in their notice."
    )
    recipient: UUID | None = Field(None, description="The random id of the recipient.")
    reason: Reason = Field(description="Who asked, and what for. Stays on record; no names, no addresses.")

    @model_validator(mode="after")
    def _one(self) -> SearchPerson:
        if sum(value is not None for value in (self.address, self.reference, self.recipient)) != 1:
            raise ValueError("give exactly one of address, reference and recipient")
        return self


class ExportHistory(RequestModel):
    """What file, and why it is asked for. (Not in the address, where others would log the reason.)"""

    reason: Reason = Field(description="Who asked, and what for. Stays on record; no names, no addresses.")
    format: Literal["ndjson", "csv"] = Field("ndjson", description="A line for each recipient, or for each delivery.")


class HistoriesShown(ResponseModel):
    """What became of the person, campaign by campaign, the newest first; empty: nobody of that kind is known."""

    items: tuple[PersonHistory, ...]
    unsearched: tuple[UUID, ...] = Field(
        (),
        description="Audiences that were imported before contacts were marked, so no address is found in them. Ask by "
        "the reference in the notice. A thousand at most.",
    )


@router.post("/history/search", summary="What became of a person", responses=CREATING)
def search(command: Looks, body: SearchPerson, services: Parts) -> HistoriesShown:
    """Every campaign the person was in, with each attempt and where the record has it. That you looked is recorded."""
    by: Literal["address", "reference", "recipient"] = (
        "address" if body.address else "reference" if body.reference else "recipient"
    )
    value = str(body.address or body.reference or body.recipient)
    context = command.context(services.clock)
    found = services.history.search(context, by=by, value=value, reason=body.reason)
    return HistoriesShown(items=found, unsearched=services.history.unsearched(by))


@router.post(
    "/campaigns/{campaign}/history-file",
    summary="What became of everybody, as a file",
    response_class=StreamingResponse,
    responses={**CHANGING, 200: {"content": {MEDIA["ndjson"]: {}, "text/csv": {}}}},
)
def export(command: Looks, campaign: CampaignId, body: ExportHistory, services: Parts) -> StreamingResponse:
    """A line for each recipient, by random id, as long as it takes. That it was asked for goes on record before the
    first line, the root over its lines after the last."""
    pieces = services.history.export(command.context(services.clock), campaign, body.format, body.reason)
    name = f'attachment; filename="campaign-{campaign}.{body.format}"'
    return StreamingResponse(pieces, media_type=MEDIA[body.format], headers={"Content-Disposition": name})
