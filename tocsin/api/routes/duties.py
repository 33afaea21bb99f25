"""Duties of an incident: read them, waive, overturn, file, acknowledge."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from incidents.errors import NotFound
from incidents.incident.incident import Incident
from incidents.incident.known import known_facts
from incidents.reference import reference_of
from playbooks.directory import place_of, role_of
from playbooks.duties.events import DutyOnRecord
from playbooks.duties.register import DutyRegister, DutyState
from playbooks.filings.prepare import PreparedFiling, prepare
from projections.deadlines.deadlines import Deadline, deadlines, deadlines_as_of
from projections.paging import Page
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS
from tocsin.api.commands import Command, CommandRoute, commands
from tocsin.api.filing_items import items_of
from tocsin.api.paths import AsOf, Cursor, IncidentId, Limit, not_in_the_future
from tocsin.api.responses import CHANGING, READING_ONE
from tocsin.api.scopes import Parts
from tocsin.api.values import Reason, RequestModel, ResponseModel, ZonedTime

router = APIRouter(prefix="/v1/incidents/{incident}/duties", tags=["duties"], route_class=CommandRoute)

Decides = Annotated[Command, commands(Permission.DECIDE_DUTIES)]
Handles = Annotated[Command, commands(Permission.HANDLE_INCIDENTS)]
DutyName = Annotated[str, Path(min_length=1, max_length=255, description="The duty's id.")]


class Waive(RequestModel):
    """Why the duty is not required."""

    reason: Reason


class File(RequestModel):
    """A filing was made."""

    submitted_at: ZonedTime | None = Field(None, description="When, if not now.")
    reference: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./_-]{0,63}$")] | None = Field(
        None, description="The receiver's reference of it.", examples=["CAC-2026-0412"]
    )


class DutyStanding(ResponseModel):
    """A duty and what was decided about it, as the record has it."""

    duty: DutyOnRecord
    open: bool
    waived: bool
    lifted: bool
    missed: bool
    fulfilled_at: datetime | None
    unacknowledged: bool = Field(description="A warning is out that nobody has acknowledged.")

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
        return deadlines_as_of(
            services.record.stream_until(register_id, as_of),
            as_of=as_of,
            incident_title=then.title if then is not None else "",
            include=include,
            limit=limit,
            cursor=cursor,
        )
    return deadlines(
        services.engine,
        now=services.clock.now(),
        incident_id=incident,
        include=include,
        limit=limit,
        cursor=cursor,
    )


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


@router.post("/{duty}/filing", status_code=201, summary="Record a filing", responses=CHANGING)
def file(command: Decides, incident: IncidentId, duty: DutyName, body: File, services: Parts) -> DutyStanding:
    """The filing was made. Whether it was late is settled here, for good."""
    _must_exist(services.duties.register(incident), duty)
    how = f"filing {body.reference}" if body.reference else "filing"
    changed = services.duties.fulfil(
        incident, duty, command.context(services.clock), submitted_at=body.submitted_at, how=how
    )
    return _standing(changed, duty)


@router.post("/{duty}/acknowledgement", status_code=201, summary="Acknowledge a warning", responses=CHANGING)
def acknowledge(command: Handles, incident: IncidentId, duty: DutyName, services: Parts) -> DutyStanding:
    """You have seen the warning and act on it: it is not repeated. The next step of the window warns anew."""
    _must_exist(services.duties.register(incident), duty)
    return _standing(services.duties.acknowledge(incident, duty, command.context(services.clock)), duty)


@router.get("/{duty}/filing-draft", summary="Prepared text of a filing", dependencies=[READS], responses=READING_ONE)
def filing_draft(
    incident: IncidentId, duty: DutyName, services: Parts, language: Literal["en", "zh-Hans"] = "en"
) -> PreparedFiling:
    """A draft for a person: who files, under which article, what is known, what the law still wants said."""
    state = _must_exist(services.duties.register(incident), duty)
    found = services.record.load(Incident, incident)
    facts = known_facts(found, services.profile)
    place = place_of(state.duty.jurisdiction, facts, services.profile)
    return prepare(
        state.duty,
        items_of(state.duty, language),
        facts,
        services.profile,
        reference=reference_of(incident),
        title=found.title,
        prepared_at=services.clock.now(),
        language=language,
        authority=services.directory.resolve(role_of(state.duty.duty_id), place),
    )


def _must_exist(register: DutyRegister, duty: str) -> DutyState:
    state = register.duties.get(duty)
    if state is None:
        raise NotFound("There is no such duty on record for this incident.", field="duty")
    return state


def _standing(register: DutyRegister, duty: str) -> DutyStanding:
    return DutyStanding.of(register.duties[duty])
