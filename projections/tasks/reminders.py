"""Which reminders are due: open steps whose time has come and that were not called out yet."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, func, select

from incidents.record.database import reading
from projections.positions import live_generation
from projections.tasks.tables import NAME, task_steps


def due_reminders(engine: Engine, *, now: datetime, limit: int = 200) -> list[tuple[UUID, str]]:
    """Run and step of each, longest due first."""
    column = task_steps.c
    statement = (
        select(column.run_id, column.step)
        .where(
            column.generation == live_generation(NAME),
            column.open,
            column.remind_at <= now,
            column.reminded_at.is_(None),
        )
        .order_by(column.remind_at)
        .limit(limit)
    )
    with reading(engine) as connection:
        return [(row.run_id, row.step) for row in connection.execute(statement)]


def late_reminders(engine: Engine, *, now: datetime) -> tuple[int, datetime | None]:
    """How many reminders are due and not called out, and since when the oldest of them is."""
    column = task_steps.c
    statement = select(column.remind_at, func.count().over()).where(
        column.generation == live_generation(NAME),
        column.open,
        column.remind_at <= now,
        column.reminded_at.is_(None),
    )
    with reading(engine) as connection:
        first = connection.execute(statement.order_by(column.remind_at).limit(1)).first()
    return (0, None) if first is None else (first[1], first[0])
