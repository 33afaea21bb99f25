"""What the law would ask: duties from facts alone. Nothing is recorded."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from incidents.facts import Facts
from playbooks.law.delays import MAX_REQUESTS, DelayRequest
from playbooks.law.derive import derive
from playbooks.law.duty import Duty
from tocsin.access.roles import Permission
from tocsin.api.commands import Command, PureRoute, commands
from tocsin.api.responses import CREATING
from tocsin.api.scopes import Parts
from tocsin.api.values import RequestModel, ResponseModel, ZonedTime

router = APIRouter(prefix="/v1/duties", tags=["duties"], route_class=PureRoute)


class Simulate(RequestModel):
    """Facts, and the moment of judgement."""

    facts: dict[str, Any] = Field(
        max_length=300,
        examples=[{"nature": ["confidentiality"], "persons_affected": 203, "aware_at": "2026-11-20T09:30:00+08:00"}],
    )
    at: ZonedTime | None = Field(None, description="When it is judged, if not now.")
    delays: tuple[DelayRequest, ...] = Field(
        (), max_length=MAX_REQUESTS, description="Requests of authorities to wait, as if they were on record."
    )
    with_organisation: bool = Field(True, description="Join what is true of this organisation.")


class Simulated(ResponseModel):
    """The duties, possible ones first."""

    at: datetime
    items: tuple[Duty, ...]


@router.post("/simulate", summary="Duties from facts", responses=CREATING)
def simulate(_command: Annotated[Command, commands(Permission.READ)], body: Simulate, services: Parts) -> Simulated:
    """Whom these facts would oblige to tell, by when, and why. A question: nothing is recorded."""
    at = body.at or services.clock.now()
    duties = derive(
        Facts.parse(body.facts),
        services.law,
        services.calendars,
        at=at,
        profile=services.profile if body.with_organisation else None,
        delays=body.delays,
    )
    return Simulated(at=at, items=tuple(duties))
