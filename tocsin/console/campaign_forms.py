"""What a person can do to a sending, from the pages of incident and campaign: pause, resume or cancel it."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from incidents.errors import NotFound
from incidents.privacy import refuse_contacts
from tocsin.access.roles import Permission
from tocsin.api.paths import incident_named
from tocsin.console.duty_forms import Once, Text, back_to, command_of


def steer(
    request: Request,
    name: str,
    campaign: UUID,
    once: Once,
    what: Annotated[Literal["pause", "resume", "cancel"], Form()],
    reason: Text,
    at: Annotated[Literal["incident", "campaign"], Form()] = "incident",
) -> Response:
    """Pause, resume or cancel the sending, with a reason that stays on record. `at`: the page to go back to."""
    services, context = command_of(request, Permission.APPROVE, once, what, str(campaign))
    if services.campaigns.view(campaign).incident_id != incident_named(services, name):
        raise NotFound("That incident has no such campaign.", field="campaign")
    refuse_contacts(reason, "reason")
    command = {
        "pause": services.campaigns.pause,
        "resume": services.campaigns.resume,
        "cancel": services.campaigns.cancel,
    }[what]
    command(context, campaign, reason=reason)
    return back_to(request, name, f"/campaigns/{campaign}" if at == "campaign" else "#h-coverage")


def add_campaign_forms(router: APIRouter, refuse_foreign: object) -> None:
    """Add the route. `refuse_foreign` is a dependency that refuses what another site sent."""
    router.add_api_route(
        "/incidents/{name}/campaigns/{campaign}/sending",
        steer,
        methods=["POST"],
        dependencies=[refuse_foreign],  # type: ignore[list-item]
    )
