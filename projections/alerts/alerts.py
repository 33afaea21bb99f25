"""Reading the alert list."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, select

from incidents.record.database import reading
from incidents.reference import reference_of
from projections.alerts.tables import NAME, alert_list
from projections.paging import Order, Page, ReadModel, read_instant, read_page, read_uuid
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
NEWEST = Order("received", (_c.received_at, _c.alert_id), (read_instant, read_uuid), descending=True)


def alerts(
    engine: Engine, *, incident_id: UUID | None = None, limit: int = 50, cursor: str | None = None
) -> Page[AlertEntry]:
    """The alerts, of all incidents or of one, newest first."""
    statement = select(alert_list).where(_c.generation == live_generation(NAME))
    if incident_id is not None:
        statement = statement.where(_c.incident_id == incident_id)
    with reading(engine) as connection:
        rows, next_cursor = read_page(connection, statement, NEWEST, limit=limit, cursor=cursor)
    return Page(
        items=tuple(
            AlertEntry(
                **{name: row[name] for name in AlertEntry.model_fields if name != "reference"},
                reference=reference_of(row["incident_id"]) if row["incident_id"] is not None else None,
            )
            for row in rows
        ),
        next_cursor=next_cursor,
    )
