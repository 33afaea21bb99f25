"""What is recorded of the duties of one incident (one stream per incident, beside the incident's own)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from incidents.record.event import Event, Instant, Model


class DelayOnRecord(Model):
    """The waiting that counts for a duty: `running` now, or over."""

    requests: tuple[str, ...]
    by: str
    authority: str
    form: str
    since: Instant
    until: Instant | None
    running: bool
    resumes_due: Instant | None = None
    """The strict deadline once the waiting is over, as far as it can be known."""


class RetentionOnRecord(Model):
    """How long a record is kept, where that is what the rule says."""

    amount: int
    unit: str
    until: Instant | None = None


class DutyOnRecord(Model):
    """A duty as it was derived at that moment; the explanation travels along, so the record explains itself."""

    duty_id: str
    rule: str
    instrument: str
    article: str
    jurisdiction: str
    recipient: str
    recipient_kind: str
    """`authority`, `individuals`, `party`, `public` or `internal`."""
    stage: str
    status: str
    """`due`, `paused`, `possible`, `waiting_for_clock` or `exempt`."""
    clock_event: str
    clock_at: Instant | None = None
    strict_due: Instant | None = None
    legal_end: Instant | None = None
    reminder_at: Instant | None = None
    time_zone: str
    contents: tuple[str, ...] = ()
    """Ids of the items that the law wants said."""
    settle_by: tuple[str, ...] = ()
    why: tuple[Any, ...] = ()
    pack_version: str = ""
    confidence: str = ""
    promptness: str | None = None
    """The law's own word where there is no number, or beside one (`immediate`, `prompt` ...)."""
    earliest_deadline: Instant | None = None
    """For a possible duty: when it would have to be done if the unknown facts fell that way."""
    ends_with_day: bool = False
    """The deadline ends with a local day: `strict_due` is 00:00 of the next one."""
    recipient_names: dict[str, str] = Field(default_factory=dict)
    instrument_titles: dict[str, str] = Field(default_factory=dict)
    content_texts: dict[str, dict[str, str]] = Field(default_factory=dict)
    """What each item of `contents` asks for, by language."""
    exemptions: tuple[dict[str, Any], ...] = ()
    note: str = ""
    delay: DelayOnRecord | None = None
    delayable_by: tuple[str, ...] = ()
    """Who may ask that this duty wait."""
    retention: RetentionOnRecord | None = None


class DutyIdentified(Event, kind="duty.identified"):
    """Facts and law make this duty due or possible."""

    incident_id: UUID
    duty: DutyOnRecord


class DutyRevised(Event, kind="duty.revised"):
    """The duty stands, but something about it changed."""

    incident_id: UUID
    duty: DutyOnRecord
    changed: tuple[str, ...]


class DutyLifted(Event, kind="duty.lifted"):
    """Facts now known say that there is no such duty."""

    incident_id: UUID
    duty_id: str
    reason: str


class DutyWaived(Event, kind="duty.waived"):
    """A named person decided that the duty is not required, and why."""

    incident_id: UUID
    duty_id: str
    reason: str


class WaiverOverturned(Event, kind="duty.waiver-overturned"):
    """The decision was taken back: the duty is as if never waived."""

    incident_id: UUID
    duty_id: str
    reason: str


class DutyFulfilled(Event, kind="duty.fulfilled"):
    """The filing was made, or the notice sent. Lateness is frozen here."""

    incident_id: UUID
    duty_id: str
    rule: str
    how: str
    """`filing` or `campaign`, in words for the timeline."""
    late: bool
    submitted_at: Instant


class DutyWarned(Event, kind="duty.warned"):
    """A share of the window has passed (50, 80 or 95 percent)."""

    incident_id: UUID
    duty_id: str
    percent: int


class DutyMissed(Event, kind="duty.missed"):
    """The strict deadline passed without a filing. Stays on record whatever comes later."""

    incident_id: UUID
    duty_id: str
    strict_due: Instant


class DutyAcknowledged(Event, kind="duty.acknowledged"):
    """The actor has seen the warning and acts on it: it is not repeated. The next step warns anew."""

    incident_id: UUID
    duty_id: str
    step: int
    """What had been called out: 50, 80 or 95 (percent), 100 (a reminder) or 101 (missed)."""


class DutyAssigned(Event, kind="duty.assigned"):
    """Somebody of ours owns the duty: warnings about it go there. An empty owner takes the assignment back."""

    incident_id: UUID
    duty_id: str
    owner: str
    """Id of an owner in the settings, which hold the addresses."""
    name: str = ""
    """The owner's name then."""


class DelayRequested(Event, kind="duty.delay-requested"):
    """An authority asked that telling wait. Each duty waits only as its law lets it."""

    incident_id: UUID
    delay_id: str
    by: str
    authority: str
    form: str
    stated_at: Instant
    until: Instant | None = None
    extraordinary: bool = False
    reason: str = ""


class DelayEnded(Event, kind="duty.delay-ended"):
    """The authority said that nothing stands in the way any more, or the request was recorded by mistake."""

    incident_id: UUID
    delay_id: str
    ended_at: Instant
    reason: str


class DutyResumed(Event, kind="duty.resumed"):
    """The waiting of a duty ended by itself: its time was over, or the law allows no more."""

    incident_id: UUID
    duty_id: str
    waited_until: Instant


OF_INCIDENT: tuple[type[Event], ...] = (DelayRequested, DelayEnded)
"""Events about all duties of an incident."""

OF_DUTY: tuple[type[Event], ...] = (
    DutyIdentified,
    DutyRevised,
    DutyLifted,
    DutyWaived,
    WaiverOverturned,
    DutyFulfilled,
    DutyWarned,
    DutyMissed,
    DutyAcknowledged,
    DutyAssigned,
    DutyResumed,
)
"""Events about one duty."""

EVENTS: tuple[type[Event], ...] = (*OF_DUTY, *OF_INCIDENT)
