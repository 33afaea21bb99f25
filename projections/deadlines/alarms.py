"""Which incidents have a duty that must be called out now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, select

from incidents.record.database import reading
from playbooks.duties.register import WARN_AT, window_used
from projections.deadlines.fold import SETTLED
from projections.deadlines.tables import NAME, deadline_duties
from projections.positions import live_generation


def incidents_to_watch(engine: Engine, *, now: datetime, steps: Sequence[int] = WARN_AT) -> list[UUID]:
    """Incidents where an open duty passed a step of its window, or its deadline, that is not on record yet.

    Reads the open duties that have a running clock: a few for each open incident.
    """
    column = deadline_duties.c
    statement = (
        select(column.incident_id, column.clock_at, column.strict_due, column.warned_percent)
        .where(
            column.generation == live_generation(NAME),
            column.rank < SETTLED,
            column.derived_status == "due",
            column.missed.is_(False),
            column.strict_due.is_not(None),
            column.clock_at.is_not(None),
            column.clock_at <= now,
        )
        .order_by(column.strict_due)
    )
    found: dict[UUID, None] = {}
    with reading(engine) as connection:
        for row in connection.execute(statement):
            used = window_used(row.clock_at, row.strict_due, now)
            if now > row.strict_due or any(row.warned_percent < step <= used for step in steps):
                found[row.incident_id] = None
    return list(found)
