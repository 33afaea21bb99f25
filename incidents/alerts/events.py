"""What is recorded of alerts: that one came in, and which incident a correlation key is open for."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from incidents.incident.events import AlertSummary
from incidents.record.event import Event

Outcome = Literal["declared", "linked", "below_threshold"]
"""`declared`: a new incident was declared from the alert; `linked`: it belongs to an open one; `below_threshold`: it
is kept and counted, but it is too mild (or already over) to declare anything, and no open incident has its key."""


class AlertReceived(Event, kind="alert.received"):
    """An alert arrived. The stream's id is made from source and alert identity, so a repeat finds this one."""

    alert: AlertSummary
    correlation_key: str
    incident_id: UUID | None = None
    """The incident it was linked to, or that was declared for it; None when it was below the threshold."""
    outcome: Outcome = "linked"


class AlertRaised(Event, kind="alert.raised"):
    """An alert that had declared nothing came again, and now it does (the source raised its severity, say)."""

    alert: AlertSummary
    correlation_key: str
    incident_id: UUID
    outcome: Outcome


class CorrelationOpened(Event, kind="correlation.opened"):
    """From now on alerts with this key belong to this incident (until it is closed or merged)."""

    key: str
    incident_id: UUID


EVENTS: tuple[type[Event], ...] = (AlertReceived, AlertRaised, CorrelationOpened)
