"""What came of one try on a channel, and the table that reads a provider's answer. The table is data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from incidents.record.event import Model

DeliveryState = Literal[
    "planned",
    "claimed",
    "ambiguous",
    "accepted",
    "sent",
    "delivered",
    "undelivered",
    "failed",
    "rejected",
    "suppressed",
    "cancelled",
    "read",
]


_OF_THE_NOTICE = frozenset({"no-notice", "conflict", "returned", "address", "not-confirmed"})
"""Words of ours that say nothing about a provider."""
MAX_ID, MAX_CODE = 120, 40
"""Characters of a provider's id and of a code that are kept."""


HEARD_SECONDS = 10
"""A call that ended sooner was not heard: it counts as passed on, not as arrived."""


class Verdict(StrEnum):
    """What a try means for the delivery."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    CAMPAIGN_FAULT = "campaign_fault"
    TEMPORARY = "temporary"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one try. `state` says how far an accepted message is; `code` is the provider's number or a
    word of ours, never its text, which may repeat the address. `retry_after` is in seconds."""

    verdict: Verdict
    code: str | None = None
    provider_id: str | None = None
    state: DeliveryState = "accepted"
    retry_after: float | None = None

    def __post_init__(self) -> None:
        # One that fits in no row would keep those of everybody else from being entered.
        if self.provider_id is not None and len(self.provider_id) > MAX_ID:
            object.__setattr__(self, "provider_id", kept_id(self.provider_id))
        if self.code is not None and len(self.code) > MAX_CODE:
            object.__setattr__(self, "code", self.code[:MAX_CODE])


def kept_id(provider_id: str) -> str:
    """A provider's id as it is kept: itself, or the digest of one that is too long."""
    return provider_id if len(provider_id) <= MAX_ID else f"sha256:{sha256(provider_id.encode()).hexdigest()}"


class FilterAlarm(Model):
    """When so many of a campaign's text messages are filtered by networks that a person has to look."""

    codes: tuple[str, ...]
    share: float = Field(gt=0, le=1)
    at_least: int = Field(ge=1)
    holds: bool


class OutcomeTable(Model):
    """`outcomes.yaml` as read."""

    twilio_http: dict[str, Verdict]
    twilio_code: dict[str, Verdict]
    twilio_status: dict[str, DeliveryState]
    smtp: dict[str, dict[str, Verdict]]
    smtp_reply: dict[str, Verdict]
    smtp_enhanced: dict[str, Verdict]
    smtp_passing: tuple[str, ...]
    suppress: dict[str, dict[str, Literal["hard-bounce", "stop"]]]
    throttle: dict[str, float]
    provider: tuple[str, ...]
    repeat_after: dict[str, tuple[float, ...]]
    filter_alarm: FilterAlarm

    def of_twilio_error(self, http_status: int, code: int | None) -> Verdict:
        """The meaning of an error answer. 429 and 5xx decide by themselves; else the code, else the status."""
        by_status = self.twilio_http.get(str(http_status)) or self.twilio_http.get(f"{http_status // 100}xx")
        if http_status == 429 or http_status >= 500 or by_status is Verdict.AMBIGUOUS:
            return by_status or Verdict.AMBIGUOUS
        return self.twilio_code.get(str(code)) or by_status or Verdict.AMBIGUOUS

    def call_word(self, status: str, answered_by: str, seconds: int | None) -> str:
        """One word for how far a call is, a key of `twilio_status`. A completed one was heard, unless a machine
        answered or it is known to have been too short."""
        if status != "completed":
            return f"call-{status}"
        if answered_by.startswith(("machine", "fax")):
            return "call-machine"
        return "call-short" if seconds is not None and seconds < HEARD_SECONDS else "call-heard"

    def of_call(self, status: str, answered_by: str, seconds: int | None) -> tuple[DeliveryState | None, str | None]:
        """The state of a call, and a code where it reached nobody; None for a status that is not known."""
        state = self.twilio_status.get(self.call_word(status, answered_by, seconds))
        return state, status if state in {"undelivered", "failed"} else None

    def suppresses(self, channel: str, code: str | None) -> Literal["hard-bounce", "stop"] | None:
        """Why an address is not to be written to again after this code; None where the code does not say so."""
        codes = self.suppress.get(channel, {})
        return next((codes[part] for part in (code or "").split() if part in codes), None)

    def throttles(self, code: str | None) -> float | None:
        """Seconds for which whoever answered with this code is to be left alone; None where it does not ask for it."""
        word = (code or "").partition(" ")[0]
        return self.throttle.get(word)

    def is_of_provider(self, code: str | None) -> bool:
        """Whether a fault is the provider's, or that of our account there, so that another provider may do better. A
        word of ours (a time limit, a lost connection) always is; a number if the table says so."""
        if not code or not code[0].isdigit():
            return code not in _OF_THE_NOTICE
        return any(part in self.provider for part in code.split())

    def says_nothing(self, code: str | None) -> bool:
        """Whether what came of a message tells nothing about how its provider is."""
        return code in _OF_THE_NOTICE

    def repeats_after(self, code: str | None, repeat: int) -> timedelta | None:
        """How long the same channel waits before its `repeat`-th new attempt (1: the first) after one that ended with
        this code; None where the code has no pauses of its own."""
        minutes = self.repeat_after.get(code or "")
        return timedelta(minutes=minutes[min(max(repeat, 1), len(minutes)) - 1]) if minutes else None

    def is_filtered(self, code: str | None) -> bool:
        """Whether a text message that did not arrive was filtered by a network, or went nobody knows why: a code that
        is not in the table, or none."""
        return code in self.filter_alarm.codes or code is None or code not in self.twilio_code

    def is_temporary(self, code: str | None) -> bool:
        """Whether what a delivery ended with may pass by itself: a code of Twilio's, or reply and enhanced code of a
        mail server."""
        words = (code or "").split()
        if self.twilio_code.get(code or "") is Verdict.TEMPORARY:
            return True
        return any(self.smtp_reply.get(word) is Verdict.TEMPORARY or word in self.smtp_passing for word in words)

    def of_smtp_reply(self, command: str, reply: int, enhanced: str | None = None) -> Verdict:
        """The meaning of a 4xx or 5xx reply; a reply that SMTP does not know is temporary before the content. What is
        said to be temporary stays so whatever the enhanced code says (RFC 5321 section 4.2.1)."""
        if reply // 100 == 5 and (known := self.smtp_enhanced.get(enhanced or "")) is not None:
            return known
        if (known := self.smtp_reply.get(str(reply))) is not None:
            return known
        fallback = Verdict.AMBIGUOUS if command == "content" else Verdict.TEMPORARY
        return self.smtp[command].get(f"{reply // 100}xx", fallback)


@cache
def outcome_table() -> OutcomeTable:
    """The table that comes with the code."""
    text = (Path(__file__).parent / "outcomes.yaml").read_text(encoding="utf-8")
    return OutcomeTable.model_validate(yaml.safe_load(text))
