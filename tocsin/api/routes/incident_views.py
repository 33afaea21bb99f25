"""What is seen of one incident, read from the projections: timeline, tasks, recovery, alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query

from projections.alerts.alerts import AlertEntry, alerts
from projections.coverage.coverage import CampaignCoverage, campaigns_of
from projections.paging import Page
from projections.recovery.recovery import RecoveryStatus, recovery_of
from projections.tasks.tasks import RunEntry, Task, runs, tasks
from projections.timeline.timeline import timeline
from tocsin.api.authentication import READS
from tocsin.api.paths import Cursor, IncidentId, Limit
from tocsin.api.responses import READING_ONE
from tocsin.api.scopes import Parts
from tocsin.api.values import ResponseModel
from tocsin.steps_named import steps_named

router = APIRouter(prefix="/v1/incidents", tags=["incidents"], dependencies=[READS])


class TimelineItem(ResponseModel):
    """One recorded event, with its sentence."""

    position: int
    recorded_at: datetime
    happened_at: datetime
    actor: str
    kind: str
    minor: bool
    sentence: str
    parameters: dict[str, Any]
    cause: str
    originator_id: UUID
    originator_version: int


@router.get("/{incident}/timeline", summary="The incident's story", responses=READING_ONE)
def read_timeline(
    incident: IncidentId,
    services: Parts,
    language: Literal["en", "zh"] = "en",
    newest_first: bool = False,
    minor: Annotated[bool, Query(description="With timers and delivery counts.")] = True,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[TimelineItem]:
    """Every event of the incident, its duties, runs and campaigns, in the order they were recorded."""
    zone = ZoneInfo(services.profile.time_zone)
    found = timeline(services.engine, incident, newest_first=newest_first, minor=minor, limit=limit, cursor=cursor)
    steps = steps_named(services, found.items)
    return Page(
        items=tuple(
            TimelineItem(sentence=entry.words(language, zone, steps=steps), **entry.model_dump(exclude={"incident_id"}))
            for entry in found.items
        ),
        next_cursor=found.next_cursor,
    )


@router.get("/{incident}/tasks", summary="What waits for people", responses=READING_ONE)
def read_tasks(
    incident: IncidentId,
    services: Parts,
    include: Literal["open", "done", "all"] = "open",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Task]:
    """Steps of the incident's runs that wait for a person, the one that waits longest first."""
    return tasks(services.engine, incident_id=incident, include=include, limit=limit, cursor=cursor)


@router.get("/{incident}/runs", summary="Runs of playbooks", tags=["runs"], responses=READING_ONE)
def read_runs(incident: IncidentId, services: Parts, limit: Limit = 50, cursor: Cursor = None) -> Page[RunEntry]:
    """The incident's runs, newest first."""
    return runs(services.engine, incident_id=incident, limit=limit, cursor=cursor)


@router.get("/{incident}/recovery", summary="Phases reached", responses=READING_ONE)
def read_recovery(incident: IncidentId, services: Parts) -> RecoveryStatus:
    """When each phase was reached, and what has to be done next."""
    return recovery_of(services.engine, incident)


@router.get("/{incident}/alerts", summary="Its alerts", tags=["alerts"], responses=READING_ONE)
def read_alerts(incident: IncidentId, services: Parts, limit: Limit = 50, cursor: Cursor = None) -> Page[AlertEntry]:
    """The alerts that belong to the incident, newest first."""
    return alerts(services.engine, incident_id=incident, limit=limit, cursor=cursor)


@router.get("/{incident}/campaigns", summary="Its campaigns", tags=["campaigns"], responses=READING_ONE)
def read_campaigns(incident: IncidentId, services: Parts) -> tuple[CampaignCoverage, ...]:
    """The campaigns of the incident with how far each has come, oldest first."""
    return campaigns_of(services.engine, incident)
