"""Which problems a route may answer with, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from tocsin.api.problem_catalog import CATALOG
from tocsin.api.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]

_SCHEMA = {"$ref": "#/components/schemas/Problem"}


def problems(*codes: str) -> Responses:
    """The documented answers for kinds of problems, by status."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CATALOG[code].status, []).append(code)
    return {
        status: {
            "description": " / ".join(CATALOG[code].title for code in named),
            "content": {MEDIA_TYPE: {"schema": _SCHEMA, "examples": {code: _example(code) for code in named}}},
        }
        for status, named in sorted(by_status.items())
    }


def _example(code: str) -> dict[str, Any]:
    kind = CATALOG[code]
    return {
        "summary": kind.title,
        "value": {
            "type": f"/problems/{code}",
            "title": kind.title,
            "status": kind.status,
            "detail": kind.meaning,
            "instance": "/v1/...",
            "errors": [],
            "request_id": "4f0c7f6e5a3d4c0f9a0b2f6f0a1c3d5e",
        },
    }


ALWAYS = ("not-authenticated", "forbidden", "invalid-input", "too-many-attempts", "internal")
READING = problems(*ALWAYS, "malformed-request")
READING_ONE = problems(*ALWAYS, "malformed-request", "not-found")
CREATING = problems(*ALWAYS, "malformed-request", "conflict", "too-large", "unsupported-media-type", "request-timeout")
CHANGING = problems(
    *ALWAYS,
    "malformed-request",
    "not-found",
    "conflict",
    "illegal-transition",
    "precondition-failed",
    "too-large",
    "unsupported-media-type",
    "request-timeout",
)
