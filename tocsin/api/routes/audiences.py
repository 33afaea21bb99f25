"""The audience of a campaign, as a CSV, NDJSON or Parquet file.

It holds contact data, so it stays in memory until the vault has it.
"""

from __future__ import annotations

import hashlib
import io
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from incidents.errors import FieldFault, IllegalTransition
from incidents.record import Context
from notifier.audience import AudienceFormat, RowReport
from notifier.campaigns.campaign import CampaignStatus
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS
from tocsin.api.commands import Command, Remembering, answer_once, commands, etag
from tocsin.api.paths import CampaignId
from tocsin.api.problems import ProblemRaised
from tocsin.api.responses import CHANGING, READING_ONE
from tocsin.api.routes.campaigns import CampaignShown, shown
from tocsin.api.scopes import Door, Parts, door_of
from tocsin.api.values import RequestModel, ResponseModel

ROWS_AT_ONCE = 1000

router = APIRouter(prefix="/v1", tags=["campaigns"])

_CSV = {
    "schema": {"type": "string", "description": "Header: name,phone,email,language,country"},
    "example": "name,phone,email,language,country\nLi Na,+8613800138000,,zh-Hans,CN\n",
}
_FORM = {"schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}}
_NDJSON = {
    "schema": {"type": "string", "description": "One object to a line; the keys are the columns of the CSV."},
    "example": '{"name":"Li Na","phone":"+8613800138000","language":"zh-Hans","country":"CN"}\n',
}
_PARQUET = {"schema": {"type": "string", "format": "binary"}}
_FORMS = {
    "text/csv": AudienceFormat.CSV,
    "application/x-ndjson": AudienceFormat.NDJSON,
    "application/vnd.apache.parquet": AudienceFormat.PARQUET,
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": _CSV,
            "application/x-ndjson": _NDJSON,
            "application/vnd.apache.parquet": _PARQUET,
            "multipart/form-data": _FORM,
        },
    }
}


class ChooseAudience(RequestModel):
    """An audience that was imported on the server, by `tocsin audience import`."""

    audience_id: UUID


class RowReports(ResponseModel):
    """Rows that made no recipient of their own. Ask again with `after_row` until a page is empty."""

    items: tuple[RowReport, ...]


@router.put(
    "/campaigns/{campaign}/audience",
    summary="Give it its audience",
    responses=CHANGING,
    openapi_extra=_BODY,
    response_model=CampaignShown,
)
async def put_audience(
    request: Request,
    command: Annotated[Command, commands(Permission.PREPARE_NOTICES)],
    campaign: CampaignId,
    accept_valid: Annotated[
        bool, Query(description="Take the good rows and list the bad ones. By default one bad row refuses the file.")
    ] = False,
) -> Response:
    """Import a file and attach it. Refused rows are listed with reasons, never with what they hold."""
    door = door_of(request.scope)
    async with door.uploads:
        form, content = await _file(request)
        digest = await run_in_threadpool(lambda: hashlib.sha256(content).digest())
        remembering = Remembering.of_digest(door, command.principal, request, digest)

        async def take(_request: Request) -> Response:
            return await run_in_threadpool(
                _import, door, command.context(door.services.clock), campaign, content, form, accept_valid
            )

        return await answer_once(request, remembering, take)


@router.put("/campaigns/{campaign}/audience-choice", summary="Give it an imported audience", responses=CHANGING)
def choose(
    command: Annotated[Command, commands(Permission.PREPARE_NOTICES)],
    campaign: CampaignId,
    body: ChooseAudience,
    services: Parts,
    response: Response,
) -> CampaignShown:
    """Attach an audience that was imported on the server because its file is too large for HTTP."""
    view = services.campaigns.attach_audience(command.context(services.clock), campaign, body.audience_id)
    response.headers["ETag"] = etag(view.version)
    return shown(services, view, services.audiences.get(body.audience_id))


@router.get(
    "/campaigns/{campaign}/audience/rows",
    summary="Rows left out of its audience",
    dependencies=[READS],
    responses=READING_ONE,
)
def rows_left_out(
    campaign: CampaignId,
    services: Parts,
    after_row: Annotated[int, Query(ge=0, le=2**31 - 2, description="Only rows behind this one.")] = 0,
) -> RowReports:
    """Which rows of the file were rejected or folded into another, and why; never what they held. Whole rows only."""
    view = services.campaigns.view(campaign)
    if view.audience_id is None:
        return RowReports(items=())
    items = list[RowReport]()
    for found in services.audiences.row_reports(view.audience_id, after_row=after_row):
        if len(items) >= ROWS_AT_ONCE and found.row != items[-1].row:
            break
        items.append(found)
    return RowReports(items=tuple(items))


def _import(
    door: Door, context: Context, campaign: UUID, content: bytes, form: AudienceFormat, accept_valid: bool
) -> Response:
    services = door.services
    before = services.campaigns.view(campaign)
    if before.status in {CampaignStatus.STARTED, CampaignStatus.FINISHED}:
        raise IllegalTransition(f"The campaign is {before.status.value}: its audience cannot change any more.")
    audience = services.audiences.import_file(io.BytesIO(content), context, form, accept_valid=accept_valid)
    view = services.campaigns.attach_audience(context, campaign, audience.audience_id)
    answer = shown(services, view, audience)
    return JSONResponse(answer.model_dump(mode="json"), headers={"ETag": etag(view.version)})


async def _file(request: Request) -> tuple[AudienceFormat, bytes]:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media in _FORMS:
        return _FORMS[media], await request.body()
    if media == "multipart/form-data":
        return await _file_of_form(request)
    raise ProblemRaised(
        "unsupported-media-type", f"Send the audience as multipart/form-data, or as {', '.join(_FORMS)}."
    )


async def _file_of_form(request: Request) -> tuple[AudienceFormat, bytes]:
    parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=8)
    # Contact data must not lie about on the disk: the part stays in memory, the body's limit bounds it.
    parser.spool_max_size = 2**40
    try:
        form = await parser.parse()
    except MultiPartException:
        raise _no_file("is not a form that can be read") from None
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise _no_file("is missing; send the file as the form's field “file”")
        named = (file.filename or "").lower().endswith((".ndjson", ".jsonl", ".parquet"))
        form_of_file = AudienceFormat.of_name(file.filename or "") if named else AudienceFormat.CSV
        return form_of_file, await file.read()
    finally:
        await form.close()


def _no_file(reason: str) -> ProblemRaised:
    return ProblemRaised("malformed-request", f"The file {reason}.", errors=[FieldFault("file", reason)])
