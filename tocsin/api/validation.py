"""Pydantic's findings in our words: a dotted path and a sentence, never the value that was sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from incidents.errors import FieldFault

_Context = Mapping[str, Any]
_IN = frozenset({"body", "query", "path", "header", "cookie", "form"})
_TIME = "must be a time in ISO 8601 with a zone, such as 2026-11-20T09:30:00+08:00"


def _limit(name: str, sentence: str) -> Callable[[_Context], str]:
    return lambda context: sentence.format(context.get(name))


_SENTENCES: Mapping[str, str | Callable[[_Context], str]] = MappingProxyType(
    {
        "missing": "is required",
        "extra_forbidden": "is no field here",
        "string_type": "must be text",
        "string_unicode": "must be valid Unicode text",
        "string_too_short": _limit("min_length", "must have at least {} character(s)"),
        "string_too_long": _limit("max_length", "may have at most {} characters"),
        "string_pattern_mismatch": "does not have the right form",
        "too_long": _limit("max_length", "may have at most {} items"),
        "too_short": _limit("min_length", "must have at least {} item(s)"),
        "literal_error": _limit("expected", "must be one of: {}"),
        "enum": _limit("expected", "must be one of: {}"),
        "greater_than_equal": _limit("ge", "must be {} or more"),
        "less_than_equal": _limit("le", "must be {} or less"),
        "greater_than": _limit("gt", "must be more than {}"),
        "less_than": _limit("lt", "must be less than {}"),
        "timezone_aware": "has no time zone; add an offset such as +08:00, or Z",
        "model_attributes_type": "must be a JSON object",
        "model_type": "must be a JSON object",
        "dict_type": "must be a JSON object",
        "list_type": "must be a JSON array",
        "tuple_type": "must be a JSON array",
        "set_type": "must be a JSON array",
        "frozen_set_type": "must be a JSON array",
        "value_error": lambda context: str(context.get("error", "is not valid")),
    }
)

_FAMILIES: tuple[tuple[str, str], ...] = (
    ("datetime", _TIME),
    ("date_", _TIME),
    ("timezone", _TIME),
    ("int", "must be a whole number"),
    ("float", "must be a number"),
    ("bool", "must be true or false"),
    ("uuid", "must be an id such as 7f3a9c1e-6b0d-4a51-9b38-2c1d5e8f7a90"),
)
"""By the beginning of pydantic's type of error."""


def faults_of(errors: Sequence[Mapping[str, Any]]) -> list[FieldFault]:
    """Field faults of a validation's errors."""
    return [FieldFault(field_of(error["loc"]), reason_of(error)) for error in errors]


def field_of(location: Sequence[int | str]) -> str:
    """The dotted path of a place, without where it travelled (body, query, path ...)."""
    parts = [str(part) for part in location]
    if len(parts) > 1 and parts[0] in _IN:
        parts = parts[1:]
    return ".".join(parts) or "body"


def reason_of(error: Mapping[str, Any]) -> str:
    """The sentence for one error."""
    kind = str(error.get("type", ""))
    known = _SENTENCES.get(kind)
    if isinstance(known, str):
        return known
    if known is not None:
        return known(error.get("ctx") or {})
    return next((sentence for start, sentence in _FAMILIES if kind.startswith(start)), "is not valid")
