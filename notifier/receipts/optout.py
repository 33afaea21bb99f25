"""Text messages that people send back: STOP puts their number on the list, START takes it off again.

The sender's number is personal: it is made a digest of at once and stands in no log, answer or event.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Literal

import structlog
import yaml

from incidents.errors import Forbidden, InvalidInput
from incidents.record.event import Model
from notifier.receipts.signature import Parameters, TwilioSignatures, first_of
from notifier.suppression import SuppressionBook

log = structlog.get_logger(__name__)

MAX_TEXT = 1_600
BY = "system:twilio"


class OptOutWords(Model):
    """`optout.yaml` as read."""

    stop: tuple[str, ...]
    start: tuple[str, ...]

    def meaning(self, text: str) -> Literal["stop", "start"] | None:
        """What a whole message means; None for anything that is more than one of the words."""
        said = " ".join(re.findall(r"\w+", text.casefold()))
        if said in {word.casefold() for word in self.stop}:
            return "stop"
        return "start" if said in {word.casefold() for word in self.start} else None


@cache
def optout_words() -> OptOutWords:
    """The words that come with the code."""
    text = (Path(__file__).parent / "optout.yaml").read_text(encoding="utf-8")
    return OptOutWords.model_validate(yaml.safe_load(text))


class InboundResult(StrEnum):
    """What a message from a person did."""

    STOPPED = "stopped"
    STARTED = "started"
    IGNORED = "ignored"
    """It says something else. Nobody reads these messages here."""


class TwilioInbound:
    """Takes messages in that people send to our numbers."""

    def __init__(self, suppressions: SuppressionBook, public_url: str, auth_tokens: Sequence[str]) -> None:
        self._suppressions = suppressions
        self._signatures = TwilioSignatures(public_url, auth_tokens)
        self._words = optout_words()
        self.counts: Counter[str] = Counter()

    def accept(self, url: str, params: Parameters, signature: str | None) -> InboundResult:
        """Take one message in. Forbidden when it is not signed by Twilio, InvalidInput when it is no message."""
        if not self._signatures.is_genuine(url, params, signature):
            self.counts["forged"] += 1
            log.warning("inbound.forged")
            raise Forbidden("The message's signature is not genuine. Nothing was changed.", field="signature")
        sender, text = first_of(params, "From"), first_of(params, "Body") or ""
        if not sender or len(sender) > 40:
            raise InvalidInput("The body is no message of a person.", field="From")
        # Twilio says so itself where its own opt-out handling is on, whatever words are set there.
        told = (first_of(params, "OptOutType") or "").lower()
        meaning = told if told in {"stop", "start"} else self._words.meaning(text[:MAX_TEXT])
        result = self._enter(sender, meaning)
        self.counts[result.value] += 1
        return result

    def _enter(self, sender: str, meaning: str | None) -> InboundResult:
        try:
            if meaning == "stop":
                self._suppressions.add(sender, reason="stop", channel="sms", by=BY, code="STOP")
                return InboundResult.STOPPED
            if meaning == "start":
                self._suppressions.lift_for(sender, reasons=("stop",), channel="sms", by=BY, why="START was answered.")
                return InboundResult.STARTED
        except InvalidInput:
            log.info("inbound.no-number")  # a short code or a name: nobody we could have written to
        return InboundResult.IGNORED
