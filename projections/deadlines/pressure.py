"""How much presses: open duties by what was called out last of each."""

from __future__ import annotations

from sqlalchemy import Engine, func, select

from incidents.record.database import reading
from playbooks.duties.register import WARN_AT
from projections.deadlines.fold import SETTLED
from projections.deadlines.tables import NAME, deadline_duties
from projections.positions import live_generation

STEPS = ("0", *map(str, WARN_AT), "100", "missed")
"""Percent of the window, as `pressing` has them; `missed` goes before all."""


def open_duties_by_step(engine: Engine) -> dict[str, int]:
    """How many duties are open at each of `STEPS`."""
    column = deadline_duties.c
    statement = (
        select(column.missed, column.warned_percent, func.count())
        .where(column.generation == live_generation(NAME), column.rank < SETTLED)
        .group_by(column.missed, column.warned_percent)
    )
    found = dict.fromkeys(STEPS, 0)
    with reading(engine) as connection:
        for missed, percent, duties in connection.execute(statement):
            found["missed" if missed else str(percent)] += duties
    return found
