"""Checks on JSON bodies before they are parsed: the media type, and how deep they nest."""

from __future__ import annotations

import re

from incidents.errors import FieldFault
from tocsin.api.problems import ProblemRaised

MAX_DEPTH = 32
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def refuse_unfit(content_type: str | None, body: bytes) -> None:
    """ProblemRaised (415, 400) for a body that is not sent as JSON, or nests deeper than `MAX_DEPTH`."""
    if not body:
        return
    if not is_json(content_type):
        raise ProblemRaised("unsupported-media-type", "Send the body as application/json.")
    if depth_over(body, MAX_DEPTH):
        reason = f"nests objects and arrays deeper than {MAX_DEPTH} levels"
        raise ProblemRaised("malformed-request", f"The body {reason}.", errors=[FieldFault("body", reason)])


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type is JSON (`application/json` or `application/...+json`)."""
    media = (content_type or "").partition(";")[0].strip().lower()
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))


def depth_over(body: bytes, limit: int) -> bool:
    """Whether arrays and objects nest deeper than `limit`. Wrong JSON gets an answer too; the parser refuses it."""
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    depth = 0
    for match in _TOKEN.finditer(body):
        first = match[0][0]
        if first in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif first in b"]}":
            depth -= 1
    return False
