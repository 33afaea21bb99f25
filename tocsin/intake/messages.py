"""From a message to an alert that can be decided, or to the reason why it is none. Needs no database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

import structlog

from incidents.alerts.batch import BatchIntake, PreparedAlert
from incidents.alerts.dialects import DIALECTS
from incidents.errors import FieldFault, InvalidInput, Malformed, NotFound, TocsinError, TooLarge
from incidents.record import Context, stable_id
from tocsin.kafka import Headers, Topics

log = structlog.get_logger(__name__)

DIALECT_HEADER = "tocsin-dialect"
"""Names the dialect of a message whose topic does not."""
TRACE_HEADER = "traceparent"
_NOT_IN_ACTORS = re.compile(r"[^A-Za-z0-9._-]")
_MOST_OF_AN_ACTOR = 64


class Reason(StrEnum):
    """Why a message was put aside."""

    MALFORMED = "malformed"
    """Not JSON, empty, cut off."""
    INVALID = "invalid"
    """JSON, but not an alert of its dialect."""
    TOO_LARGE = "too-large"
    NO_DIALECT = "no-dialect"
    """Neither header nor topic nor content says a dialect that is known."""
    UNDECIDABLE = "undecidable"
    """An alert, but what it belongs to cannot be decided, or deciding failed; the log says more."""


class Message(Protocol):
    """What is read of kafka-python's `ConsumerRecord`."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message is no alert. The text names fields, never values."""

    reason: Reason
    detail: str
    faults: Sequence[FieldFault] = ()
    dialect: str = "unknown"


class Reader:
    """Reads messages of our alert topics."""

    def __init__(self, topics: Topics, intake: BatchIntake) -> None:
        self._topics = topics
        self._intake = intake
        self._named = lru_cache(maxsize=1_000)(self._name)

    def read(self, message: Message) -> PreparedAlert | Refusal:
        """The alert in a message, or why there is none."""
        dialect = self.dialect_of(message)
        if dialect is None:
            return Refusal(
                Reason.NO_DIALECT,
                f"No dialect: give the header {DIALECT_HEADER} or name the topic after one of {', '.join(DIALECTS)}.",
            )
        try:
            return self._intake.prepare(dialect, message.value or b"")
        except TocsinError as error:
            return Refusal(_reason_of(error), error.detail, error.errors, dialect)
        except Exception as error:
            # A fault of ours in reading this one message must not stop those behind it.
            log.exception("alert.unreadable", topic=message.topic, partition=message.partition, offset=message.offset)
            return Refusal(Reason.UNDECIDABLE, f"Reading it failed: {type(error).__name__}.", (), dialect)

    def dialect_of(self, message: Message) -> str | None:
        """By the header, else the topic's name (`<prefix>.alerts.wazuh.frankfurt`), else the look of the content."""
        for name, value in message.headers:
            if name == DIALECT_HEADER:
                named = value.decode("utf-8", "replace") if value else ""
                return named if named in DIALECTS else None
        first = self._topics.source_of(message.topic).partition(".")[0]
        return first if first in DIALECTS else _by_content(message.value or b"")

    def context(self, message: Message, topic_id: str, recorded_at: datetime) -> Context:
        """Who sent it and what caused it: the same for the same message, whoever reads it and how often."""
        actor, cause = self._named(topic_id, message.topic, message.partition)
        return Context(actor=actor, cause=f"{cause}/{message.offset}", recorded_at=recorded_at)

    def _name(self, topic_id: str, topic: str, partition: int) -> tuple[str, str]:
        source = _NOT_IN_ACTORS.sub("_", self._topics.source_of(topic))[:_MOST_OF_AN_ACTOR]
        return f"siem:{source}", f"command:{stable_id('kafka', topic_id, topic, str(partition))}"


def traceparent_in(message: Message) -> str | None:
    """The trace a message is part of (W3C Trace Context)."""
    for name, value in message.headers:
        if name.lower() == TRACE_HEADER and value:
            return value.decode("ascii", "replace")
    return None


def _by_content(value: bytes) -> str | None:
    """OCSF events have a `class_uid`, Wazuh's alerts a `rule` and a `manager` or an `agent`."""
    if b'"class_uid"' in value:
        return "ocsf"
    return "wazuh" if b'"rule"' in value and (b'"agent"' in value or b'"manager"' in value) else None


def _reason_of(error: TocsinError) -> Reason:
    match error:
        case TooLarge():
            return Reason.TOO_LARGE
        case Malformed():
            return Reason.MALFORMED
        case InvalidInput():
            return Reason.INVALID
        case NotFound():
            return Reason.NO_DIALECT
        case _:
            return Reason.UNDECIDABLE
