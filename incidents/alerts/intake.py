"""Alert intake: from the bytes a detector sent to an incident, once.

Nothing but the event store decides who was first. The alert's stream starts with its reception, the key's stream
names the incident it is open for, and both are saved with the incident's own events in one transaction: of two that
do the same at once, one gets a conflict, loads again and finds what the other did.
"""

from __future__ import annotations

import threading
from uuid import UUID

import structlog

from incidents.alerts.alert import Alert
from incidents.alerts.correlation import CorrelationStream
from incidents.alerts.decision import Decider, IntakeSettings, ReadAlert, Receipt, summarise
from incidents.alerts.dialects import Parsed, parse, parse_many
from incidents.alerts.finding import Kept
from incidents.alerts.tables import FindingsStore
from incidents.alerts.traces import trace_receipts
from incidents.clock import Clock
from incidents.errors import FieldFault, TocsinError
from incidents.incident.incident import Incident
from incidents.record import Context, Model, Record, retrying
from incidents.tracing import span

__all__ = ["AlertIntake", "BatchReceipt", "IntakeSettings", "Receipt", "summarise"]

log = structlog.get_logger(__name__)

_ATTEMPTS = 20
"""A burst of alerts with one key makes many writers meet at one incident; each attempt lets at least one through."""
_STRIPES = 64
_KEPT = 16
"""Incidents remembered by each stripe."""


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
        news = self._record.stream(incident_id, after=kept.version - 1)
        last = next(news, None)
        if last is None or last.originator_version != kept.version:
            # A database that failed over to a copy lost its last commits: what is remembered did not happen.
            return self._record.load(Incident, incident_id)
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
        self.decider = Decider(settings or IntakeSettings())
        self._limits = self.decider.settings.limits
        self._stripes = tuple(_Stripe(record) for _ in range(_STRIPES))

    def receive(self, dialect: str, raw: bytes, context: Context) -> Receipt:
        """Take in one alert.

        NotFound for an unknown dialect, TooLarge and InvalidInput for a bad body: nothing is changed then.
        Conflict when other writers were faster every time: nothing was changed, send it again.
        """
        parsed = parse(dialect, raw, self._limits)
        with span("alert.intake", {"tocsin.dialect": dialect}):
            receipt = self._take(dialect, raw, parsed, context)
            trace_receipts([receipt])
        return receipt

    def receive_many(self, dialect: str, raw: bytes, context: Context) -> list[BatchReceipt]:
        """Take in a JSON array or lines of JSON. Each alert is taken or refused by itself."""
        receipts: list[BatchReceipt] = []
        items = parse_many(dialect, raw, self._limits)
        with span("alert.intake", {"tocsin.dialect": dialect}):
            for item in items:
                try:
                    if item.parsed is None:
                        raise item.error or TocsinError("The alert could not be read.")
                    receipt = self._take(dialect, item.raw, item.parsed, _of_item(context, item.index))
                    receipts.append(BatchReceipt(index=item.index, receipt=receipt))
                except TocsinError as error:
                    receipts.append(
                        BatchReceipt(index=item.index, code=error.code, detail=error.detail, errors=error.errors)
                    )
            trace_receipts(one.receipt for one in receipts if one.receipt is not None)
        return receipts

    def _take(self, dialect: str, raw: bytes, parsed: Parsed, context: Context) -> Receipt:
        read = self.decider.understand(dialect, raw, parsed.finding)
        stripe = self._stripes[read.stream_id.int % _STRIPES]
        with stripe.lock:
            receipt = retrying(lambda: self._decide(read, parsed.kept, context, stripe), attempts=_ATTEMPTS)
        log.info(
            "alert.received",
            alert_id=str(receipt.alert_id),
            incident_id=str(receipt.incident_id) if receipt.incident_id else None,
            outcome=receipt.outcome,
            dialect=dialect,
        )
        return receipt

    def _decide(self, read: ReadAlert, kept: Kept, context: Context, stripe: _Stripe) -> Receipt:
        summary = read.summary
        alert = self._record.find(Alert, summary.alert_id) or Alert(summary.alert_id)
        stream = self._record.find(CorrelationStream, read.stream_id) or CorrelationStream(read.stream_id)
        decided = self.decider.decide(read, context, alert, stream, stripe.load)
        if decided.is_news:
            # The finding goes first: a crash in between leaves a finding nobody refers to, never the other way round.
            self._findings.save(summary.alert_id, summary.digest, summary.dialect, self._clock.now(), kept)
            self._record.commit(alert, stream, decided.incident)
            if decided.incident is not None:
                stripe.keep(decided.incident)
        return decided.receipt


def _of_item(context: Context, index: int) -> Context:
    """Each alert of a batch has a cause of its own, so that they can be told apart afterwards."""
    cause = context.cause if "/" in context.cause else f"{context.cause}/{index}"
    return context.model_copy(update={"cause": cause})
