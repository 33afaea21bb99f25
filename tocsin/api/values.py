"""Kinds of values in requests: instants that need a zone, texts that are fit to be kept."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

_NUMBER = re.compile(r"\s*[+-]?[\d_.eE]*\s*")
_EXAMPLE = "2026-11-20T09:30:00+08:00"


class RequestModel(BaseModel):
    """Base of request bodies: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class ResponseModel(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _only_text(value: Any) -> Any:
    """Numbers are no times here, in quotes neither: seconds or milliseconds, and of which zone, would be a guess."""
    if isinstance(value, datetime) or (isinstance(value, str) and not _NUMBER.fullmatch(value)):
        return value
    raise ValueError(f"must be a time in ISO 8601 with a zone, such as {_EXAMPLE}")


def _sane(value: datetime) -> datetime:
    if not 1970 <= value.year <= 2200:
        raise ValueError("must lie between the years 1970 and 2200")
    return value.astimezone(UTC)


ZonedTime = Annotated[
    AwareDatetime,
    BeforeValidator(_only_text, json_schema_input_type=str),
    AfterValidator(_sane),
    Field(
        examples=[_EXAMPLE],
        json_schema_extra={"type": "string", "format": "date-time"},
        description="ISO 8601 with an offset or Z.",
    ),
]
"""An instant in a request: ISO 8601 with an offset."""


def _printable(value: str) -> str:
    if any(ord(char) < 32 and char not in "\n\r\t" for char in value) or "\x7f" in value:
        raise ValueError("must not contain control characters")
    return value


Text = Annotated[str, AfterValidator(_printable)]
"""Text that people read: no control characters but line ends and tabs."""

Line = Annotated[Text, Field(min_length=1, max_length=200)]
LongText = Annotated[Text, Field(max_length=10_000)]
Reason = Annotated[Text, Field(min_length=1, max_length=4_000, examples=["Encrypted with a key that was not taken."])]
Digest = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9:._-]+$")]
Word = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A name of something of ours: a scheme, a level, a playbook, a key."""

__all__ = [
    "UUID",
    "Digest",
    "Line",
    "LongText",
    "Reason",
    "RequestModel",
    "ResponseModel",
    "Text",
    "Word",
    "ZonedTime",
]
