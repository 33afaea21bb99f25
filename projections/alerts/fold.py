"""The alert list's fold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sqlalchemy import Connection

from incidents.alerts.events import AlertRaised, AlertReceived
from incidents.record import Recorded
from projections.alerts.tables import NAME, alert_list
from projections.projection import Projection
from projections.rows import Rows


class Alerts(Projection):
    """What the detectors said, and which incident each alert went to."""

    name = NAME
    version = 1
    events = (AlertReceived, AlertRaised)
    tables: ClassVar = (alert_list,)

    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        rows = Rows(connection, alert_list, generation)
        rows.load({(r.event.alert.alert_id,) for r in batch if isinstance(r.event, AlertRaised)})
        for recorded in batch:
            event = recorded.event
            if isinstance(event, AlertReceived | AlertRaised):
                alert = event.alert
                before = rows.get(alert.alert_id)
                rows.put(
                    alert.alert_id,
                    incident_id=event.incident_id,
                    outcome=event.outcome,
                    dialect=alert.dialect,
                    source=alert.source,
                    rule=alert.rule,
                    title=alert.title,
                    severity_id=alert.severity_id,
                    digest=alert.digest,
                    correlation_key=event.correlation_key,
                    detected_at=alert.detected_at,
                    received_at=event.recorded_at if before is None else before["received_at"],
                )
        rows.flush()
