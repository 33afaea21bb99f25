"""Reading the recovery status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, select

from incidents.errors import NotFound
from incidents.record.database import reading
from incidents.reference import reference_of
from projections.paging import Order, Page, ReadModel, read_instant, read_page, read_uuid
from projections.positions import live_generation
from projections.recovery.tables import NAME, recovery_incidents

PHASES = ("reported", "triaged", "contained", "eradicated", "recovered", "closed")
"""NIST SP 800-61r3 and ISO/IEC 27035-1, in order. Eradication may be left out."""

_NEXT_STEP = {
    "reported": "triage",
    "triaged": "contain",
    "contained": "eradicate",
    "eradicated": "recover",
    "recovered": "close",
}


class RecoveryStatus(ReadModel):
    """One incident's phases. Durations are in whole seconds; None while the phase is not reached."""

    incident_id: UUID
    reference: str
    title: str
    state: str
    detected_at: datetime | None
    """When the first of its alerts says it was detected."""
    reached: Mapping[str, datetime | None]
    """Phase to the instant it was reached in the world, for each of `PHASES`."""
    seconds_to_triage: int | None
    """From reported; so are the next two."""
    seconds_to_contain: int | None
    seconds_to_recover: int | None
    seconds_open: int | None
    """From reported to closed."""
    open_step: str | None
    """What has to be done next: `triage`, `contain`, `eradicate`, `recover`, `close`; None when nothing is open."""
    open_since: datetime | None
    reopened: int
    """How many times it was reopened."""


_c = recovery_incidents.c
NEWEST = Order("reported", (_c.reported_at, _c.incident_id), (read_instant, read_uuid), descending=True)


def recovery(
    engine: Engine, *, only_open: bool = False, limit: int = 50, cursor: str | None = None
) -> Page[RecoveryStatus]:
    """All incidents, newest first."""
    statement = select(recovery_incidents).where(_c.generation == live_generation(NAME))
    if only_open:
        statement = statement.where(_c.state.not_in(("closed", "merged")))
    with reading(engine) as connection:
        rows, next_cursor = read_page(connection, statement, NEWEST, limit=limit, cursor=cursor)
    return Page(items=tuple(_status(row) for row in rows), next_cursor=next_cursor)


def recovery_of(engine: Engine, incident_id: UUID) -> RecoveryStatus:
    """One incident's phases. NotFound when it is not on record (yet)."""
    statement = select(recovery_incidents).where(_c.generation == live_generation(NAME), _c.incident_id == incident_id)
    with reading(engine) as connection:
        row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no incident {incident_id}.", field="incident_id")
    return _status(row)


def _status(row: Mapping[Any, Any]) -> RecoveryStatus:
    reached = {phase: row[f"{phase}_at"] for phase in PHASES}

    def seconds_to(phase: str) -> int | None:
        at = reached[phase]
        return None if at is None else max(0, int((at - reached["reported"]).total_seconds()))

    step = _NEXT_STEP.get(row["state"])
    return RecoveryStatus(
        incident_id=row["incident_id"],
        reference=reference_of(row["incident_id"]),
        title=row["title"],
        state=row["state"],
        detected_at=row["detected_at"],
        reached=reached,
        seconds_to_triage=seconds_to("triaged"),
        seconds_to_contain=seconds_to("contained"),
        seconds_to_recover=seconds_to("recovered"),
        seconds_open=seconds_to("closed"),
        open_step=step,
        open_since=row["state_since"] if step else None,
        reopened=row["reopened"],
    )
