"""Requests about incidents, and the incident as the API shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from incidents.incident.incident import Incident
from incidents.reference import reference_of
from tocsin.api.values import Line, LongText, Reason, RequestModel, ResponseModel, Text, Word, ZonedTime

Facts = dict[str, Any]

_FACTS = Field(
    description="Facts by name; `unknown` takes one back. `GET /v1/schemas/facts` has the vocabulary.",
    examples=[{"persons_affected": 203, "malicious": True}],
    max_length=300,
)


class ReportIncident(RequestModel):
    """A person's report of an incident."""

    title: Line = Field(examples=["Customer export found on a public share"])
    summary: LongText = ""
    facts: Facts = Field(default_factory=dict, description=_FACTS.description, examples=_FACTS.examples, max_length=300)
    happened_at: ZonedTime | None = Field(None, description="When it was reported, if not now.")


class StateFacts(RequestModel):
    """Facts stated or revised."""

    facts: Facts = Field(description=_FACTS.description, examples=_FACTS.examples, min_length=1, max_length=300)
    source: Text = Field("", max_length=200, description="Where they come from, in your words.")
    happened_at: ZonedTime | None = None


class Transition(RequestModel):
    """A step of the lifecycle."""

    transition: Literal["triage", "contain", "eradicate", "recover", "close", "reopen"]
    comment: LongText = Field("", description="Needed to reopen, and to close before recovery.")
    happened_at: ZonedTime | None = Field(None, description="When it happened in the world, if not now.")


class AddNote(RequestModel):
    """A note for the timeline."""

    text: LongText = Field(min_length=1, examples=["Share taken offline by the storage team."])
    happened_at: ZonedTime | None = None


class Assign(RequestModel):
    """Who owns it now: the name of a key."""

    assignee: Word = Field(examples=["lan"])


class Merge(RequestModel):
    """Into which incident this one goes."""

    into: str = Field(min_length=8, max_length=40, description="Id or reference of the other incident.")
    reason: LongText = ""


class OverrideGrade(RequestModel):
    """A person's grade against the computed one."""

    level: Word = Field(examples=["major"])
    reason: Reason


class GradeOnRecord(ResponseModel):
    """The level a scheme gives the incident."""

    scheme: str
    scheme_version: str
    level: str | None
    met: tuple[str, ...]
    open: tuple[str, ...]
    """Criteria that unknown facts leave open."""
    override_reason: str | None
    graded_at: datetime
    graded_by: str


class AlertOnRecord(ResponseModel):
    """An alert linked to the incident."""

    alert_id: UUID
    dialect: str
    source: str
    rule: str
    title: str
    severity_id: int
    detected_at: datetime


class IncidentState(ResponseModel):
    """The incident as the record has it."""

    id: UUID
    reference: str = Field(examples=["INC-7F3K-9Q2M"])
    version: int = Field(description="Also in `ETag`; give it back in `If-Match`.")
    title: str
    phase: str = Field(examples=["triaged"])
    phase_times: dict[str, datetime]
    assignee: str | None
    facts: Facts
    grades: tuple[GradeOnRecord, ...]
    alerts: tuple[AlertOnRecord, ...]
    merged_into: UUID | None
    absorbed: tuple[UUID, ...]
    modified_at: datetime | None

    @classmethod
    def of(cls, incident: Incident) -> IncidentState:
        """From the aggregate."""
        return cls(
            id=incident.id,
            reference=reference_of(incident.id),
            version=incident.version,
            title=incident.title,
            phase=incident.phase.value,
            phase_times={phase.value: at for phase, at in incident.phase_times.items()},
            assignee=incident.assignee,
            facts=dict(incident.facts),
            grades=tuple(
                GradeOnRecord(
                    scheme=grade.scheme,
                    scheme_version=grade.scheme_version,
                    level=grade.level,
                    met=grade.met,
                    open=grade.open,
                    override_reason=grade.override_reason,
                    graded_at=grade.recorded_at,
                    graded_by=grade.actor,
                )
                for _, grade in sorted(incident.grades.items())
            ),
            alerts=tuple(
                AlertOnRecord(
                    alert_id=alert.alert_id,
                    dialect=alert.dialect,
                    source=alert.source,
                    rule=alert.rule,
                    title=alert.title,
                    severity_id=alert.severity_id,
                    detected_at=alert.detected_at,
                )
                for alert in incident.alerts.values()
            ),
            merged_into=incident.merged_into,
            absorbed=tuple(sorted(incident.absorbed)),
            modified_at=incident.modified_at,
        )
