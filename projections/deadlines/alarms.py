"""Which duties must be called out now, and which were called out and wait to be acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, and_, select

from incidents.record.database import reading
from playbooks.duties.register import RUNS, pressing
from projections.deadlines.fold import SETTLED
from projections.deadlines.tables import NAME, deadline_duties
from projections.positions import live_generation
from projections.severity_board.tables import NAME as BOARD
from projections.severity_board.tables import board_incidents


def incidents_to_watch(engine: Engine, *, now: datetime) -> list[UUID]:
    """Incidents where an open duty passed a step of its window, its deadline or the end of its waiting, and that is not
    on record yet.

    Reads the open duties that have a running clock: a few for each open incident.
    """
    column = deadline_duties.c
    statement = (
        select(
            column.incident_id,
            column.clock_at,
            column.strict_due,
            column.reminder_at,
            column.warned_percent,
            column.paused_until,
        )
        .where(
            column.generation == live_generation(NAME),
            column.rank < SETTLED,
            column.derived_status.in_(RUNS),
            column.missed.is_(False),
            column.clock_at.is_not(None),
            column.clock_at <= now,
        )
        .order_by(column.strict_due)
    )
    found: dict[UUID, None] = {}
    with reading(engine) as connection:
        for row in connection.execute(statement):
            step = pressing(row.clock_at, row.strict_due, row.reminder_at, now)
            missed = row.strict_due is not None and now > row.strict_due
            if step > row.warned_percent or missed or (row.paused_until is not None and row.paused_until <= now):
                found[row.incident_id] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class CalledOut:
    """A warning that nobody has acknowledged yet, about a duty that is still to be done."""

    incident_id: UUID
    duty_id: str
    step: int
    at: datetime
    incident_assignee: str | None


def unacknowledged(engine: Engine) -> list[CalledOut]:
    """All of them, the oldest first: a few for each open incident."""
    column = deadline_duties.c
    statement = (
        select(column.incident_id, column.duty_id, column.step, column.called_out_at, board_incidents.c.assignee)
        .select_from(
            deadline_duties.outerjoin(
                board_incidents,
                and_(
                    board_incidents.c.generation == live_generation(BOARD),
                    board_incidents.c.incident_id == column.incident_id,
                ),
            )
        )
        .where(
            column.generation == live_generation(NAME),
            column.rank < SETTLED,
            column.derived_status.in_(RUNS),
            column.step > column.acknowledged_step,
            column.called_out_at.is_not(None),
        )
        .order_by(column.called_out_at, column.incident_id, column.duty_id)
    )
    with reading(engine) as connection:
        return [CalledOut(*row) for row in connection.execute(statement)]


def incidents_that_owe(engine: Engine) -> list[UUID]:
    """Incidents with an open duty whose clock runs or is paused, whatever became of the incident itself."""
    column = deadline_duties.c
    statement = (
        select(column.incident_id)
        .where(column.generation == live_generation(NAME), column.rank < SETTLED, column.derived_status.in_(RUNS))
        .distinct()
        .order_by(column.incident_id)
    )
    with reading(engine) as connection:
        return list(connection.execute(statement).scalars())


def open_duties(engine: Engine, incident_id: UUID) -> dict[str, datetime | None]:
    """The open duties of an incident as the read model has them: id to strict deadline."""
    column = deadline_duties.c
    statement = select(column.duty_id, column.strict_due).where(
        column.generation == live_generation(NAME), column.incident_id == incident_id, column.rank < SETTLED
    )
    with reading(engine) as connection:
        return {row.duty_id: row.strict_due for row in connection.execute(statement)}
