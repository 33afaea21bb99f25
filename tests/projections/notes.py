"""A projection that counts notes, to see what the runner does to any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, MetaData, String, Table, select

from incidents.clock import ManualClock
from incidents.incident import events as incident
from incidents.record import Aggregate, Context, Record, Recorded
from incidents.record.database import reading
from projections.coverage.tables import coverage_cells
from projections.positions import live_generation
from projections.projection import Projection
from projections.rows import Rows, append, generation_column
from projections.runner import Runner

if TYPE_CHECKING:
    from tests.projections.conftest import Installation

notes_metadata = MetaData()
seen_positions = Table(
    "test_seen_positions", notes_metadata, generation_column(), Column("position", BigInteger, primary_key=True)
)
note_counts = Table(
    "test_note_counts",
    notes_metadata,
    generation_column(),
    Column("name", String(16), primary_key=True),
    Column("notes", Integer, nullable=False, default=0),
)


class Notes(Projection):
    """Counts notes and keeps their positions: an event folded twice or skipped shows."""

    name = "test_notes"
    version = 1
    events = (incident.NoteAdded,)
    tables: ClassVar = (seen_positions, note_counts)

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.refuse: str | None = None

    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        self.batches.append(len(batch))
        rows = Rows(connection, note_counts, generation)
        rows.load({("all",)})
        before = rows.get("all")
        rows.put("all", notes=(before["notes"] if before else 0) + len(batch))
        rows.flush()
        append(connection, seen_positions, generation, [{"position": r.position} for r in batch])
        if any(getattr(r.event, "text", None) == self.refuse for r in batch):
            raise RuntimeError("a fold with a fault")


class NotesVersionTwo(Notes):
    version = 2

    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        rows = Rows(connection, note_counts, generation)
        rows.load({("v2",)})
        before = rows.get("v2")
        rows.put("v2", notes=(before["notes"] if before else 0) + len(batch))
        rows.flush()


def counts(engine: Engine) -> dict[str, int]:
    """What a reader sees."""
    c = note_counts.c
    with reading(engine) as connection:
        rows = connection.execute(select(c.name, c.notes).where(c.generation == live_generation(Notes.name)))
        return {row.name: row.notes for row in rows}


def positions_seen(engine: Engine) -> list[int]:
    c = seen_positions.c
    with reading(engine) as connection:
        live = select(c.position).where(c.generation == live_generation(Notes.name)).order_by(c.position)
        return list(connection.execute(live).scalars())


def write_notes(record: Record, clock: ManualClock, texts: Sequence[str]) -> list[int]:
    stream = Aggregate(uuid4())
    for text in texts:
        stream.emit(incident.NoteAdded, Context.of_command("user:lan", clock), text=text)
    return record.commit(stream)


def rows_of(engine: Engine, projections: Sequence[Projection]) -> dict[str, list[tuple[Any, ...]]]:
    """All live rows, without their generation."""
    found = {}
    with reading(engine) as connection:
        for projection in projections:
            for table in projection.tables:
                columns = [c for c in table.columns if c.name != "generation"]
                live = select(*columns).where(table.c.generation == live_generation(projection.name))
                if table is coverage_cells:  # an emptied cell says the same as one that never was
                    live = live.where(table.c.recipients > 0)
                rows = connection.execute(live).all()
                found[table.name] = sorted((tuple(row) for row in rows), key=repr)
    return found


def runner_of(installation: Installation, *projections: Projection, **settings: Any) -> Runner:
    return Runner(installation.record, installation.engine, projections, installation.clock, **settings)
