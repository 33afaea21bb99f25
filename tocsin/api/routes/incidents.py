"""Incidents: report, read, state facts, move through the lifecycle."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response

from incidents.errors import InvalidInput, NotFound
from incidents.grading import scheme_named
from incidents.incident.incident import Incident
from incidents.record import stable_id
from projections.paging import Page
from projections.severity_board.board import BoardEntry, Sort, board
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS
from tocsin.api.commands import Command, CommandRoute, commands, etag, versioned_commands
from tocsin.api.incident_models import (
    AddNote,
    Assign,
    IncidentState,
    Merge,
    OverrideGrade,
    ReportIncident,
    StateFacts,
    Transition,
)
from tocsin.api.paths import AsOf, Cursor, IncidentId, Limit, incident_named, not_in_the_future
from tocsin.api.responses import CHANGING, CREATING, READING, READING_ONE
from tocsin.api.scopes import Parts
from tocsin.api.values import Word

router = APIRouter(prefix="/v1/incidents", tags=["incidents"], route_class=CommandRoute)

Handles = Annotated[Command, versioned_commands(Permission.HANDLE_INCIDENTS)]
State = Literal["open", "reported", "triaged", "contained", "eradicated", "recovered", "closed", "merged"]


@router.post("", status_code=201, summary="Report an incident", responses=CREATING)
def report(
    command: Annotated[Command, commands(Permission.HANDLE_INCIDENTS)],
    body: ReportIncident,
    services: Parts,
    response: Response,
) -> IncidentState:
    """Declare an incident from a person's report, with what is known already."""
    incident = services.incidents.report(
        stable_id("incident", str(command.command_id)),
        command.context(services.clock, body.happened_at),
        title=body.title,
        summary=body.summary,
        facts=body.facts,
    )
    response.headers["Location"] = f"/v1/incidents/{incident.id}"
    return _shown(incident, response)


@router.get("", summary="List incidents", dependencies=[READS], responses=READING)
def list_incidents(
    services: Parts,
    state: Annotated[
        list[State] | None, Query(description="One or more; `open` means neither closed nor merged.")
    ] = None,
    scheme: Annotated[Word | None, Query(description="A grading scheme, such as `cn-2025`.")] = None,
    level: Annotated[Word | None, Query(description="A level of any scheme, or of `scheme`.")] = None,
    assignee: Annotated[Word | None, Query()] = None,
    search: Annotated[str | None, Query(max_length=200, description="Part of the title or the reference.")] = None,
    sort: Sort = "deadline",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[BoardEntry]:
    """The severity board's rows: by default the incident whose deadline comes first on top."""
    return board(
        services.engine,
        state=state,
        level=level,
        scheme=scheme,
        assignee=assignee,
        search=search,
        sort=sort,
        limit=limit,
        cursor=cursor,
    )


@router.get(
    "/{incident}",
    summary="Read an incident",
    dependencies=[READS],
    response_model=IncidentState,
    responses={**READING_ONE, 304: {"description": "It is still at the version in If-None-Match."}},
)
def read(
    incident: IncidentId,
    services: Parts,
    response: Response,
    if_none_match: Annotated[str | None, Header(alias="If-None-Match", max_length=200)] = None,
    as_of: AsOf = None,
) -> IncidentState | Response:
    """The incident as the record has it at this moment, with its facts, grades and alerts.

    With `as_of`: as the record had it then, without an `ETag`; 404 when it was not on record yet.
    """
    if as_of is not None:
        then = services.record.find_as_of(Incident, incident, not_in_the_future(as_of, services.clock))
        if then is None:
            raise NotFound("The incident was not on record yet at that instant.", field="as_of")
        return IncidentState.of(then)
    found = services.record.load(Incident, incident)
    if if_none_match is not None and if_none_match.strip().removeprefix("W/") == etag(found.version):
        return Response(status_code=304, headers={"ETag": etag(found.version)})
    return _shown(found, response)


@router.post("/{incident}/facts", summary="State or revise facts", responses=CHANGING)
def state_facts(
    command: Handles, incident: IncidentId, body: StateFacts, services: Parts, response: Response
) -> IncidentState:
    """Facts are revised, never overwritten: the record keeps who said what, and when."""
    changed = services.incidents.state_facts(
        incident,
        command.context(services.clock, body.happened_at),
        body.facts,
        source=body.source,
        expected_version=command.expected_version,
    )
    return _shown(changed, response)


@router.post("/{incident}/transitions", summary="Move through the lifecycle", responses=CHANGING)
def move(
    command: Handles, incident: IncidentId, body: Transition, services: Parts, response: Response
) -> IncidentState:
    """Triage, contain, eradicate, recover, close or reopen."""
    context = command.context(services.clock, body.happened_at)
    if body.transition == "triage":
        changed = services.incidents.triage(
            incident, context, assessment=body.comment, expected_version=command.expected_version
        )
    else:
        changed = services.incidents.move(
            incident,
            context,
            body.transition,
            comment=body.comment,
            expected_version=command.expected_version,
        )
    return _shown(changed, response)


@router.post("/{incident}/notes", summary="Add a note", status_code=201, responses=CHANGING)
def add_note(
    command: Handles, incident: IncidentId, body: AddNote, services: Parts, response: Response
) -> IncidentState:
    """A note for the timeline. Contact data of people is refused: notes are kept for good."""
    changed = services.incidents.add_note(
        incident,
        command.context(services.clock, body.happened_at),
        body.text,
        expected_version=command.expected_version,
    )
    return _shown(changed, response)


@router.post("/{incident}/assignee", summary="Assign", responses=CHANGING)
def assign(command: Handles, incident: IncidentId, body: Assign, services: Parts, response: Response) -> IncidentState:
    """Give the incident an owner."""
    changed = services.incidents.assign(
        incident, command.context(services.clock), body.assignee, expected_version=command.expected_version
    )
    return _shown(changed, response)


@router.post("/{incident}/merge", summary="Merge into another incident", responses=CHANGING)
def merge(command: Handles, incident: IncidentId, body: Merge, services: Parts, response: Response) -> IncidentState:
    """This incident turned out to be part of another; work goes on there."""
    changed = services.incidents.merge(
        incident,
        command.context(services.clock),
        incident_named(services, body.into),
        reason=body.reason,
        expected_version=command.expected_version,
    )
    return _shown(changed, response)


@router.post("/{incident}/grades/{scheme}", summary="Grade against the computed level", responses=CHANGING)
def override_grade(
    command: Handles,
    incident: IncidentId,
    scheme: Word,
    body: OverrideGrade,
    services: Parts,
    response: Response,
) -> IncidentState:
    """A named person's grade, with the reason on record. It stands until a person takes it back."""
    known = scheme_named(scheme)
    if body.level not in {level.id for level in known.levels}:
        levels = ", ".join(level.id for level in known.levels)
        raise InvalidInput(f"Scheme {known.id} has the levels: {levels}.", field="level")
    changed = services.incidents.override_grade(
        incident,
        command.context(services.clock),
        scheme=known.id,
        level=body.level,
        reason=body.reason,
        expected_version=command.expected_version,
    )
    return _shown(changed, response)


def _shown(incident: Incident, response: Response) -> IncidentState:
    response.headers["ETag"] = etag(incident.version)
    return IncidentState.of(incident)
