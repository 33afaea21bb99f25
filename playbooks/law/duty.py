"""A duty: one obligation to tell one recipient at one stage under one rule, as derived from facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from playbooks.law.delays import DelayAuthority, DelayForm
from playbooks.law.pack import Confidence, Effect, Evidence, Party, Promptness, Recipient, Stage


class DutyStatus(StrEnum):
    """Where a duty stands. `possible` first: unknown facts decide whether it exists."""

    POSSIBLE = "possible"
    DUE = "due"
    PAUSED = "paused"
    """Somebody asked to wait, and the law lets it: no deadline runs until that ends."""
    WAITING_FOR_CLOCK = "waiting_for_clock"
    EXEMPT = "exempt"


class Frozen(BaseModel):
    """Base of the parts of a duty."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DutyClock(Frozen):
    """The event the deadline counts from. `at` is null until known; `assumed` names the event taken in its place."""

    event: str
    at: datetime | None = None
    assumed: str | None = None


class DutyContent(Frozen):
    """One item the notice or filing must hold."""

    id: str
    text: Mapping[str, str]


class DutyExemption(Frozen):
    """An exemption of the rule: whether it holds, and what would settle that."""

    id: str
    words: Mapping[str, str]
    effect: Effect
    holds: bool | None
    settle_by: tuple[str, ...] = ()


class DutyDelay(Frozen):
    """The waiting that counts for a duty: `running` now, or over. `until` is null while nobody knows when it ends."""

    requests: tuple[str, ...]
    """Ids of the requests that count."""
    by: DelayAuthority
    authority: str
    form: DelayForm
    since: datetime
    until: datetime | None
    running: bool
    resumes_due: datetime | None = None
    """The strict deadline once the waiting is over, as far as it can be known."""


class Retention(Frozen):
    """How long a record is kept, where that is what the rule says. `until`: at least to the end of that period."""

    amount: int
    unit: str
    until: datetime | None = None


class Reason(Frozen):
    """One sentence of the explanation. `kind` says what it is about."""

    kind: str
    text: Mapping[str, str]


class Duty(Frozen):
    """One duty. Instants are in `time_zone`.

    A deadline that ends with a day (`ends_with_day`) is written as 00:00 of the next day: 2026-03-01T00:00 means that
    the whole of 28 February may be used.
    """

    id: str
    rule: str
    instrument: str
    instrument_id: str
    instrument_title: Mapping[str, str]
    article: str
    jurisdiction: str
    party: Party
    recipient: Recipient
    recipient_note: str = ""
    stage: Stage
    status: DutyStatus
    clock: DutyClock
    strict_due: datetime | None = None
    legal_end: datetime | None = None
    ends_with_day: bool = False
    time_zone: str
    promptness: Promptness | None = None
    reminder_at: datetime | None = None
    delay: DutyDelay | None = None
    delayable_by: tuple[DelayAuthority, ...] = ()
    """Who may ask that this duty wait."""
    retention: Retention | None = None
    recurs: bool = False
    contents: tuple[DutyContent, ...] = ()
    contents_basis: str = "listed"
    channels: tuple[str, ...] = ()
    exemptions: tuple[DutyExemption, ...] = ()
    settle_by: tuple[str, ...] = ()
    earliest_deadline: datetime | None = None
    confidence: Confidence
    evidence: Evidence | None = None
    note: str = ""
    penalties: str = ""
    pack_version: str
    why: tuple[Reason, ...] = ()

    @model_validator(mode="after")
    def _in_zone(self) -> Duty:
        zone = ZoneInfo(self.time_zone)
        for name in ("strict_due", "legal_end", "reminder_at", "earliest_deadline"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is not zone:
                object.__setattr__(self, name, moment.astimezone(zone))
        if self.clock.at is not None and self.clock.at.tzinfo is not zone:
            object.__setattr__(self, "clock", self.clock.model_copy(update={"at": self.clock.at.astimezone(zone)}))
        if self.delay is not None:
            moments = {name: getattr(self.delay, name) for name in ("since", "until", "resumes_due")}
            local = {name: moment.astimezone(zone) for name, moment in moments.items() if moment is not None}
            object.__setattr__(self, "delay", self.delay.model_copy(update=local))
        if self.retention is not None and self.retention.until is not None:
            kept = self.retention.model_copy(update={"until": self.retention.until.astimezone(zone)})
            object.__setattr__(self, "retention", kept)
        return self

    @field_validator("strict_due", "legal_end", "reminder_at", "earliest_deadline")
    @classmethod
    def _aware(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment.utcoffset() is None:
            raise ValueError("needs an offset")
        return moment

    @property
    def due(self) -> datetime | None:
        """The moment that alarms use: the strict deadline, or the internal reminder where the law has no number."""
        return self.strict_due or self.reminder_at


def in_order(duties: Iterable[Duty]) -> Sequence[Duty]:
    """Possible duties first, then by the moment that alarms use; those without any last."""
    rank = {status: at for at, status in enumerate(DutyStatus)}

    def key(duty: Duty) -> tuple[int, float, str]:
        moment = duty.due or duty.earliest_deadline
        return rank[duty.status], moment.timestamp() if moment is not None else float("inf"), duty.id

    return sorted(duties, key=key)
