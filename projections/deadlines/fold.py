"""The deadlines' fold: every duty on record with all that is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import Connection
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from incidents.record import Event, Recorded
from playbooks.duties import events as duties
from playbooks.duties.register import MISSED, restarts_warnings
from projections.deadlines.tables import NAME, deadline_duties
from projections.projection import LAST_INSTANT, Projection, incident_of
from projections.rows import Row, Rows

POSSIBLE, RUNNING, WAITING, SETTLED = 0, 1, 2, 3
"""The order of the list: to be looked into, running, waiting for its clock, over."""

_FROM_DUTY = (
    "rule",
    "instrument",
    "article",
    "jurisdiction",
    "recipient",
    "recipient_kind",
    "stage",
    "clock_event",
    "clock_at",
    "strict_due",
    "legal_end",
    "reminder_at",
    "time_zone",
    "pack_version",
    "confidence",
    "promptness",
    "earliest_deadline",
    "ends_with_day",
    "note",
)
_JSON_FROM_DUTY = {
    "contents",
    "settle_by",
    "why",
    "recipient_names",
    "instrument_titles",
    "content_texts",
    "exemptions",
    "delay",
    "delayable_by",
    "retention",
}


BLANK: Row = {
    column.name: column.default.arg if isinstance(column.default, ScalarElementColumnDefault) else None
    for column in deadline_duties.columns
}
"""The row of a duty before its first event."""
_QUIET: Row = {
    "warned_percent": 0,
    "step": 0,
    "called_out_at": None,
    "acknowledged_step": 0,
    "acknowledged_by": None,
    "acknowledged_at": None,
}


class Deadlines(Projection):
    """What must be told to whom by when, and what became of it."""

    name = NAME
    version = 4
    events = duties.OF_DUTY
    tables: ClassVar = (deadline_duties,)

    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        rows = Rows(connection, deadline_duties, generation)
        rows.load({(incident_of(r.event), duty_of(r.event)) for r in batch})
        for recorded in batch:
            event = recorded.event
            key = (incident_of(event), duty_of(event))
            rows.put(*key, **folded(rows.get(*key), event))
        rows.flush()


def folded(before: Mapping[str, Any] | None, event: Event) -> Row:
    """What an event changes in the row of its duty; `before` is the row so far (None: there is none)."""
    changed: Row = {} if before is not None else {"identified_at": event.recorded_at}
    changed |= {"updated_at": event.recorded_at, **_values(event)}
    row = {**BLANK, **(before or {}), **changed}
    if isinstance(event, duties.DutyRevised) and restarts_warnings(event) and not row["missed"]:
        changed |= _QUIET
    due_sort = row["strict_due"] or row["earliest_deadline"] or LAST_INSTANT
    return changed | {"rank": _rank(row), "due_sort": due_sort}


def duty_of(event: Event) -> str:
    """The duty that an event of the register is about."""
    if isinstance(event, duties.DutyIdentified | duties.DutyRevised):
        return event.duty.duty_id
    duty_id: str = event.duty_id  # type: ignore[attr-defined]
    return duty_id


def _values(event: Event) -> Row:
    fold = _FOLDS.get(type(event))
    return fold(event) if fold is not None else {}


def _identified(event: Any) -> Row:
    return {**_duty(event.duty), "lifted": False, "lifted_reason": None}


def _revised(event: Any) -> Row:
    return _duty(event.duty)


def _lifted(event: Any) -> Row:
    return {"lifted": True, "lifted_reason": event.reason}


def _waived(event: Any) -> Row:
    return {
        "waived": True,
        "waived_by": event.actor,
        "waived_at": event.recorded_at,
        "waiver_reason": event.reason,
    }


def _overturned(_event: Any) -> Row:
    return {"waived": False, "waived_by": None, "waived_at": None, "waiver_reason": None}


def _fulfilled(event: Any) -> Row:
    return {
        "fulfilled_at": event.submitted_at,
        "fulfilled_by": event.actor,
        "fulfilled_how": event.how,
        "late": event.late,
    }


def _warned(event: Any) -> Row:
    return {"warned_percent": event.percent, "step": event.percent, "called_out_at": event.recorded_at}


def _missed(event: Any) -> Row:
    return {"missed": True, "step": MISSED, "called_out_at": event.recorded_at}


def _acknowledged(event: Any) -> Row:
    return {
        "acknowledged_step": event.step,
        "acknowledged_by": event.actor,
        "acknowledged_at": event.recorded_at,
    }


def _assigned(event: Any) -> Row:
    return {"assigned_to": event.owner or None, "assigned_by": event.actor, "assigned_at": event.recorded_at}


def _duty(duty: duties.DutyOnRecord) -> Row:
    values = {name: getattr(duty, name) for name in _FROM_DUTY}
    paused_until = duty.delay.until if duty.delay is not None and duty.status == "paused" else None
    derived = {"derived_status": duty.status, "paused_until": paused_until}
    return values | duty.model_dump(mode="json", include=_JSON_FROM_DUTY) | derived


def _rank(row: Row) -> int:
    if row["lifted"] or row["waived"] or row["fulfilled_at"] or row["derived_status"] == "exempt":
        return SETTLED
    return {"possible": POSSIBLE, "waiting_for_clock": WAITING}.get(row["derived_status"], RUNNING)


_FOLDS: dict[type[Event], Callable[[Any], Row]] = {
    duties.DutyIdentified: _identified,
    duties.DutyRevised: _revised,
    duties.DutyLifted: _lifted,
    duties.DutyWaived: _waived,
    duties.WaiverOverturned: _overturned,
    duties.DutyFulfilled: _fulfilled,
    duties.DutyWarned: _warned,
    duties.DutyMissed: _missed,
    duties.DutyAcknowledged: _acknowledged,
    duties.DutyAssigned: _assigned,
}
