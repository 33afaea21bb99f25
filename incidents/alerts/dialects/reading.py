"""From bytes to a JSON object, or an error that says where the fault is.

Stricter than the usual reader, as RFC 8259 allows: no duplicate names, no NaN or infinity, no lone surrogates, a
limit on size and on depth. Faults name a place, never a value: alerts may hold personal data.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from incidents.alerts.finding import EARLIEST, LATEST
from incidents.errors import FieldFault, InvalidInput, Malformed, TooLarge
from incidents.record import Model

M = TypeVar("M", bound=BaseModel)

MAX_FAULTS = 20
_BOM = b"\xef\xbb\xbf"
_QUOTE = ord('"')
_SURROGATES = (b"\\ud", b"\\uD")
"""How halves of characters are written, which the standard library takes alone too."""
_NO_MARKS = bytes(set(range(256)) - set(b'"{}[]'))


class Limits(Model):
    """How much is taken in at once."""

    max_bytes: int = 1_048_576
    """Of one alert."""
    max_depth: int = 64
    """Objects and arrays inside each other."""
    max_items: int = 1_000
    """Alerts in one batch."""
    max_batch_bytes: int = 16_777_216
    """Of one batch."""


LIMITS = Limits()


class _Fault(ValueError):
    """Found by a hook of the JSON reader."""


def read_object(raw: bytes, limits: Limits = LIMITS) -> dict[str, Any]:
    """The JSON object in these bytes. InvalidInput (field `body`) when there is none, TooLarge over the limit."""
    if len(raw) > limits.max_bytes:
        raise TooLarge(
            f"The alert has {len(raw)} bytes; at most {limits.max_bytes} are taken. "
            "Send the finding without its raw logs, or several alerts one by one.",
            field="body",
        )
    value = read_json(raw, limits)
    if not isinstance(value, dict):
        raise InvalidInput(f"An alert is a JSON object; this is {_kind_of(value)}.", field="body")
    return value


def read_json(raw: bytes, limits: Limits = LIMITS) -> Any:
    """The JSON value in these bytes, without looking at their number. InvalidInput when it is not JSON."""
    raw = raw.removeprefix(_BOM)
    if not raw.strip():
        raise Malformed("The body is empty; a JSON object is wanted.", field="body")
    if nests_deeper(raw, limits.max_depth):
        raise InvalidInput(f"The body nests objects and arrays deeper than {limits.max_depth} levels.", field="body")
    try:
        if any(mark in raw for mark in _SURROGATES):
            _check_syntax(raw)
        return _DECODER.decode(raw.decode())
    except _Fault as fault:
        raise InvalidInput(f"The body is not valid: {fault}.", field="body") from None
    except ValueError as error:
        _check_syntax(raw)
        raise _malformed(error) from None


def _check_syntax(raw: bytes) -> None:
    """Malformed, with the place, when it is not JSON."""
    try:
        from_json(raw, allow_inf_nan=False, cache_strings="none")
    except ValueError as error:
        raise _malformed(error) from None


def _malformed(error: ValueError) -> Malformed:
    return Malformed(f"The body is not valid JSON: {_sentence(error)}.", field="body")


def nests_deeper(raw: bytes, limit: int) -> bool:
    """Whether objects and arrays are more than `limit` deep, in time linear in the number of bytes.

    Bytes that are not JSON get an answer too: up to their first fault, which the parser refuses, it is the right one.
    """
    if raw.count(b"{") + raw.count(b"[") <= limit:
        return False
    depth = 0
    in_text = False
    # Without escaped backslashes and then without escaped quotes, every quote left begins or ends a text.
    for mark in raw.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_MARKS):
        if mark == _QUOTE:
            in_text = not in_text
        elif not in_text:
            depth += 1 if mark in b"{[" else -1
            if depth > limit:
                return True
    return False


def read_model(model: type[M], document: Any, prefix: str = "") -> M:
    """Check a document against a model. InvalidInput with one fault for each wrong field."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        refuse(error, prefix)


def refuse(error: ValidationError, prefix: str = "") -> NoReturn:
    """Turn pydantic's errors into ours: dotted fields, reasons without the offending values."""
    faults = [
        FieldFault(
            ".".join(str(part) for part in (*([prefix] if prefix else []), *fault["loc"])), _reason(fault["msg"])
        )
        for fault in error.errors(include_url=False, include_input=False, include_context=False)[:MAX_FAULTS]
    ]
    first = faults[0]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    raise InvalidInput(f"{first.field}: {first.reason}{more}", errors=faults) from None


def read_time(text: Any, field: str) -> int:
    """An ISO 8601 time with a zone, in milliseconds since 1970. InvalidInput naming the field otherwise."""
    if not isinstance(text, str):
        raise InvalidInput(f"{field}: a time such as 2024-11-05T09:34:05.577+0000 is wanted.", field=field)
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput(
            f"{field}: this is not a time in ISO 8601, such as 2024-11-05T09:34:05.577+0000.", field=field
        ) from None
    if instant.tzinfo is None:
        raise InvalidInput(f"{field}: the time has no zone. Add its offset from UTC, such as +0800 or Z.", field=field)
    try:
        milliseconds = int(instant.astimezone(UTC).timestamp() * 1000 + 0.5)
    except (OverflowError, ValueError):
        milliseconds = 0
    if not EARLIEST <= milliseconds < LATEST:
        raise InvalidInput(f"{field}: the time is not between the years 2000 and 2100.", field=field)
    return milliseconds


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _Fault(f"the name {name[:40]!r} occurs twice in one object")
            seen.add(name)
    return result


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Fault("a number is too large")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)


def _sentence(error: ValueError) -> str:
    text = str(error)
    if "Exceeds the limit" in text:  # the interpreter's guard against very long integers
        return "a number has too many digits"
    if text.startswith("EOF"):
        return f"it ends too early ({text})"
    return text


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").rstrip(".") + "."


def _kind_of(value: Any) -> str:
    names = {list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
