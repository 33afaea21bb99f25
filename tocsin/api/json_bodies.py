"""Checks on JSON bodies before they are parsed: the media type, and how deep they nest."""

from __future__ import annotations

from incidents.alerts.dialects import nests_deeper
from incidents.errors import FieldFault
from tocsin.api.problems import ProblemRaised

MAX_DEPTH = 32


def refuse_unfit(content_type: str | None, body: bytes) -> None:
    """ProblemRaised (415, 400) for a body not sent as JSON, not in UTF-8, or nesting deeper than `MAX_DEPTH`."""
    if not body:
        return
    if not is_json(content_type):
        raise ProblemRaised("unsupported-media-type", "Send the body as application/json.")
    if b"\x00" in body:
        # No JSON text in UTF-8 has this byte; in UTF-16, which the parser would take, the depth could not be told.
        reason = "must be JSON in UTF-8 (RFC 8259 section 8.1)"
        raise ProblemRaised("malformed-request", f"The body {reason}.", errors=[FieldFault("body", reason)])
    if nests_deeper(body, MAX_DEPTH):
        reason = f"nests objects and arrays deeper than {MAX_DEPTH} levels"
        raise ProblemRaised("malformed-request", f"The body {reason}.", errors=[FieldFault("body", reason)])


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type is JSON (`application/json` or `application/...+json`)."""
    media = (content_type or "").partition(";")[0].strip().lower()
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))
