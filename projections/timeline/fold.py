"""The timeline's fold: one entry per event, with what its sentence needs and no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import Connection

from incidents.alerts import events as alerts
from incidents.assets import events as assets
from incidents.incident import events as incident
from incidents.record import Event, Recorded
from incidents.reference import reference_of
from notifier.campaigns import events as campaigns
from notifier.deliveries import rows_events as rows
from notifier.history import events as history
from notifier.letters import events as letters
from notifier.public_notice import events as public
from playbooks.duties import events as duties
from playbooks.filings import events as filings
from playbooks.parties import events as parties
from playbooks.runs import events as runs
from projections.projection import Projection, incident_of
from projections.rows import append
from projections.timeline.tables import NAME, timeline_entries

MAX_TEXT = 2_000
"""Characters of a text that an entry keeps; the event has the whole."""

MINOR: frozenset[type[Event]] = frozenset(
    {
        alerts.AlertReceived,
        alerts.AlertRaised,
        alerts.CorrelationOpened,
        incident.IncidentAbsorbed,
        runs.TimerSet,
        runs.TimerCancelled,
        campaigns.DeliveriesRecorded,
        campaigns.DeliveriesCancelled,
        rows.DeliveryRowsRemoved,
        history.HistoryRead,
    }
)
"""Events that a reader who wants the story leaves out."""


class Timeline(Projection):
    """What happened, in order."""

    name = NAME
    version = 2
    events = (
        *incident.EVENTS,
        *alerts.EVENTS,
        *duties.EVENTS,
        *filings.EVENTS,
        *runs.EVENTS,
        *campaigns.EVENTS,
        *rows.EVENTS,
        *history.EVENTS,
        *public.EVENTS,
        *letters.EVENTS,
    )
    tables: ClassVar = (timeline_entries,)

    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        # An alert that went to no incident is on the alert list only.
        entries = [_entry(recorded) for recorded in batch if _has_incident(recorded.event)]
        append(connection, timeline_entries, generation, entries)


def _has_incident(event: Event) -> bool:
    return not isinstance(event, alerts.AlertReceived | history.HistoryRead) or event.incident_id is not None


def _entry(recorded: Recorded) -> dict[str, Any]:
    event = recorded.event
    return {
        "position": recorded.position,
        "incident_id": incident_of(event),
        "originator_id": event.originator_id,
        "originator_version": event.originator_version,
        "recorded_at": event.recorded_at,
        "happened_at": event.happened_at,
        "actor": event.actor,
        "kind": event.kind,
        "minor": type(event) in MINOR,
        "parameters": parameters_of(event),
        "cause": event.cause,
    }


def parameters_of(event: Event) -> dict[str, Any]:
    """What the sentence of an event is filled with: plain values, named as in the table of sentences."""
    special = _SPECIAL.get(type(event))
    return special(event) if special is not None else _plain(event)


_COMMON = frozenset(Event.model_fields) | {"incident_id"}


def _plain(event: Event) -> dict[str, Any]:
    return {name: _value(getattr(event, name)) for name in type(event).model_fields if name not in _COMMON}


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return value[:MAX_TEXT]
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple | list | set | frozenset):
        return [_value(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _value(item) for name, item in value.items()}
    return str(value)


def _alert(event: Any) -> dict[str, Any]:
    alert: incident.AlertSummary = event.alert
    return {
        "title": alert.title[:MAX_TEXT],
        "rule": alert.rule,
        "source": alert.source,
        "severity_id": alert.severity_id,
        "detected_at": alert.detected_at.isoformat(),
        "alert_id": str(alert.alert_id),
    }


def _facts(event: Any) -> dict[str, Any]:
    return {
        "facts": _value(event.facts),
        "names": sorted(event.facts),
        "revised": list(event.revised),
        "source": event.source[:MAX_TEXT],
    }


def _published(event: Any) -> dict[str, Any]:
    """Without the words, which everybody can read where they hang."""
    return {
        "number": event.number,
        "languages": sorted(event.words),
        "override_reason": event.override_reason,
        "code": event.code,
    }


def _corrected(event: Any) -> dict[str, Any]:
    return {"correction": next(iter(event.correction.values()), "")[:MAX_TEXT]}


def _drafted_in_public(event: Any) -> dict[str, Any]:
    return {"template": event.template, "drill": event.drill}


def _exported(event: Any) -> dict[str, Any]:
    return {"outcome": event.part, "letters": event.letters, "left_out": event.left_out, "sha256": event.sha256}


def _stated(event: Any) -> dict[str, Any]:
    return {"outcome": event.state, "reference": event.their_reference}


def _asset(event: Any) -> dict[str, Any]:
    asset: assets.AssetDescription = event.asset
    return {"name": asset.name, "owner": asset.owner.name, "changed": list(getattr(event, "changed", ()))}


def _party(event: Any) -> dict[str, Any]:
    party: parties.PartyDescription = event.party
    return {"name": party.name, "direction": party.direction.value}


def _duty(event: Any) -> dict[str, Any]:
    duty: duties.DutyOnRecord = event.duty
    return {
        "duty_id": duty.duty_id,
        "rule": duty.rule,
        "instrument": duty.instrument,
        "article": duty.article,
        "recipient": duty.recipient,
        "recipient_texts": dict(duty.recipient_names),
        "instrument_texts": dict(duty.instrument_titles),
        "stage": duty.stage,
        "status": duty.status,
        "strict_due": duty.strict_due.isoformat() if duty.strict_due else None,
        "changed": list(getattr(event, "changed", ())),
    }


def _filing_written(event: Any) -> dict[str, Any]:
    return {"duty_id": event.duty_id, "items": sorted(event.items)}


def _filing_judged(event: Any) -> dict[str, Any]:
    judged: filings.FilingJudged = event.judged
    submitted_at = getattr(event, "submitted_at", None)
    return {
        "duty_id": event.duty_id,
        "digest": judged.digest,
        "missing": list(judged.missing),
        "not_yet_known": list(judged.not_yet_known),
        "override_reason": judged.override_reason,
        "warnings": list(judged.warnings),
        "submitted_at": submitted_at.isoformat() if submitted_at else None,
        "receipt": getattr(event, "receipt", ""),
    }


def _merged(event: Any) -> dict[str, Any]:
    return {"into": str(event.into), "into_reference": reference_of(event.into), "reason": event.reason}


def _absorbed(event: Any) -> dict[str, Any]:
    return {"incident": str(event.incident), "incident_reference": reference_of(event.incident)}


def _run_started(event: Any) -> dict[str, Any]:
    title = event.definition.get("title")
    return {
        "playbook": event.playbook,
        "title": title if isinstance(title, dict) else {},
        "definition_digest": event.definition_digest,
        "drill": event.drill,
    }


def _drafted(event: Any) -> dict[str, Any]:
    return {"template": event.template, "template_version": event.template_version, "drill": event.drill}


def _revised(_event: Any) -> dict[str, Any]:
    return {}


def _deliveries(event: Any) -> dict[str, Any]:
    by_state = Counter(move.state for move in event.moves)
    by_channel = Counter(move.channel for move in event.moves)
    return {
        "campaign_id": str(event.campaign_id),
        "moves": len(event.moves),
        "by_state": dict(sorted(by_state.items())),
        "by_channel": dict(sorted(by_channel.items())),
    }


def _called_off(event: Any) -> dict[str, Any]:
    return {
        "campaign_id": str(event.campaign_id),
        "people": sum(event.untried.values()),
        "attempts": len(event.moves),
        "by_channel": dict(sorted(event.untried.items())),
    }


_SPECIAL: dict[type[Event], Callable[[Any], dict[str, Any]]] = {
    public.PublicNoticeDrafted: _drafted_in_public,
    public.PublicNoticeRevised: _corrected,
    public.PublicNoticePublished: _published,
    letters.LetterBatchExported: _exported,
    letters.LetterBatchStated: _stated,
    incident.AlertLinked: _alert,
    alerts.AlertReceived: _alert,
    alerts.AlertRaised: _alert,
    incident.FactsStated: _facts,
    incident.IncidentMerged: _merged,
    incident.IncidentAbsorbed: _absorbed,
    assets.AssetRegistered: _asset,
    assets.AssetRevised: _asset,
    parties.PartyRegistered: _party,
    duties.DutyIdentified: _duty,
    duties.DutyRevised: _duty,
    filings.FilingWritten: _filing_written,
    filings.FilingApproved: _filing_judged,
    filings.FilingSubmitted: _filing_judged,
    runs.RunStarted: _run_started,
    campaigns.CampaignDrafted: _drafted,
    campaigns.CampaignTextRevised: _revised,
    campaigns.DeliveriesRecorded: _deliveries,
    campaigns.DeliveriesCancelled: _called_off,
}
