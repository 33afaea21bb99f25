"""Parts of addresses: incidents by id or by the reference people speak of, ids of other things."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import Depends, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from incidents.clock import Clock
from incidents.errors import InvalidInput, NotFound
from incidents.incident.events import IncidentReported
from incidents.record import Event, Record
from incidents.reference import parse_reference, reference_of
from incidents.tracing import point_to
from notifier.campaigns.events import CampaignDrafted
from playbooks.runs.events import RunStarted
from projections.paging import MAX_LIMIT
from projections.severity_board.board import find_by_reference
from tocsin.api.scopes import door_of
from tocsin.api.values import ZonedTime
from tocsin.services import Services

IncidentName = Annotated[
    str,
    Path(
        min_length=8,
        max_length=40,
        description="The incident's id, or its reference (`INC-7F3K-9Q2M`).",
        examples=["INC-7F3K-9Q2M"],
    ),
]


async def find_incident(request: Request, incident: IncidentName) -> UUID:
    """Dependency: the id of the incident named in the address. NotFound when there is none."""
    found = await run_in_threadpool(incident_named, door_of(request.scope).services, incident)
    point_to(found)
    structlog.contextvars.bind_contextvars(incident=reference_of(found))
    return found


def incident_named(services: Services, name: str) -> UUID:
    """The id of an incident by id or reference. NotFound when there is none."""
    try:
        found = UUID(name)
    except ValueError:
        try:
            reference = parse_reference(name)
        except InvalidInput as error:
            raise NotFound(
                "There is no incident of that name. Use its id or its reference, such as INC-7F3K-9Q2M.",
                field="incident",
            ) from error
        return find_by_reference(services.engine, reference)
    must_begin_with(services.record, found, IncidentReported, "incident")
    return found


def must_begin_with(record: Record, stream: UUID, opening: type[Event], what: str) -> None:
    """NotFound unless the stream was opened by this kind of event: an id of something else names nothing here."""
    first = next(iter(record.events.get(stream, lte=1)), None)
    if not isinstance(first, opening):
        raise NotFound(f"There is no {what} {stream}.", field=what)


async def find_run(request: Request, run: UUID) -> UUID:
    """Dependency: the id of the run named in the address."""
    record = door_of(request.scope).services.record
    await run_in_threadpool(must_begin_with, record, run, RunStarted, "run")
    return run


async def find_campaign(request: Request, campaign: UUID) -> UUID:
    """Dependency: the id of the campaign named in the address."""
    record = door_of(request.scope).services.record
    await run_in_threadpool(must_begin_with, record, campaign, CampaignDrafted, "campaign")
    return campaign


IncidentId = Annotated[UUID, Depends(find_incident)]
RunId = Annotated[UUID, Depends(find_run)]
CampaignId = Annotated[UUID, Depends(find_campaign)]

AsOf = Annotated[
    ZonedTime | None, Query(description="What was on record at this instant, instead of now. Not in the future.")
]


def not_in_the_future(as_of: datetime, clock: Clock) -> datetime:
    """The instant. InvalidInput when it is still to come: nobody believes anything then."""
    if as_of > clock.now():
        raise InvalidInput("That instant is still to come; nothing is on record of it.", field="as_of")
    return as_of


Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=1_000, description="`next_cursor` of the page before; none for the first page.")
]
