"""What becomes of an alert: pure. The alert, its key's stream and the incident are given; who loads and saves them, one
by one or many in a transaction, is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import Field

from incidents.alerts.alert import Alert
from incidents.alerts.correlation import (
    Correlation,
    CorrelationStream,
    CorrelationTable,
    default_correlation_table,
)
from incidents.alerts.dialects import LIMITS, Limits
from incidents.alerts.events import Outcome
from incidents.alerts.finding import SEVERITIES, Finding, clean_line
from incidents.alerts.identity import alert_id_of, incident_id_of, raw_digest
from incidents.alerts.suggested_facts import suggested_facts
from incidents.errors import Conflict
from incidents.facts import parse_changes
from incidents.incident.events import AlertSummary
from incidents.incident.incident import Incident
from incidents.privacy import mask_contacts
from incidents.record import Context, Model

_MAX_MERGES = 32
_UNRATED = frozenset({0, 99})


class IntakeSettings(Model):
    """What intake takes in and what it declares incidents from."""

    limits: Limits = LIMITS
    declare_from: int = Field(default=3, ge=0, le=6)
    """Least OCSF severity (3 Medium) that declares an incident. Unrated alerts (0 Unknown, 99 Other) always do."""
    correlation: CorrelationTable = Field(default_factory=default_correlation_table)
    max_linked: int = Field(default=500, ge=1)
    """Alerts written into one incident's own history. Later ones are recorded as linked on the alert's side only,
    so that a detector gone wild cannot make an incident too heavy to load."""


class Receipt(Model):
    """What became of an alert. A repeat gets the same ids, with the outcome `duplicate`."""

    alert_id: UUID
    incident_id: UUID | None
    outcome: str
    """`declared`, `linked`, `duplicate` or `below_threshold`."""
    first_outcome: Outcome
    """What became of it when it counted: on its first arrival, or later if it was too mild before."""


class MergedTooOften(Conflict):
    """The incident of an alert was merged on and on; no repetition mends that."""


@dataclass(frozen=True, slots=True)
class ReadAlert:
    """An alert that was read and understood, and nothing decided about it yet."""

    summary: AlertSummary
    correlation: Correlation
    stream_id: UUID
    """Of its correlation key's stream."""
    asset_name: str | None
    is_over: bool
    """Whether the source itself calls it closed."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of it, and the incident, which has pending events unless the alert was a duplicate."""

    receipt: Receipt
    incident: Incident | None = None

    @property
    def is_news(self) -> bool:
        """Whether there is anything to save."""
        return self.receipt.outcome != "duplicate"


Load = Callable[[UUID], Incident]
"""Loads an incident that is on record."""


class Decider:
    """Decides by the settings."""

    def __init__(self, settings: IntakeSettings) -> None:
        self.settings = settings

    def understand(self, dialect: str, raw: bytes, finding: Finding) -> ReadAlert:
        """Who the alert is, and which alerts it belongs with."""
        correlation = self.settings.correlation.correlate(dialect, finding)
        stream_id = CorrelationStream.id_of(correlation.key)
        summary = summarise(dialect, raw, finding)
        return ReadAlert(summary, correlation, stream_id, finding.asset_name, finding.is_over)

    def decide(self, read: ReadAlert, context: Context, alert: Alert, stream: CorrelationStream, load: Load) -> Decided:
        """Let the alert, its key's stream and its incident emit what happened. Conflict for an endless merge."""
        declares = self._declares(read)
        if alert.outcome is not None and (alert.incident_id is not None or not declares):
            return Decided(_receipt(alert, "duplicate"))
        incident = _open_incident(stream, read.correlation, context.recorded_at, load)
        outcome: Outcome = "below_threshold"
        if incident is not None:
            outcome = "linked"
            if len(incident.alerts) < self.settings.max_linked:
                incident.link_alert(context, read.summary)
        elif declares:
            outcome = "declared"
            incident = _declare(read, context)
            stream.open(context, read.correlation.key, incident.id)
        if outcome == "below_threshold" and alert.outcome is not None:
            return Decided(_receipt(alert, "duplicate"))
        alert.receive(
            context,
            read.summary,
            correlation_key=read.correlation.key,
            outcome=outcome,
            incident_id=incident.id if incident else None,
        )
        return Decided(_receipt(alert, outcome), incident)

    def _declares(self, read: ReadAlert) -> bool:
        severity = read.summary.severity_id
        return not read.is_over and (severity in _UNRATED or severity >= self.settings.declare_from)


def _open_incident(stream: CorrelationStream, correlation: Correlation, now: datetime, load: Load) -> Incident | None:
    """The open incident that the key means now, following merges, or None."""
    incident_id = stream.incident_id
    if incident_id is None or not stream.holds_at(now, correlation.window):
        return None
    for _ in range(_MAX_MERGES):
        incident = load(incident_id)
        if incident.merged_into is None:
            return incident if incident.is_open else None
        incident_id = incident.merged_into
    raise MergedTooOften("The incident of this alert was merged too many times over; link the alert by hand.")


def _declare(read: ReadAlert, context: Context) -> Incident:
    summary, asset = read.summary, read.asset_name
    severity = SEVERITIES[summary.severity_id]
    place = f", on {mask_contacts(asset)}" if asset else ""
    incident = Incident.report(
        incident_id_of(summary.alert_id),
        context,
        title=summary.title,
        summary=f"{summary.source}: alert of severity {severity.lower()}, rule {summary.rule}{place}.",
        reported_by="alert",
        correlation_key=read.correlation.key,
    )
    incident.link_alert(context, summary)
    facts = parse_changes(suggested_facts(summary.detected_at, context.recorded_at))
    incident.state_facts(context, facts, source=f"alert: {summary.source}")
    return incident


def summarise(dialect: str, raw: bytes, finding: Finding) -> AlertSummary:
    """What the record keeps of an alert, contacts masked."""
    return AlertSummary(
        alert_id=alert_id_of(finding),
        dialect=dialect,
        source=mask_contacts(finding.source),
        rule=mask_contacts(finding.rule),
        title=clean_line(mask_contacts(finding.title)),
        severity_id=finding.severity_id,
        digest=raw_digest(raw),
        detected_at=finding.detected_at,
    )


def _receipt(alert: Alert, outcome: str) -> Receipt:
    return Receipt(
        alert_id=alert.id,
        incident_id=alert.incident_id,
        outcome=outcome,
        first_outcome=alert.outcome or "below_threshold",
    )
