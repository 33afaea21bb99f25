"""How much presses: open duties by what was called out last of each."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine, case, func, select

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


LEFT = (
    ("over", timedelta(0)),
    ("1h", timedelta(hours=1)),
    ("4h", timedelta(hours=4)),
    ("24h", timedelta(hours=24)),
    ("72h", timedelta(hours=72)),
)
"""Buckets of the time left, each up to its end; then `more`, and `none` for duties without a deadline."""


def open_duties_by_time_left(engine: Engine, *, now: datetime) -> dict[str, int]:
    """How many duties are open in each bucket of `LEFT` and in `more` and `none`; each duty is in one of them."""
    column = deadline_duties.c
    left = case(
        (column.strict_due.is_(None), "none"),
        *((column.strict_due <= now + end, name) for name, end in LEFT),
        else_="more",
    )
    statement = (
        select(left, func.count())
        .where(column.generation == live_generation(NAME), column.rank < SETTLED, column.derived_status == "due")
        .group_by(left)
    )
    found = dict.fromkeys((*(name for name, _ in LEFT), "more", "none"), 0)
    with reading(engine) as connection:
        for name, duties in connection.execute(statement):
            found[name] = duties
    return found


def next_deadline(engine: Engine, *, now: datetime) -> datetime | None:
    """The next strict deadline of an open duty that is still to come; None when there is none."""
    column = deadline_duties.c
    statement = (
        select(column.strict_due)
        .where(
            column.generation == live_generation(NAME),
            column.rank < SETTLED,
            column.derived_status == "due",
            column.strict_due > now,
        )
        .order_by(column.strict_due)
        .limit(1)
    )
    with reading(engine) as connection:
        return connection.execute(statement).scalar_one_or_none()
