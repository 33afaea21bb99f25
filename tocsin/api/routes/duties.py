"""Duties of an incident: read them, waive, overturn, assign, acknowledge. Filing them is in `filings.py`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from incidents.errors import NotFound
from incidents.incident.incident import Incident
from playbooks.duties.events import DutyOnRecord
from playbooks.duties.register import DutyRegister, DutyState
from projections.deadlines.deadlines import Deadline, deadlines, deadlines_as_of
from projections.paging import Page
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS
from tocsin.api.commands import Command, CommandRoute, commands
from tocsin.api.paths import AsOf, Cursor, IncidentId, Limit, not_in_the_future
from tocsin.api.responses import CHANGING, READING_ONE
from tocsin.api.scopes import Parts
from tocsin.api.values import Reason, RequestModel, ResponseModel, Word
from tocsin.owners import Owners, with_owners
from tocsin.parts_filed import with_parts

router = APIRouter(prefix="/v1/incidents/{incident}/duties", tags=["duties"], route_class=CommandRoute)

Decides = Annotated[Command, commands(Permission.DECIDE_DUTIES)]
Handles = Annotated[Command, commands(Permission.HANDLE_INCIDENTS)]
DutyName = Annotated[str, Path(min_length=1, max_length=255, description="The duty's id.")]


class Waive(RequestModel):
    """Why the duty is not required."""

    reason: Reason


class AssignDuty(RequestModel):
    """Who owns it: an id of `GET /v1/owners`."""

    owner: Word = Field(examples=["dpo"])


class DutyStanding(ResponseModel):
    """A duty and what was decided about it, as the record has it."""

    duty: DutyOnRecord
    open: bool
    waived: bool
    lifted: bool
    missed: bool
    fulfilled_at: datetime | None
    unacknowledged: bool = Field(description="A warning is out that nobody has acknowledged.")
    assigned_to: str | None = Field(description="Id of the owner that it was given to.")

    @classmethod
    def of(cls, state: DutyState) -> DutyStanding:
        """From the register."""
        return cls(
            duty=state.duty,
            open=state.is_open,
            waived=state.waived,
            lifted=state.lifted,
            missed=state.missed,
            fulfilled_at=state.fulfilled_at,
            unacknowledged=state.wants_acknowledgement,
            assigned_to=state.owner or None,
        )


@router.get("", summary="Duties of an incident", dependencies=[READS], responses=READING_ONE)
def list_duties(
    incident: IncidentId,
    services: Parts,
    include: Annotated[
        Literal["open", "all"], Query(description="`open` leaves out what is waived, lifted, fulfilled or exempt.")
    ] = "all",
    limit: Limit = 200,
    cursor: Cursor = None,
    as_of: AsOf = None,
) -> Page[Deadline]:
    """Whom to tell, by when, and why: each with the share of its window that has passed.

    With `as_of`: what was on record, and so what we believed, at that instant, with the shares of that instant.
    """
    if as_of is not None:
        register_id = DutyRegister.id_for(incident)
        then = services.record.find_as_of(Incident, incident, not_in_the_future(as_of, services.clock))
        page = deadlines_as_of(
            services.record.stream_until(register_id, as_of),
            as_of=as_of,
            incident_title=then.title if then is not None else "",
            incident_assignee=then.assignee if then is not None else None,
            include=include,
            limit=limit,
            cursor=cursor,
        )
        return with_owners(page, services.settings.warnings)
    page = deadlines(
        services.engine,
        now=services.clock.now(),
        incident_id=incident,
        include=include,
        limit=limit,
        cursor=cursor,
    )
    return with_parts(with_owners(page, services.settings.warnings), services.duties, incident)


@router.post("/{duty}/waiver", status_code=201, summary="Waive a duty", responses=CHANGING)
def waive(command: Decides, incident: IncidentId, duty: DutyName, body: Waive, services: Parts) -> DutyStanding:
    """Record the decision of a named person that the duty is not required, and why."""
    _must_exist(services.duties.register(incident), duty)
    context = command.context(services.clock)
    return _standing(services.duties.waive(incident, duty, context, reason=body.reason), duty)


@router.delete("/{duty}/waiver", summary="Overturn a waiver", responses=CHANGING)
def overturn(command: Decides, incident: IncidentId, duty: DutyName, body: Waive, services: Parts) -> DutyStanding:
    """Take the decision back, with a reason in the body: the duty is as if never waived."""
    _must_exist(services.duties.register(incident), duty)
    context = command.context(services.clock)
    return _standing(services.duties.overturn_waiver(incident, duty, context, reason=body.reason), duty)


@router.post("/{duty}/acknowledgement", status_code=201, summary="Acknowledge a warning", responses=CHANGING)
def acknowledge(command: Handles, incident: IncidentId, duty: DutyName, services: Parts) -> DutyStanding:
    """You have seen the warning and act on it: it is not repeated. The next step of the window warns anew."""
    _must_exist(services.duties.register(incident), duty)
    return _standing(services.duties.acknowledge(incident, duty, command.context(services.clock)), duty)


@router.post("/{duty}/assignment", status_code=201, summary="Give a duty to an owner", responses=CHANGING)
def assign(command: Handles, incident: IncidentId, duty: DutyName, body: AssignDuty, services: Parts) -> DutyStanding:
    """Warnings about the duty go to that owner, before whom the settings name."""
    _must_exist(services.duties.register(incident), duty)
    named = Owners(services.settings.warnings).named(body.owner)
    context = command.context(services.clock)
    return _standing(services.duties.assign(incident, duty, context, owner=body.owner, name=named.name), duty)


@router.delete("/{duty}/assignment", summary="Take an assignment back", responses=CHANGING)
def unassign(command: Handles, incident: IncidentId, duty: DutyName, services: Parts) -> DutyStanding:
    """The duty is again whose it is by the settings."""
    _must_exist(services.duties.register(incident), duty)
    return _standing(services.duties.assign(incident, duty, command.context(services.clock), owner=""), duty)


def _must_exist(register: DutyRegister, duty: str) -> DutyState:
    state = register.duties.get(duty)
    if state is None:
        raise NotFound("There is no such duty on record for this incident.", field="duty")
    return state


def _standing(register: DutyRegister, duty: str) -> DutyStanding:
    return DutyStanding.of(register.duties[duty])
