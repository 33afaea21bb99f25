"""Alert intake in batches: many alerts deduplicated, correlated and recorded in one transaction.

The decisions are those of the single path, in the order of the alerts; only loading and saving are done for all of them
at once. What the transaction holds besides (how far a queue has been read) is the caller's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from incidents.alerts.alert import Alert
from incidents.alerts.correlation import CorrelationStream
from incidents.alerts.decision import Decider, MergedTooOften, ReadAlert, Receipt
from incidents.alerts.dialects import parse
from incidents.alerts.finding import Kept
from incidents.alerts.tables import FindingRow, save_findings
from incidents.errors import NotFound
from incidents.incident.incident import Incident
from incidents.record import Context
from incidents.record.follower import PASSING
from incidents.record.transaction import Transaction

KEPT_INCIDENTS = 2_000
"""Incidents remembered between batches, so that a storm does not cost their whole history each time."""
KEPT_ALERTS = 25_000
"""Alerts of all of them together."""
_KEPT_STREAMS = 4_000
"""Correlation keys remembered between batches."""


class Spoilt(Exception):
    """One alert of a batch cannot be decided, and never will be. Nothing of the batch may be saved."""

    def __init__(self, index: int) -> None:
        super().__init__(f"alert {index} of the batch cannot be decided")
        self.index = index


@dataclass(frozen=True, slots=True)
class PreparedAlert:
    """An alert for which everything is done that needs no database."""

    read: ReadAlert
    kept: Kept


class BatchIntake:
    """Takes batches in. One thread at a time; any number of processes."""

    def __init__(
        self, decider: Decider, *, kept_incidents: int = KEPT_INCIDENTS, kept_alerts: int = KEPT_ALERTS
    ) -> None:
        self._decider = decider
        self._most_incidents = kept_incidents
        self._most_alerts = kept_alerts
        self._kept: OrderedDict[UUID, Incident] = OrderedDict()
        self._kept_streams: OrderedDict[UUID, CorrelationStream] = OrderedDict()

    def prepare(self, dialect: str, raw: bytes) -> PreparedAlert:
        """Read one alert. NotFound, TooLarge and InvalidInput as `AlertIntake.receive`."""
        parsed = parse(dialect, raw, self._decider.settings.limits)
        return PreparedAlert(self._decider.understand(dialect, raw, parsed.finding), parsed.kept)

    def take(self, alerts: Sequence[PreparedAlert], contexts: Sequence[Context], work: Transaction) -> list[Receipt]:
        """Decide all of them, in their order, and let the transaction save it. One receipt for each.

        Spoilt names one that cannot be decided. Conflict comes when the transaction ends, from other writers: nothing
        is saved then, take them again.
        """
        loaded = _Loaded(alerts, work, self._kept, self._kept_streams)
        receipts: list[Receipt] = []
        rows: list[FindingRow] = []
        for index, (prepared, context) in enumerate(zip(alerts, contexts, strict=True)):
            read = prepared.read
            alert, stream = loaded.alert(read), loaded.stream(read)
            try:
                decided = self._decider.decide(read, context, alert, stream, loaded.incident)
            except Exception as error:
                if isinstance(error, PASSING) and not isinstance(error, MergedTooOften):
                    raise
                # Whatever it is, it is in this alert or in what it meets; the caller takes it out and says why.
                raise Spoilt(index) from error
            receipts.append(decided.receipt)
            if decided.is_news:
                work.record(alert, stream, decided.incident)
                rows.append(
                    FindingRow(
                        read.summary.alert_id,
                        read.summary.digest,
                        read.summary.dialect,
                        context.recorded_at,
                        *prepared.kept,
                    )
                )
            if decided.incident is not None:
                loaded.keep(decided.incident)
        save_findings(work.connection, rows)
        work.afterwards(lambda: self._keep(loaded))
        return receipts

    def _keep(self, loaded: _Loaded) -> None:
        self._kept.update(loaded.incidents)
        alerts = sum(len(incident.alerts) for incident in self._kept.values())
        while alerts > self._most_alerts or len(self._kept) > self._most_incidents:
            _, longest_unseen = self._kept.popitem(last=False)
            alerts -= len(longest_unseen.alerts)
        self._kept_streams.update(loaded.streams)
        while len(self._kept_streams) > _KEPT_STREAMS:
            self._kept_streams.popitem(last=False)


class _Loaded:
    """What a batch needs of the record, loaded by a few statements, and changed as its alerts are decided."""

    def __init__(
        self,
        alerts: Sequence[PreparedAlert],
        work: Transaction,
        incidents: OrderedDict[UUID, Incident],
        streams: OrderedDict[UUID, CorrelationStream],
    ) -> None:
        """`incidents` and `streams`: what is remembered, in an older state."""
        self._work = work
        self._alerts = work.find_many(Alert, {one.read.summary.alert_id for one in alerts})
        keys = {one.read.stream_id for one in alerts}
        # Taken out: what is changed here and then not saved must not be found there by the next batch.
        known_keys = {key: streams.pop(key) for key in keys if key in streams}
        self.streams = work.find_many(CorrelationStream, keys, known=known_keys)
        wanted = {stream.incident_id for stream in self.streams.values() if stream.incident_id is not None}
        known = {incident_id: incidents.pop(incident_id) for incident_id in wanted if incident_id in incidents}
        self.incidents = work.find_many(Incident, wanted, known=known)

    def alert(self, read: ReadAlert) -> Alert:
        alert_id = read.summary.alert_id
        found = self._alerts.get(alert_id)
        if found is None:
            found = self._alerts[alert_id] = Alert(alert_id)
        return found

    def stream(self, read: ReadAlert) -> CorrelationStream:
        found = self.streams.get(read.stream_id)
        if found is None:
            found = self.streams[read.stream_id] = CorrelationStream(read.stream_id)
        return found

    def incident(self, incident_id: UUID) -> Incident:
        found = self.incidents.get(incident_id)
        if found is None:
            self.incidents |= self._work.find_many(Incident, (incident_id,))
            found = self.incidents.get(incident_id)
        if found is None:
            raise NotFound(f"There is no incident {incident_id}.", field="id")
        return found

    def keep(self, incident: Incident) -> None:
        """It is part of the batch from now on."""
        self.incidents[incident.id] = incident
