"""Reading what waits for people, and the runs it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Engine, select

from incidents.errors import InvalidInput, NotFound
from incidents.record.database import reading
from incidents.reference import reference_of
from projections.paging import (
    Order,
    Page,
    ReadModel,
    read_instant,
    read_integer,
    read_page,
    read_text,
    read_uuid,
)
from projections.positions import live_generation
from projections.tasks.tables import NAME, task_runs, task_steps

FOR_PEOPLE = ("task", "facts", "draft_notice", "approval", "public_notice", "filing")
"""Step kinds that wait for a person; the others complete by themselves."""


class Task(ReadModel):
    """One opening of one step of a run."""

    run_id: UUID
    incident_id: UUID
    reference: str
    """Of the incident."""
    playbook: str
    drill: bool
    step: str
    step_kind: str
    """`task`, `facts`, `draft_notice`, `approval`, `public_notice`, `filing`, or one that needs nobody (`notify`,
    `filings`)."""
    title: Mapping[str, str]
    """Language tag to text."""
    details: Mapping[str, Any]
    since: datetime
    open: bool
    done_at: datetime | None
    done_by: str | None
    outcome: str | None
    comment: str
    remind_at: datetime | None
    reminded_at: datetime | None
    """When it was called out for being open too long."""


class RunEntry(ReadModel):
    """One run of a playbook."""

    run_id: UUID
    incident_id: UUID
    reference: str
    playbook: str
    playbook_title: Mapping[str, str]
    definition_digest: str
    drill: bool
    started_at: datetime
    started_by: str
    finished_at: datetime | None
    outcome: str | None
    steps_open: int
    steps_done: int


_s = task_steps.c
_r = task_runs.c
WAITING_LONGEST = Order(
    "since",
    (_s.since, _s.run_id, _s.opened_position, _s.step),
    (read_instant, read_uuid, read_integer, read_text),
)
NEWEST = Order("started", (_r.started_at, _r.run_id), (read_instant, read_uuid), descending=True)


def tasks(
    engine: Engine,
    *,
    incident_id: UUID | None = None,
    run_id: UUID | None = None,
    include: Literal["open", "done", "all"] = "open",
    kinds: Sequence[str] = FOR_PEOPLE,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Task]:
    """Steps of runs, the one that waits longest first. `kinds=()` gives also those that wait for nobody."""
    if include not in ("open", "done", "all"):
        raise InvalidInput("Include is one of: open, done, all.", field="include")
    statement = (
        select(task_steps, _r.playbook, _r.drill)
        .join(task_runs, (_r.generation == _s.generation) & (_r.run_id == _s.run_id))
        .where(_s.generation == live_generation(NAME))
    )
    if incident_id is not None:
        statement = statement.where(_s.incident_id == incident_id)
    if run_id is not None:
        statement = statement.where(_s.run_id == run_id)
    if include != "all":
        statement = statement.where(_s.open.is_(include == "open"))
    if kinds:
        statement = statement.where(_s.step_kind.in_(kinds))
    with reading(engine) as connection:
        rows, next_cursor = read_page(connection, statement, WAITING_LONGEST, limit=limit, cursor=cursor)
    return Page(
        items=tuple(
            Task(
                **_plain(Task, row, ("title", "details")),
                reference=reference_of(row["incident_id"]),
            )
            for row in rows
        ),
        next_cursor=next_cursor,
    )


def runs(
    engine: Engine, *, incident_id: UUID | None = None, limit: int = 50, cursor: str | None = None
) -> Page[RunEntry]:
    """Runs, of all incidents or of one, newest first."""
    statement = select(task_runs).where(_r.generation == live_generation(NAME))
    if incident_id is not None:
        statement = statement.where(_r.incident_id == incident_id)
    with reading(engine) as connection:
        rows, next_cursor = read_page(connection, statement, NEWEST, limit=limit, cursor=cursor)
    return Page(items=tuple(_run(row) for row in rows), next_cursor=next_cursor)


def run(engine: Engine, run_id: UUID) -> RunEntry:
    """One run. NotFound when it is not on record (yet)."""
    statement = select(task_runs).where(_r.generation == live_generation(NAME), _r.run_id == run_id)
    with reading(engine) as connection:
        row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no run {run_id}.", field="run_id")
    return _run(row)


def _run(row: Mapping[Any, Any]) -> RunEntry:
    return RunEntry(**_plain(RunEntry, row, ("playbook_title",)), reference=reference_of(row["incident_id"]))


def _plain(model: type[ReadModel], row: Mapping[Any, Any], maps: Sequence[str]) -> dict[str, Any]:
    plain = {name: row[name] for name in model.model_fields if name in row}
    return plain | {name: row[name] or {} for name in maps}
