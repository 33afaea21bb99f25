"""People affected: erased when they ask. Nothing of theirs can be read over HTTP."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response

from tocsin.access.roles import Permission
from tocsin.api.commands import Command, CommandRoute, commands
from tocsin.api.responses import CHANGING
from tocsin.api.scopes import Parts

router = APIRouter(prefix="/v1", tags=["recipients"], route_class=CommandRoute)

Erases = Annotated[Command, commands(Permission.ERASE_PEOPLE)]
RecipientId = Annotated[UUID, Path(examples=["0b7f6c1e-8a51-4a3f-9d0e-2f3f6b1c8a77"])]


@router.delete("/recipients/{recipient}", status_code=204, summary="Erase a person", responses=CHANGING)
def erase(command: Erases, recipient: RecipientId, services: Parts) -> Response:
    """Erase a person's contact for good; what is still to be sent to them is not sent. Twice changes nothing more."""
    services.vault.erase(recipient)
    return Response(status_code=204)
