"""How far each projection has come, and which generation of its rows readers see.

Every row of a projection belongs to a generation. Readers look at the live one; a rebuild fills the next one beside
it and then turns it live in one transaction, so that a reader sees either the old state or the new one, whole, and
the old one keeps following the record while the new one is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, ScalarSelect, delete, insert, select, update

from projections.tables import projection_positions

LIVE = "live"
BUILDING = "building"
RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Position:
    """One generation of one projection: `state` is `live`, `building` or `retired` (its rows are being removed)."""

    name: str
    generation: int
    version: int
    state: str
    position: int
    updated_at: datetime


def live_generation(name: str) -> ScalarSelect[int]:
    """For the WHERE of a reader: the generation that is live. NULL, hence no rows, before the first run."""
    c = projection_positions.c
    return select(c.generation).where(c.name == name, c.state == LIVE).scalar_subquery()


def positions_of(connection: Connection, *names: str, lock: bool = False) -> list[Position]:
    """The generations on record of these projections, oldest first.

    `lock` holds the rows until the transaction ends (on SQLite a writing transaction holds everything anyway).
    """
    c = projection_positions.c
    statement = select(projection_positions).where(c.name.in_(names)).order_by(c.name, c.generation)
    if lock:
        statement = statement.with_for_update()
    return [Position(**row._mapping) for row in connection.execute(statement)]


def open_generation(
    connection: Connection, name: str, found: Sequence[Position], *, version: int, state: str, now: datetime
) -> Position:
    """Add the generation that comes after those `found`, at position 0.

    The number follows from what the caller saw and decided from: of two that saw nothing, one gets an
    IntegrityError instead of a second live generation.
    """
    generation = 1 + max((p.generation for p in found), default=0)
    row = Position(name, generation, version, state, 0, now)
    connection.execute(
        insert(projection_positions).values(
            name=name, generation=generation, version=version, state=state, position=0, updated_at=now
        )
    )
    return row


def advance(connection: Connection, at: Position, to: int, now: datetime) -> bool:
    """Move a generation forward from exactly where it was read. False: another runner was first, or it retired.

    It is the first statement of its transaction, so that a second runner waits here on the row (or, on SQLite, on
    the write lock) and then finds the position changed, before it has touched anything.
    """
    if to <= at.position:
        raise ValueError(f"projection {at.name} cannot go from position {at.position} back to {to}")
    c = projection_positions.c
    moved = connection.execute(
        update(projection_positions)
        .where(
            c.name == at.name,
            c.generation == at.generation,
            c.position == at.position,
            c.state == at.state,
        )
        .values(position=to, updated_at=now)
    )
    return moved.rowcount == 1


def set_state(connection: Connection, at: Position, state: str, now: datetime) -> bool:
    """Change the state of a generation from exactly what was read."""
    c = projection_positions.c
    changed = connection.execute(
        update(projection_positions)
        .where(c.name == at.name, c.generation == at.generation, c.state == at.state)
        .values(state=state, updated_at=now)
    )
    return changed.rowcount == 1


def forget(connection: Connection, at: Position) -> None:
    """Remove a retired generation from the books, after its rows."""
    c = projection_positions.c
    connection.execute(
        delete(projection_positions).where(c.name == at.name, c.generation == at.generation, c.state == RETIRED)
    )
