"""API keys: made, listed and revoked by admins."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from incidents.errors import IllegalTransition
from tocsin.access.keys import KeyInfo
from tocsin.access.roles import Permission, Role, permissions_of
from tocsin.api.authentication import Caller, needs
from tocsin.api.commands import Command, CommandRoute, commands
from tocsin.api.responses import CHANGING, CREATING, READING
from tocsin.api.scopes import Parts
from tocsin.api.values import RequestModel, ResponseModel, ZonedTime

router = APIRouter(prefix="/v1", tags=["keys"], route_class=CommandRoute)

Manages = Annotated[Command, commands(Permission.MANAGE_KEYS)]
KeyId = Annotated[str, Path(pattern=r"^[0-9a-f]{10}$", examples=["3f9c2a71be"])]


class CreateKey(RequestModel):
    """A new key."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", examples=["lan"])
    roles: tuple[Role, ...] = Field(min_length=1, max_length=len(Role))
    expires_at: ZonedTime | None = None


class KeyShown(ResponseModel):
    """What may be shown of a key."""

    key_id: str
    name: str
    roles: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, info: KeyInfo) -> KeyShown:
        """From what the store knows."""
        return cls(
            key_id=info.key_id,
            name=info.name,
            roles=info.roles,
            created_at=info.created_at,
            created_by=info.created_by,
            expires_at=info.expires_at,
            revoked_at=info.revoked_at,
        )


class KeyCreated(ResponseModel):
    """The new key, shown this once; a repeat of the command gets null and a hint."""

    info: KeyShown
    key: str | None
    hint: str | None = None
    """What to do when the answer with the key did not arrive."""


class Keys(ResponseModel):
    """All keys."""

    items: tuple[KeyShown, ...]


class WhoAmI(ResponseModel):
    """The caller, as its key says."""

    key_id: str
    name: str
    actor: str
    roles: tuple[str, ...]
    permissions: tuple[str, ...]


@router.get("/whoami", summary="Who am I", tags=["keys"], responses=READING)
def whoami(principal: Caller) -> WhoAmI:
    """Name, roles and permissions of the key that asks."""
    return WhoAmI(
        key_id=principal.key_id,
        name=principal.name,
        actor=principal.actor,
        roles=tuple(sorted(principal.roles)),
        permissions=tuple(sorted(permissions_of(principal.roles))),
    )


@router.post("/keys", status_code=201, summary="Make a key", responses=CREATING)
def create(command: Manages, body: CreateKey, request: Request, services: Parts) -> KeyCreated:
    """Make a key. The answer holds it this once; only its digest is stored. A repeat is told which key it made."""
    info, key = services.keys.create_once(
        command.command_id, body.name, body.roles, created_by=command.principal.actor, expires_at=body.expires_at
    )
    repeated = KeyCreated(info=KeyShown.of(info), key=None, hint=_hint(info))
    # The remembered answer must not hold the secret.
    request.state.keep_as = repeated.model_dump_json()
    return repeated if key is None else KeyCreated(info=repeated.info, key=key)


def _hint(info: KeyInfo) -> str:
    return (
        "The key was shown once, in the first answer to this command, and is stored nowhere. If that answer was lost, "
        f"revoke this one (DELETE /v1/keys/{info.key_id}) and make another under a new name and Idempotency-Key."
    )


@router.get("/keys", summary="List keys", dependencies=[needs(Permission.MANAGE_KEYS)], responses=READING)
def list_keys(services: Parts) -> Keys:
    """All keys, revoked and expired ones too; never their secrets."""
    return Keys(items=tuple(KeyShown.of(info) for info in services.keys.list()))


@router.delete("/keys/{key_id}", status_code=204, summary="Revoke a key", responses=CHANGING)
def revoke(command: Manages, key_id: KeyId, services: Parts) -> Response:
    """Revoke a key at once. A second time changes nothing."""
    if key_id == command.principal.key_id:
        raise IllegalTransition("This is the key you are using. Revoke it with another admin's key.")
    services.keys.revoke(key_id)
    return Response(status_code=204)
