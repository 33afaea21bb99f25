"""Reading the alert list."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, select

from incidents.record.database import reading
from incidents.reference import reference_of
from projections.alerts.tables import NAME, alert_list
from projections.paging import (
    Page,
    ReadModel,
    after,
    check_limit,
    decode_cursor,
    encode_cursor,
    read_instant,
    read_uuid,
)
from projections.positions import live_generation


class AlertEntry(ReadModel):
    """One alert, and the incident it went to."""

    alert_id: UUID
    incident_id: UUID | None
    reference: str | None
    """Of the incident; None when it went to none."""
    outcome: str
    """`declared`, `linked` or `below_threshold`."""
    dialect: str
    source: str
    rule: str
    title: str
    severity_id: int
    """OCSF: 0 unknown, 1 informational ... 6 fatal, 99 other."""
    digest: str
    correlation_key: str
    detected_at: datetime
    received_at: datetime


_c = alert_list.c


def alerts(
    engine: Engine, *, incident_id: UUID | None = None, limit: int = 50, cursor: str | None = None
) -> Page[AlertEntry]:
    """The alerts, of all incidents or of one, newest first."""
    keys = (_c.received_at, _c.alert_id)
    statement = (
        select(alert_list)
        .where(_c.generation == live_generation(NAME))
        .order_by(*(key.desc() for key in keys))
        .limit(check_limit(limit) + 1)
    )
    if incident_id is not None:
        statement = statement.where(_c.incident_id == incident_id)
    if cursor is not None:
        values = decode_cursor(cursor, "received", (read_instant, read_uuid))
        statement = statement.where(after(keys, values, descending=True))
    with reading(engine) as connection:
        rows = connection.execute(statement).mappings().all()
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        items=tuple(
            AlertEntry(
                **{name: row[name] for name in AlertEntry.model_fields if name != "reference"},
                reference=reference_of(row["incident_id"]) if row["incident_id"] is not None else None,
            )
            for row in rows[:limit]
        ),
        next_cursor=encode_cursor("received", (last["received_at"], last["alert_id"])) if last else None,
    )
