"""Requests to wait: what a rule lets somebody ask for, and what was asked. `pausing` says what follows."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from playbooks.law.period import Unit

MAX_REQUESTS = 50
"""Most requests on record for one incident."""


class DelayAuthority(StrEnum):
    """Who asks to wait."""

    LAW_ENFORCEMENT = "law_enforcement"
    """Police, prosecution, or another body that investigates crime or guards national security."""
    US_ATTORNEY_GENERAL = "us_attorney_general"
    """The Attorney General of the United States."""
    REGULATOR = "regulator"
    """The authority that supervises the duty itself."""


class DelayForm(StrEnum):
    """How it was asked."""

    ORAL = "oral"
    WRITTEN = "written"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Length(_Frozen):
    """So many units. `extraordinary`: only for a request that claims extraordinary circumstances."""

    amount: int = Field(ge=1)
    unit: Literal[Unit.HOURS, Unit.CALENDAR_DAYS, Unit.BUSINESS_DAYS, Unit.MONTHS]
    extraordinary: bool = False


class DelayTerms(_Frozen):
    """Who may ask that a duty wait, for how long at most, and what holds when the waiting ends."""

    by: tuple[DelayAuthority, ...] = Field(min_length=1)
    form: Literal["any", "written"] = "any"
    """`written`: an oral request changes nothing."""
    written_needs_until: bool = False
    """A written request counts only if it names the time."""
    most: tuple[Length, ...] = ()
    """The longest for the first request, the second, and so on; no further one counts. Empty: the law sets no limit."""
    counts_from: Literal["request", "due"] = "request"
    """What `most` is counted from: each request, or (added up) the day on which the duty was otherwise due."""
    oral_most: Length | None = None
    """The longest for oral requests together, from the first of them."""
    afterwards: Literal["resume", "at_once"] = "resume"
    """When the waiting ends: `resume`, its own period goes on; `at_once`, it is due then if not later."""
    anew: Length | None = None
    """Instead: so long after the end of the waiting."""
    confidence: Literal["high", "medium", "low"] | None = None
    note: str = ""

    @model_validator(mode="after")
    def _makes_sense(self) -> DelayTerms:
        if self.form == "written" and self.oral_most is not None:
            raise ValueError("oral_most, but only written requests count")
        if self.anew is not None and self.afterwards == "at_once":
            raise ValueError("give afterwards: at_once or anew, not both")
        if self.confidence == "low" and not self.note:
            raise ValueError("low confidence needs a note")
        return self


class DelayRequest(_Frozen):
    """What an authority asked: that telling waits, from `stated_at` until a time (or until it says otherwise)."""

    id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$")
    by: DelayAuthority
    authority: str = Field(min_length=1, max_length=200)
    """Its name, and the function of who speaks for it."""
    form: DelayForm
    stated_at: AwareDatetime
    until: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    """When the authority said that nothing stands in the way any more."""
    extraordinary: bool = False
    reason: str = Field("", max_length=4_000)

    @model_validator(mode="after")
    def _runs_forward(self) -> DelayRequest:
        if self.until is not None and self.until <= self.stated_at:
            raise ValueError("until must come after stated_at")
        return self
