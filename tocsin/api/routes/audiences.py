"""The audience of a campaign, as a CSV file. It holds contact data, so it stays in memory until the vault has it."""

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
from notifier.campaigns.campaign import CampaignStatus
from tocsin.access.roles import Permission
from tocsin.api.commands import Command, Remembering, answer_once, commands, etag
from tocsin.api.paths import CampaignId
from tocsin.api.problems import ProblemRaised
from tocsin.api.responses import CHANGING
from tocsin.api.routes.campaigns import CampaignShown, shown
from tocsin.api.scopes import Door, door_of

router = APIRouter(prefix="/v1", tags=["campaigns"])

_CSV = {
    "schema": {"type": "string", "description": "Header: name,phone,email,language,country"},
    "example": "name,phone,email,language,country\nLi Na,+8613800138000,,zh-Hans,CN\n",
}
_FORM = {"schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}}
_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"text/csv": _CSV, "multipart/form-data": _FORM}}}


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
    """Import a CSV file and attach it. Refused rows are listed with reasons, never with what they hold."""
    door = door_of(request.scope)
    async with door.uploads:
        content = await _csv(request)
        digest = await run_in_threadpool(lambda: hashlib.sha256(content).digest())
        remembering = Remembering.of_digest(door, command.principal, request, digest)

        async def take(_request: Request) -> Response:
            return await run_in_threadpool(
                _import, door, command.context(door.services.clock), campaign, content, accept_valid
            )

        return await answer_once(request, remembering, take)


def _import(door: Door, context: Context, campaign: UUID, content: bytes, accept_valid: bool) -> Response:
    services = door.services
    before = services.campaigns.view(campaign)
    if before.status in {CampaignStatus.STARTED, CampaignStatus.FINISHED}:
        raise IllegalTransition(f"The campaign is {before.status.value}: its audience cannot change any more.")
    audience = services.audiences.import_csv(io.BytesIO(content), context, accept_valid=accept_valid)
    view = services.campaigns.attach_audience(context, campaign, audience.audience_id)
    answer = shown(services, view, audience)
    return JSONResponse(answer.model_dump(mode="json"), headers={"ETag": etag(view.version)})


async def _csv(request: Request) -> bytes:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == "text/csv":
        return await request.body()
    if media == "multipart/form-data":
        return await _file_of_form(request)
    raise ProblemRaised("unsupported-media-type", "Send the audience as text/csv or multipart/form-data.")


async def _file_of_form(request: Request) -> bytes:
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
            raise _no_file("is missing; send the CSV as the form's field “file”")
        return await file.read()
    finally:
        await form.close()


def _no_file(reason: str) -> ProblemRaised:
    return ProblemRaised("malformed-request", f"The file {reason}.", errors=[FieldFault("file", reason)])
