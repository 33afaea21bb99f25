"""Alert intake: from the bytes a detector sent to an incident, once.

Nothing but the event store decides who was first. The alert's stream starts with its reception, the key's stream
names the incident it is open for, and both are saved with the incident's own events in one transaction: of two that
do the same at once, one gets a conflict, loads again and finds what the other did.
"""

from __future__ import annotations

import threading
from datetime import datetime
from uuid import UUID

import structlog
from pydantic import Field

from incidents.alerts.alert import Alert
from incidents.alerts.correlation import (
    Correlation,
    CorrelationStream,
    CorrelationTable,
    default_correlation_table,
)
from incidents.alerts.dialects import LIMITS, Limits, parse, parse_many
from incidents.alerts.events import Outcome
from incidents.alerts.finding import SEVERITIES, DetectionFinding, clean_line
from incidents.alerts.identity import alert_id_of, incident_id_of, raw_digest
from incidents.alerts.suggested_facts import suggested_facts
from incidents.alerts.tables import FindingsStore
from incidents.clock import Clock
from incidents.errors import Conflict, FieldFault, TocsinError
from incidents.facts import parse_changes
from incidents.incident.events import AlertSummary
from incidents.incident.incident import Incident
from incidents.privacy import mask_contacts
from incidents.record import Context, Model, Record, retrying

log = structlog.get_logger(__name__)

_ATTEMPTS = 20
"""A burst of alerts with one key makes many writers meet at one incident; each attempt lets at least one through."""
_STRIPES = 64
_KEPT = 16
"""Incidents remembered by each stripe."""
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


class BatchReceipt(Model):
    """What became of one alert of a batch: a receipt, or what is wrong with it."""

    index: int
    receipt: Receipt | None = None
    code: str | None = None
    detail: str | None = None
    errors: tuple[FieldFault, ...] = ()


class _Stripe:
    """Where threads of one process queue by key, instead of failing on each other in the database.

    It keeps the incidents it last saved, so that each alert of a storm costs reading what is new of its incident and
    not its whole history. An incident is taken out to be changed and put back only when it was saved.
    """

    def __init__(self, record: Record) -> None:
        self.lock = threading.Lock()
        self._record = record
        self._kept: dict[UUID, Incident] = {}

    def load(self, incident_id: UUID) -> Incident:
        """The incident as it is now."""
        kept = self._kept.pop(incident_id, None)
        if kept is None:
            return self._record.load(Incident, incident_id)
        news = self._record.stream(incident_id, after=kept.version)
        return Incident.project(kept, news) or kept

    def keep(self, incident: Incident) -> None:
        """Remember an incident that was just saved."""
        self._kept[incident.id] = incident
        if len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]


class AlertIntake:
    """Receives alerts. Safe to use from many threads and many processes at once."""

    def __init__(
        self, record: Record, findings: FindingsStore, clock: Clock, settings: IntakeSettings | None = None
    ) -> None:
        self._record = record
        self._findings = findings
        self._clock = clock
        self._settings = settings or IntakeSettings()
        self._stripes = tuple(_Stripe(record) for _ in range(_STRIPES))

    def receive(self, dialect: str, raw: bytes, context: Context) -> Receipt:
        """Take in one alert.

        NotFound for an unknown dialect, TooLarge and InvalidInput for a bad body: nothing is changed then.
        Conflict when other writers were faster every time: nothing was changed, send it again.
        """
        return self._take(dialect, raw, parse(dialect, raw, self._settings.limits), context)

    def receive_many(self, dialect: str, raw: bytes, context: Context) -> list[BatchReceipt]:
        """Take in a JSON array or lines of JSON. Each alert is taken or refused by itself."""
        receipts: list[BatchReceipt] = []
        for item in parse_many(dialect, raw, self._settings.limits):
            try:
                if item.finding is None:
                    raise item.error or TocsinError("The alert could not be read.")
                receipt = self._take(dialect, item.raw, item.finding, _of_item(context, item.index))
                receipts.append(BatchReceipt(index=item.index, receipt=receipt))
            except TocsinError as error:
                receipts.append(
                    BatchReceipt(index=item.index, code=error.code, detail=error.detail, errors=error.errors)
                )
        return receipts

    def _take(self, dialect: str, raw: bytes, finding: DetectionFinding, context: Context) -> Receipt:
        correlation = self._settings.correlation.correlate(dialect, finding)
        summary = summarise(dialect, raw, finding)
        stripe = self._stripes[CorrelationStream.id_of(correlation.key).int % _STRIPES]
        with stripe.lock:
            receipt = retrying(lambda: self._decide(finding, summary, correlation, context, stripe), attempts=_ATTEMPTS)
        log.info(
            "alert.received",
            alert_id=str(receipt.alert_id),
            incident_id=str(receipt.incident_id) if receipt.incident_id else None,
            outcome=receipt.outcome,
            dialect=dialect,
        )
        return receipt

    def _decide(
        self,
        finding: DetectionFinding,
        summary: AlertSummary,
        correlation: Correlation,
        context: Context,
        stripe: _Stripe,
    ) -> Receipt:
        alert = self._record.find(Alert, summary.alert_id) or Alert(summary.alert_id)
        declares = self._declares(finding)
        if alert.outcome is not None and (alert.incident_id is not None or not declares):
            return _receipt(alert, "duplicate")
        stream = self._stream_of(correlation.key)
        incident = self._open_incident(stream, correlation, context.recorded_at, stripe)
        outcome: Outcome = "below_threshold"
        if incident is not None:
            outcome = "linked"
            if len(incident.alerts) < self._settings.max_linked:
                incident.link_alert(context, summary)
        elif declares:
            outcome = "declared"
            incident = self._declare(finding, summary, correlation.key, context)
            stream.open(context, correlation.key, incident.id)
        if outcome == "below_threshold" and alert.outcome is not None:
            return _receipt(alert, "duplicate")
        alert.receive(
            context,
            summary,
            correlation_key=correlation.key,
            outcome=outcome,
            incident_id=incident.id if incident else None,
        )
        # The finding goes first: a crash in between leaves a finding nobody refers to, never the other way round.
        self._findings.save(summary.alert_id, summary.digest, summary.dialect, self._clock.now(), finding)
        self._record.commit(alert, stream, incident)
        if incident is not None:
            stripe.keep(incident)
        return _receipt(alert, outcome)

    def _declares(self, finding: DetectionFinding) -> bool:
        if finding.is_over:
            return False
        return finding.severity_id in _UNRATED or finding.severity_id >= self._settings.declare_from

    def _stream_of(self, key: str) -> CorrelationStream:
        stream_id = CorrelationStream.id_of(key)
        return self._record.find(CorrelationStream, stream_id) or CorrelationStream(stream_id)

    def _open_incident(
        self, stream: CorrelationStream, correlation: Correlation, now: datetime, stripe: _Stripe
    ) -> Incident | None:
        """The open incident that the key means now, following merges, or None."""
        incident_id = stream.incident_id
        if incident_id is None or not stream.holds_at(now, correlation.window):
            return None
        for _ in range(_MAX_MERGES):
            incident = stripe.load(incident_id)
            if incident.merged_into is None:
                return incident if incident.is_open else None
            incident_id = incident.merged_into
        raise Conflict("The incident of this alert was merged too many times over; link the alert by hand.")

    def _declare(self, finding: DetectionFinding, summary: AlertSummary, key: str, context: Context) -> Incident:
        severity = SEVERITIES[summary.severity_id]
        place = f", on {mask_contacts(finding.asset_name)}" if finding.asset_name else ""
        incident = Incident.report(
            incident_id_of(summary.alert_id),
            context,
            title=summary.title,
            summary=f"{summary.source}: alert of severity {severity.lower()}, rule {summary.rule}{place}.",
            reported_by="alert",
            correlation_key=key,
        )
        incident.link_alert(context, summary)
        facts = parse_changes(suggested_facts(finding, context.recorded_at))
        incident.state_facts(context, facts, source=f"alert: {summary.source}")
        return incident


def summarise(dialect: str, raw: bytes, finding: DetectionFinding) -> AlertSummary:
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


def _of_item(context: Context, index: int) -> Context:
    """Each alert of a batch has a cause of its own, so that they can be told apart afterwards."""
    cause = context.cause if "/" in context.cause else f"{context.cause}/{index}"
    return context.model_copy(update={"cause": cause})
