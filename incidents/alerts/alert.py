"""The alert: one thing a detector said, received once however often it is sent."""

from __future__ import annotations

from uuid import UUID

from incidents.alerts.events import AlertRaised, AlertReceived, Outcome
from incidents.incident.events import AlertSummary
from incidents.record import Aggregate, Context, folds


class Alert(Aggregate):
    """One alert. Its first event is its reception: of two that receive it at once, one gets a conflict."""

    outcome: Outcome | None = None
    """What became of it; None before it is received."""
    incident_id: UUID | None = None
    summary: AlertSummary | None = None

    def receive(
        self,
        context: Context,
        summary: AlertSummary,
        *,
        correlation_key: str,
        outcome: Outcome,
        incident_id: UUID | None,
    ) -> None:
        """Record what became of it. The first time that is its reception; a second time counts only when it had
        declared nothing before and does now."""
        if self.outcome is None:
            self.emit(
                AlertReceived,
                context,
                alert=summary,
                correlation_key=correlation_key,
                incident_id=incident_id,
                outcome=outcome,
            )
        elif self.incident_id is None and incident_id is not None:
            self.emit(
                AlertRaised,
                context,
                alert=summary,
                correlation_key=correlation_key,
                incident_id=incident_id,
                outcome=outcome,
            )

    @folds(AlertReceived, AlertRaised)
    def _received(self, event: AlertReceived | AlertRaised) -> None:
        self.outcome = event.outcome
        self.incident_id = event.incident_id
        self.summary = event.alert
