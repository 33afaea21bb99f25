"""What came of one try on a channel, and the table that reads a provider's answer. The table is data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

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


_OF_THE_NOTICE = frozenset({"no-notice", "conflict", "returned", "address"})
"""Words of ours that say nothing about a provider."""


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
