"""What is recorded of alerts: that one came in, and which incident a correlation key is open for."""

from __future__ import annotations

from uuid import UUID

from incidents.incident.events import AlertSummary
from incidents.record.event import Event


class AlertReceived(Event, kind="alert.received"):
    """An alert arrived. The stream's id is made from source and alert identity, so a repeat finds this one."""

    alert: AlertSummary
    correlation_key: str
    incident_id: UUID
    """The incident it was linked to, or that was declared for it."""


class CorrelationOpened(Event, kind="correlation.opened"):
    """From now on alerts with this key belong to this incident (until it is closed or merged)."""

    key: str
    incident_id: UUID


EVENTS: tuple[type[Event], ...] = (AlertReceived, CorrelationOpened)
