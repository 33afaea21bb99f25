"""What can happen to an incident. Lifecycle words follow NIST SP 800-61r3 and ISO/IEC 27035-1.

Nothing personal of an affected person is ever in these events: titles and notes are checked before they come here.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from incidents.record.event import Event, Instant, Model


class AlertSummary(Model):
    """What the record keeps of an alert: enough to see why an incident exists; the finding itself is stored apart."""

    alert_id: UUID
    dialect: str
    source: str
    rule: str
    title: str
    severity_id: int
    digest: str
    """SHA-256 of the raw bytes as received, hex."""
    detected_at: Instant


class IncidentReported(Event, kind="incident.reported"):
    """The incident was declared, by a person or from an alert. Opens the stream."""

    title: str
    summary: str = ""
    reported_by: str
    """`person` or `alert`."""
    correlation_key: str | None = None


class AlertLinked(Event, kind="incident.alert-linked"):
    """An alert was found to belong to this incident."""

    alert: AlertSummary


class AssetLinked(Event, kind="incident.asset-linked"):
    """A data asset of the register is concerned. The facts it fills are stated apart, in the same transaction."""

    asset_id: UUID
    asset_version: int
    name: str
    facts: tuple[str, ...] = ()
    """Names of the facts that rest on the register now."""
    kept: tuple[str, ...] = ()
    """Facts that the register could tell too, but that people stated: left as they are."""


class IncidentTriaged(Event, kind="incident.triaged"):
    """A person looked and decided that it is real. `aware` facts are stated apart."""

    assessment: str = ""


class FactsStated(Event, kind="incident.facts-stated"):
    """Facts were stated or revised. `facts` holds only what changed; the value `unknown` takes a fact back."""

    facts: dict[str, Any]
    revised: tuple[str, ...] = ()
    """Names in `facts` that had another value before."""
    source: str = ""
    """Where the facts come from, in the words of who stated them."""


class IncidentGraded(Event, kind="incident.graded"):
    """A scheme's level changed (or was set for the first time)."""

    scheme: str
    scheme_version: str
    level: str | None
    met: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    """Criteria that unknown facts leave open."""
    override_reason: str | None = None
    """Set when a person graded against the computed level."""


class IncidentAssigned(Event, kind="incident.assigned"):
    """Somebody owns it now."""

    assignee: str


class NoteAdded(Event, kind="incident.note-added"):
    """A note for the timeline."""

    text: str


class IncidentContained(Event, kind="incident.contained"):
    """The harm no longer grows."""

    comment: str = ""


class IncidentEradicated(Event, kind="incident.eradicated"):
    """The cause is gone."""

    comment: str = ""


class IncidentRecovered(Event, kind="incident.recovered"):
    """Systems and services work as before."""

    comment: str = ""


class IncidentClosed(Event, kind="incident.closed"):
    """Handling ended. Some final reports count from here."""

    comment: str = ""


class IncidentReopened(Event, kind="incident.reopened"):
    """It was not over after all."""

    reason: str


class IncidentMerged(Event, kind="incident.merged"):
    """This incident turned out to be part of another; work goes on there."""

    into: UUID
    reason: str = ""


class IncidentAbsorbed(Event, kind="incident.absorbed"):
    """Another incident was merged into this one."""

    incident: UUID


EVENTS: tuple[type[Event], ...] = (
    IncidentReported,
    AlertLinked,
    AssetLinked,
    IncidentTriaged,
    FactsStated,
    IncidentGraded,
    IncidentAssigned,
    NoteAdded,
    IncidentContained,
    IncidentEradicated,
    IncidentRecovered,
    IncidentClosed,
    IncidentReopened,
    IncidentMerged,
    IncidentAbsorbed,
)
