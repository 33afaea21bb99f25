"""Who calls: an API key in `Authorization: Bearer`, and whether its roles allow the route."""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from incidents.errors import Forbidden, NotAuthenticated
from tocsin.access.keys import Principal
from tocsin.access.roles import PERMISSIONS, Permission
from tocsin.api.problems import ProblemRaised
from tocsin.api.scopes import client_of, door_of

log = structlog.get_logger(__name__)

MAX_CREDENTIALS = 256

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="An API key, `tocsin_<id>_<secret>`. Roles: admin, analyst, approver, auditor, privacy, siem.",
)


async def caller(
    request: Request, _credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
) -> Principal:
    """Dependency: the principal of the request's key, whatever it may do."""
    return await authenticated(request)


Caller = Annotated[Principal, Depends(caller)]


class Requires:
    """Dependency: the caller's principal, if its roles carry a permission. NotAuthenticated or Forbidden otherwise."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, principal: Caller) -> Principal:
        refuse_unless(principal, self.permission)
        return principal


def needs(permission: Permission) -> Any:
    """For `Annotated[Principal, needs(...)]`, or in a route's `dependencies`."""
    return Depends(Requires(permission))


READS = needs(Permission.READ)
"""What every reading route needs."""


def refuse_unless(principal: Principal, permission: Permission) -> None:
    """Forbidden unless the principal's roles carry the permission."""
    if not principal.may(permission):
        roles = ", ".join(sorted(role for role, granted in PERMISSIONS.items() if permission in granted))
        raise Forbidden(f"This needs the permission {permission}. Keys with one of these roles have it: {roles}.")


async def authenticated(request: Request) -> Principal:
    """The principal of the request's key, checked once per request. NotAuthenticated when there is none."""
    known: Principal | None = getattr(request.state, "principal", None)
    if known is None:
        known = await run_in_threadpool(_authenticate, request)
        request.state.principal = known
    return known


def _authenticate(request: Request) -> Principal:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise NotAuthenticated("Send a key: Authorization: Bearer tocsin_<id>_<secret>.")
    return check_key(request, text.strip())


def check_key(request: Request, text: str) -> Principal:
    """The principal of a key's text. Failures are counted; too many from one network must wait."""
    door, address = door_of(request.scope), client_of(request.scope)
    wait = door.attempts.wait_seconds(address)
    if wait:
        raise ProblemRaised(
            "too-many-attempts",
            f"Too many wrong keys came from this address. Try again in {wait} seconds.",
            headers={"Retry-After": str(wait)},
        )
    try:
        return door.services.keys.check(text[:MAX_CREDENTIALS])
    except NotAuthenticated as error:
        door.attempts.failed(address)
        log.warning("key.refused", reason=error.detail)
        raise
