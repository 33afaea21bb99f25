"""The severity board's fold: one row per incident, with the counters that the board shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Connection

from incidents.incident import events as incident
from incidents.record import Event, Recorded
from incidents.reference import reference_of
from playbooks.duties import events as duties
from projections.projection import LAST_INSTANT, Projection, incident_of, incidents_in
from projections.rows import Row, Rows
from projections.severity_board.tables import NAME, board_duties, board_grades, board_incidents

STATE_AFTER: dict[type[Event], str] = {
    incident.IncidentTriaged: "triaged",
    incident.IncidentContained: "contained",
    incident.IncidentEradicated: "eradicated",
    incident.IncidentRecovered: "recovered",
    incident.IncidentClosed: "closed",
    incident.IncidentReopened: "triaged",
    incident.IncidentMerged: "merged",
}

CLOSED_STATES = frozenset({"closed", "merged"})
"""Those of which nobody works on the incident any more."""

WORST_SEVERITY = 6
"""OCSF `severity_id` of a fatal event."""

_UNKNOWN = "unknown"
_MOST = 2**63 - 1


class SeverityBoard(Projection):
    """What is going on, and which clock runs out first."""

    name = NAME
    version = 2
    events = (*incident.EVENTS, *duties.EVENTS)
    tables: ClassVar = (board_incidents, board_grades, board_duties)

    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        touched = incidents_in(batch)
        boards = Rows(connection, board_incidents, generation)
        boards.load(touched)
        with_duties = {(incident_of(r.event),) for r in batch if isinstance(r.event, duties.EVENTS)}
        register = Rows(connection, board_duties, generation)
        register.load(with_duties)
        grades = Rows(connection, board_grades, generation)
        for recorded in batch:
            event = recorded.event
            incident_id = incident_of(event)
            row = boards.get(incident_id)
            if row is None:
                row = _open(boards, incident_id, event)
            values: Row = {}
            if isinstance(event, incident.IncidentGraded):
                _grade(grades, incident_id, event)
            elif (fold := _FOLDS.get(type(event))) is not None:
                values = fold(row, event)
            elif isinstance(event, duties.EVENTS):
                fold_duty(register, incident_id, event)
            boards.put(incident_id, updated_at=max(row["updated_at"], event.recorded_at), **values)
        _count_duties(boards, register, with_duties)
        for rows in (boards, register, grades):
            rows.flush()


def _open(boards: Rows, incident_id: UUID, event: Event) -> Row:
    return boards.put(
        incident_id,
        reference=reference_of(incident_id),
        opened_at=event.happened_at,
        updated_at=event.recorded_at,
        next_due_sort=LAST_INSTANT,
    )


def _reported(row: Row, event: Any) -> Row:
    return {
        "title": event.title,
        "search_text": f"{event.title}\n{row['reference']}".casefold(),
        "reported_by": event.reported_by,
        "opened_at": event.happened_at,
    }


def _alert_linked(row: Row, event: Any) -> Row:
    return {
        "alerts": row["alerts"] + 1,
        "severity_rank": max(row["severity_rank"], _severity_rank(event.alert.severity_id)),
    }


def _severity_rank(severity_id: int) -> int:
    return severity_id if 0 <= severity_id <= WORST_SEVERITY else 0  # OCSF 99 is "other", not worse than all


def _assigned(_row: Row, event: Any) -> Row:
    return {"assignee": event.assignee}


def _moved(_row: Row, event: Any) -> Row:
    state = STATE_AFTER[type(event)]
    return {"state": state, "is_open": state not in CLOSED_STATES}


def _merged(row: Row, event: Any) -> Row:
    return {"merged_into": event.into, **_moved(row, event)}


def _facts(_row: Row, event: Any) -> Row:
    values: Row = {}
    facts: dict[str, Any] = event.facts
    if "persons_affected" in facts:
        stated = facts["persons_affected"]
        values["persons_stated"] = None if stated == _UNKNOWN else min(int(stated), _MOST)
    if "persons_by_country" in facts:
        counted = facts["persons_by_country"]
        values["persons_counted"] = None if counted == _UNKNOWN else min(sum(map(int, counted.values())), _MOST)
    return values


_FOLDS: dict[type[Event], Callable[[Row, Any], Row]] = {
    incident.IncidentReported: _reported,
    incident.AlertLinked: _alert_linked,
    incident.IncidentAssigned: _assigned,
    incident.FactsStated: _facts,
    **dict.fromkeys(STATE_AFTER, _moved),
    incident.IncidentMerged: _merged,
}


def _grade(grades: Rows, incident_id: UUID, event: incident.IncidentGraded) -> None:
    grades.put(
        incident_id,
        event.scheme,
        level=event.level,
        scheme_version=event.scheme_version,
        overridden=event.override_reason is not None,
        open_criteria=len(event.open),
        graded_at=event.recorded_at,
    )


def fold_duty(register: Rows, incident_id: UUID, event: Event) -> None:
    """Bring one duty's small row up to date."""
    match event:
        case duties.DutyIdentified(duty=duty) | duties.DutyRevised(duty=duty):
            register.put(
                incident_id,
                duty.duty_id,
                rule=duty.rule,
                recipient=duty.recipient,
                status=duty.status,
                due=duty.strict_due or duty.earliest_deadline,
                lifted=False,
            )
        case duties.DutyLifted(duty_id=duty_id):
            register.put(incident_id, duty_id, lifted=True)
        case duties.DutyWaived(duty_id=duty_id):
            register.put(incident_id, duty_id, waived=True)
        case duties.WaiverOverturned(duty_id=duty_id):
            register.put(incident_id, duty_id, waived=False)
        case duties.DutyFulfilled(duty_id=duty_id):
            register.put(incident_id, duty_id, fulfilled=True)
        case duties.DutyMissed(duty_id=duty_id):
            register.put(incident_id, duty_id, missed=True)


def _count_duties(boards: Rows, register: Rows, with_duties: set[tuple[UUID]]) -> None:
    by_incident: dict[UUID, list[Row]] = {incident_id: [] for (incident_id,) in with_duties}
    for duty in register:
        by_incident[duty["incident_id"]].append(duty)
    for incident_id, mine in by_incident.items():
        open_duties = [
            duty
            for duty in mine
            if not (duty["waived"] or duty["lifted"] or duty["fulfilled"] or duty["status"] == "exempt")
        ]
        timed = [duty for duty in open_duties if duty["due"] is not None]
        first = min(timed, key=lambda duty: (duty["due"], duty["duty_id"]), default=None)
        boards.put(
            incident_id,
            duties_open=len(open_duties),
            duties_missed=sum(duty["missed"] for duty in mine),
            next_duty=first and first["duty_id"],
            next_rule=first and first["rule"],
            next_recipient=first and first["recipient"],
            next_possible=first is not None and first["status"] == "possible",
            next_due_sort=first["due"] if first else LAST_INSTANT,
        )
