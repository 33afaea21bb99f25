"""Rebuilding read models: our batching runner against the library's stock runner, which commits once per event.

Both fill the same two tables, the timeline (a row per event) and the recovery status (a row per incident), and the
rows are compared afterwards. The stock side is written in plain SQL on the library's tracking recorder, and reads
its events from memory, because the library has no subscription for SQLite; both favour it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.projection import Projection as StockProjection
from eventsourcing.projection import ProjectionRunner
from eventsourcing.sqlite import SQLiteTrackingRecorder
from sqlalchemy import Engine, Table, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from bench.rounds import Comparison, Work, compare
from bench.streams import REGISTRY, START, histories, our_record
from incidents.clock import ManualClock
from incidents.incident import events as incident
from incidents.record import Event, Record
from incidents.record.database import metadata, open_engine, reading
from projections.recovery.fold import Recovery
from projections.recovery.tables import recovery_incidents
from projections.runner import Runner
from projections.tables import projection_positions
from projections.timeline.fold import MINOR, Timeline, parameters_of
from projections.timeline.tables import timeline_entries

TABLES = (timeline_entries, recovery_incidents)

_PHASES = {
    incident.IncidentTriaged: "triaged",
    incident.IncidentContained: "contained",
    incident.IncidentEradicated: "eradicated",
    incident.IncidentRecovered: "recovered",
    incident.IncidentClosed: "closed",
}


class StockView(SQLiteTrackingRecorder):
    """The tables on the library's recorder: each event's rows and its position in one transaction."""

    def construct_create_table_statements(self) -> list[str]:
        dialect = sqlite.dialect()
        made = super().construct_create_table_statements()
        for table in TABLES:
            made.append(str(CreateTable(table, if_not_exists=True).compile(dialect=dialect)))
            made += [str(CreateIndex(index, if_not_exists=True).compile(dialect=dialect)) for index in table.indexes]
        return made

    def record(self, statements: Sequence[tuple[str, tuple[Any, ...]]], tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            for statement, values in statements:
                cursor.execute(statement, values)
            self._insert_tracking(cursor, tracking)


class StockReadModels(StockProjection[StockView]):
    """What a user of the bare library would write."""

    name = "stock"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        event = cast(Event, domain_event)
        self.view.record([_timeline(event, tracking.notification_id), *_recovery(event)], tracking)


def _instant(value: datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S.%f")


def _timeline(event: Event, position: int) -> tuple[str, tuple[Any, ...]]:
    values = (
        1,
        position,
        event.originator_id.hex,
        event.originator_id.hex,
        event.originator_version,
        _instant(event.recorded_at),
        _instant(event.happened_at),
        event.actor,
        event.kind,
        type(event) in MINOR,
        json.dumps(parameters_of(event)),
        event.cause,
    )
    return f"INSERT INTO timeline_entries VALUES ({','.join('?' * len(values))})", values


def _recovery(event: Event) -> list[tuple[str, tuple[Any, ...]]]:
    it, at = event.originator_id.hex, _instant(event.happened_at)
    if isinstance(event, incident.IncidentReported):
        return [
            (
                "INSERT INTO recovery_incidents "
                "(generation, incident_id, title, state, reported_at, state_since, reopened) "
                "VALUES (1, ?, ?, 'reported', ?, ?, 0)",
                (it, event.title, at, at),
            )
        ]
    if isinstance(event, incident.AlertLinked):
        detected = _instant(event.alert.detected_at)
        return [
            (
                "UPDATE recovery_incidents SET detected_at = min(coalesce(detected_at, ?), ?) "
                "WHERE generation = 1 AND incident_id = ?",
                (detected, detected, it),
            )
        ]
    phase = _PHASES.get(type(event))
    if phase is None:
        return []
    return [
        (
            f"UPDATE recovery_incidents SET {phase}_at = ?, state = ?, state_since = ? "
            "WHERE generation = 1 AND incident_id = ?",
            (at, phase, at, it),
        )
    ]


class StockRecord(Record):
    """Our events and mapper, in memory, in the form in which the stock runner makes its application."""

    loaded: Sequence[StoredEvent] = ()

    def __init__(self, env: dict[str, str] | None = None) -> None:
        super().__init__(REGISTRY, {"PERSISTENCE_MODULE": "eventsourcing.popo"})
        self.recorder.insert_events(self.loaded)


def rebuild(folder: Path, events: int, runs: int) -> Comparison:
    """From position 0 to the head."""
    record = our_record(_fresh(folder))
    for one in histories(events):
        record.commit(one)
    stored = record.recorder.select_notifications(None, events + 1)
    source = type("LoadedRecord", (StockRecord,), {"loaded": stored})
    filled: dict[str, Engine] = {}

    def ours(_run: int) -> Work:
        engine = filled["ours"] = open_engine(f"sqlite:///{_fresh(folder)}")
        metadata.create_all(engine, tables=[*TABLES, projection_positions])
        runner = Runner(record, engine, (Timeline(), Recovery()), ManualClock(START))

        def work() -> int:
            runner.drain()
            return len(stored)

        return work

    def bare(_run: int) -> Work:
        path = _fresh(folder)
        filled["bare"] = open_engine(f"sqlite:///{path}")
        env = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path, "SQLITE_LOCK_TIMEOUT": "30"}

        def work() -> int:
            with ProjectionRunner(
                application_class=source, projection_class=StockReadModels, view_class=StockView, env=env
            ) as runner:
                runner.wait(len(stored), timeout=600)
            return len(stored)

        return work

    comparison = compare("rebuild of two read models", aim=5.0, ours=ours, bare=bare, runs=runs)
    for table in TABLES:
        assert _rows(filled["ours"], table) == _rows(filled["bare"], table), f"the two sides differ in {table.name}"
    return comparison


def _fresh(folder: Path) -> str:
    return str(folder / f"{uuid4().hex}.sqlite")


def _rows(engine: Engine, table: Table) -> list[tuple[Any, ...]]:
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
