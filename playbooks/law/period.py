"""Legal periods as the texts give them. `periods` counts them."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MIDNIGHT_END = "24:00"
_DURATION = re.compile(r"^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?$")


def duration(text: str) -> timedelta:
    """An ISO 8601 duration of days, hours and minutes. Raises `ValueError`."""
    match = _DURATION.match(text)
    if match is None or not any(match.groups()):
        raise ValueError(f"“{text}” is not a duration such as PT24H or P3D")
    days, hours, minutes = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)


class Unit(StrEnum):
    """What a period is counted in."""

    MINUTES = "minutes"
    HOURS = "hours"
    CALENDAR_DAYS = "calendar_days"
    BUSINESS_DAYS = "business_days"
    OFFICE_HOURS = "office_hours"
    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"
    NONE = "none"


class Family(StrEnum):
    """The body of rules by which a period is counted."""

    PLAIN = "plain"
    """Elapsed hours; calendar days with the day of the event as day 0 and no shift; working days of the authority."""
    EU_1182_71 = "eu-1182-71"
    """Regulation 1182/71 art. 3: the hour of the event does not count, a last day off moves."""
    UK_1182_71 = "uk-1182-71"
    """The same reading in the United Kingdom (Data Protection Act 2018 s. 205)."""
    DORA_2025_301 = "dora-2025-301"
    """Delegated Regulation 2025/301 art. 5: elapsed hours, with its own cap and rollover instead of 1182/71."""
    DAY_ONE_JP = "jp-day-one"
    """Japan: the day of knowledge is day 1; a last day off moves to the next office day."""
    NEXT_BUSINESS_DAY = "next-business-day"
    """Calendar days whose last day may move to the next business day (arguable in some US states)."""
    SEC_8K = "sec-8k"
    """Form 8-K: US federal business days, filed by 17:30 New York time."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cap(_Frozen):
    """A second limit; the earlier of both binds. Without an amount the event itself is the limit."""

    amount: int | None = Field(None, ge=0)
    unit: Unit = Unit.NONE
    event: str
    dropped_if_start_after: bool = False
    """Drop the cap where the start lies after its end (DORA 5(2): classified more than 24 hours after awareness)."""


class Rollover(_Frozen):
    """Relief when the end falls on a day off: until `at` of the next working day. `not_for` (CEL) takes it away."""

    at: time | None = None
    not_for: str | None = None


class Until(_Frozen):
    """An end fixed by the clock of a day: `at` (HH:MM, or 24:00) of the same day or of the next working day."""

    day: str = Field(pattern=r"^(same|next_working_day)$")
    at: str = MIDNIGHT_END

    @field_validator("at")
    @classmethod
    def _clock(cls, at: str) -> str:
        if at != MIDNIGHT_END:
            time.fromisoformat(at)
        return at


class Recurrence(_Frozen):
    """The duty comes again: every so often, until an event. `words` keeps a standard without a number."""

    amount: int | None = Field(None, ge=1)
    unit: Unit = Unit.NONE
    until_event: str | None = None
    words: str | None = None


class Yardstick(_Frozen):
    """A figure a regulator expects where the law gives none. Sets the internal reminder, never a legal date."""

    amount_min: int | None = Field(None, ge=0)
    amount_max: int | None = Field(None, ge=0)
    unit: Unit
    source: str


class OfficeHours(_Frozen):
    """Periods of an office day, in order and apart."""

    periods: tuple[tuple[time, time], ...] = ((time(7, 30), time(11, 30)), (time(13, 30), time(17, 0)))

    @model_validator(mode="after")
    def _in_order(self) -> OfficeHours:
        edges = [edge for period in self.periods for edge in period]
        if not edges or edges != sorted(set(edges)):
            raise ValueError("office periods must be in order and must not touch")
        return self


class Period(_Frozen):
    """A legal period as its text gives it."""

    amount: int | None = Field(None, ge=0)
    unit: Unit = Unit.NONE
    family: Family = Family.PLAIN
    cap: Cap | None = None
    rollover: Rollover | None = None
    until: Until | None = None
    before: str | None = None
    """Counted backwards: the name of the planned event the duty must come before."""
    recurrence: Recurrence | None = None
    fixed_date: str | None = Field(None, pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")
    before_fixed_date: bool = False
    """The fixed date itself is too late ("before 20 December"): the period ends with the day before it."""
    end_of_day_at: time | None = None
    yardstick: Yardstick | None = None
    retention: bool = False
    """The amount is how long a record is kept, not a time by which to act."""

    @model_validator(mode="after")
    def _counts_something(self) -> Period:
        if (self.amount is None) != (self.unit is Unit.NONE):
            raise ValueError("amount and unit go together; unit none has no amount")
        if self.cap is not None and (self.cap.amount is None) != (self.cap.unit is Unit.NONE):
            raise ValueError("cap: amount and unit go together")
        return self

    @property
    def has_end(self) -> bool:
        """Whether a start gives an end (as opposed to a word such as "promptly")."""
        ends = any(part is not None for part in (self.amount, self.until, self.fixed_date, self.cap, self.before))
        return (ends or (self.recurrence is not None and self.recurrence.amount is not None)) and not self.retention


class Step(_Frozen):
    """One step of a computation, in words."""

    en: str
    zh: str


class Deadline(_Frozen):
    """Both ends of a period in the zone of the duty, and how they came about."""

    strict_due: datetime
    legal_end: datetime
    steps: tuple[Step, ...] = ()
    ends_with_day: bool = False
    """Both ends are 24:00 of a day, written as 00:00 of the next."""
