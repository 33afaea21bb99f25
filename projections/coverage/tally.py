"""How many people were told by which channel, over all campaigns."""

from __future__ import annotations

from sqlalchemy import Engine, func, select

from incidents.record.database import reading
from projections.coverage.tables import NAME, coverage_cells
from projections.positions import live_generation


def deliveries_by_channel(engine: Engine) -> dict[tuple[str, str], int]:
    """People by channel and state of the delivery that counts for them (`reached`, `in_flight`, `failed`, `suppressed`,
    `cancelled`, `ambiguous`).

    Read from counts that are kept as campaigns go on: a few rows for each campaign, whatever its size.
    """
    column = coverage_cells.c
    statement = (
        select(column.channel, column.outcome, func.sum(column.recipients))
        .where(column.generation == live_generation(NAME))
        .group_by(column.channel, column.outcome)
    )
    with reading(engine) as connection:
        return {(channel, outcome): int(people) for channel, outcome, people in connection.execute(statement)}
