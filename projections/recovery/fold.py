"""The recovery fold: when each phase of handling began, in the world's time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sqlalchemy import Connection

from incidents.incident import events as incident
from incidents.record import Event, Recorded
from projections.projection import Projection
from projections.recovery.tables import NAME, recovery_incidents
from projections.rows import Row, Rows

_PHASE_OF: dict[type[Event], str] = {
    incident.IncidentTriaged: "triaged",
    incident.IncidentContained: "contained",
    incident.IncidentEradicated: "eradicated",
    incident.IncidentRecovered: "recovered",
    incident.IncidentClosed: "closed",
}

_LATER: Row = dict.fromkeys(("contained_at", "eradicated_at", "recovered_at", "closed_at"))


class Recovery(Projection):
    """How far the handling of each incident is, and how long each phase took."""

    name = NAME
    version = 1
    events = (
        incident.IncidentReported,
        incident.AlertLinked,
        *_PHASE_OF,
        incident.IncidentReopened,
        incident.IncidentMerged,
    )
    tables: ClassVar = (recovery_incidents,)

    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        rows = Rows(connection, recovery_incidents, generation)
        rows.load({(recorded.event.originator_id,) for recorded in batch})
        for recorded in batch:
            event = recorded.event
            row = rows.get(event.originator_id)
            if row is None:
                at = event.happened_at
                row = rows.put(event.originator_id, reported_at=at, state_since=at)
            rows.put(event.originator_id, **_values(row, event))
        rows.flush()


def _values(row: Row, event: Event) -> Row:
    at = event.happened_at
    if (phase := _PHASE_OF.get(type(event))) is not None:
        return {f"{phase}_at": at, "state": phase, "state_since": at}
    match event:
        case incident.IncidentReported():
            return {"title": event.title, "reported_at": at, "state_since": at}
        case incident.AlertLinked():
            first = row["detected_at"]
            detected = event.alert.detected_at
            return {"detected_at": detected if first is None else min(first, detected)}
        case incident.IncidentReopened():
            # What was reached is no longer so; the timeline keeps when it was.
            return {**_LATER, "state": "triaged", "state_since": at, "reopened": row["reopened"] + 1}
        case incident.IncidentMerged():
            return {"state": "merged", "state_since": at}
    return {}
