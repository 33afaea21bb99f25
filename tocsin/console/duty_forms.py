"""What a person can do to duties from an incident page: give one to an owner, acknowledge, record requests to wait."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from urllib.parse import quote
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from incidents.errors import FieldFault, InvalidInput, NotAuthenticated
from incidents.record import Context, stable_id
from playbooks.law.delays import DelayAuthority, DelayForm, DelayRequest
from tocsin.access.keys import Principal
from tocsin.access.roles import Permission
from tocsin.api.authentication import refuse_unless
from tocsin.api.commands import wait_until_shown
from tocsin.api.paths import incident_named
from tocsin.api.scopes import door_of
from tocsin.console.viewers import principal_of
from tocsin.owners import Owners
from tocsin.services import Services

Once = Annotated[UUID, Form(description="Made with the page: a form sent twice has one effect.")]
Line = Annotated[str, Form(max_length=200)]
Text = Annotated[str, Form(max_length=4_000)]
LocalTime = Annotated[str, Form(max_length=40)]


def assign(request: Request, name: str, duty: str, once: Once, owner: Line = "") -> Response:
    """Give a duty to an owner of the settings; nobody takes the assignment back."""
    services, context = command_of(request, Permission.HANDLE_INCIDENTS, once, "assign", duty)
    title = Owners(services.settings.warnings).named(owner).name if owner else ""
    services.duties.assign(incident_named(services, name), duty, context, owner=owner, name=title)
    return _back(request, name, duty)


def acknowledge(request: Request, name: str, duty: str, once: Once) -> Response:
    """The warning was seen: it is not repeated."""
    services, context = command_of(request, Permission.HANDLE_INCIDENTS, once, "acknowledge", duty)
    services.duties.acknowledge(incident_named(services, name), duty, context)
    return _back(request, name, duty)


def request_delay(
    request: Request,
    name: str,
    once: Once,
    by: Annotated[DelayAuthority, Form()],
    authority: Line,
    form: Annotated[DelayForm, Form()],
    stated_at: LocalTime = "",
    until: LocalTime = "",
    reason: Text = "",
    extraordinary: Annotated[bool, Form()] = False,
) -> Response:
    """An authority asked to wait."""
    services, context = command_of(request, Permission.DECIDE_DUTIES, once, "delay")
    zone = ZoneInfo(services.profile.time_zone)
    try:
        asked = DelayRequest(
            id=str(stable_id("delay", str(once))),
            by=by,
            authority=authority.strip(),
            form=form,
            stated_at=_instant(stated_at, "stated_at", zone) or context.recorded_at,
            until=_instant(until, "until", zone),
            extraordinary=extraordinary,
            reason=reason.strip(),
        )
    except ValidationError as fault:
        errors = [
            FieldFault(".".join(map(str, one["loc"])) or "until", one["msg"].removeprefix("Value error, "))
            for one in fault.errors(include_input=False, include_url=False)
        ]
        raise InvalidInput("The request cannot be recorded as it is.", errors=errors) from fault
    services.duties.request_delay(incident_named(services, name), context, asked)
    return _back(request, name)


def end_delay(request: Request, name: str, delay: str, once: Once, reason: Text) -> Response:
    """The request no longer stands."""
    services, context = command_of(request, Permission.DECIDE_DUTIES, once, "end-delay", delay)
    services.duties.end_delay(incident_named(services, name), delay, context, reason=reason)
    return _back(request, name)


def add_forms(router: APIRouter, refuse_foreign: object) -> None:
    """Add the routes. `refuse_foreign` is a dependency that refuses what another site sent."""
    base = "/incidents/{name}"
    for path, command in (
        ("/duties/{duty}/assign", assign),
        ("/duties/{duty}/acknowledge", acknowledge),
        ("/delays", request_delay),
        ("/delays/{delay}/end", end_delay),
    ):
        router.add_api_route(f"{base}{path}", command, methods=["POST"], dependencies=[refuse_foreign])  # type: ignore[list-item]


def command_of(
    request: Request, permission: Permission, once: UUID, what: str, about: str = ""
) -> tuple[Services, Context]:
    """The services and the context of a command, for whoever is logged in and may."""
    services = door_of(request.scope).services
    principal: Principal | None = principal_of(request)
    if principal is None:
        raise NotAuthenticated("Log in first: a decision carries a name.")
    refuse_unless(principal, permission)
    command_id = stable_id("form", principal.key_id, str(once), what, about)
    return services, Context.of_command(principal.actor, services.clock, command_id=command_id)


def _instant(text: str, field: str, zone: ZoneInfo) -> datetime | None:
    """A time as a form gives it: in the organisation's zone unless it says otherwise."""
    if not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError as fault:
        raise InvalidInput("That is no time such as 2026-11-20T09:30.", field=field) from fault
    if not 1970 <= found.year <= 2200:
        raise InvalidInput("The time must lie between the years 1970 and 2200.", field=field)
    return found if found.tzinfo is not None else found.replace(tzinfo=zone)


def _back(request: Request, name: str, duty: str = "") -> Response:
    return back_to(request, name, f"#duty-{quote(duty, safe=':')}" if duty else "#delays")


def back_to(request: Request, name: str, place: str) -> Response:
    """Back to the incident's page, or a place in or below it, once it shows what was done."""
    wait_until_shown(door_of(request.scope))
    return RedirectResponse(f"/incidents/{quote(name, safe='')}{place}", 303)
