"""The OpenAPI 3.1 document: what the framework gathers, and the parts it cannot know."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tocsin import __doc__ as what_it_is
from tocsin.api.problems import Problem

VERSION = "1"

TAGS: list[dict[str, Any]] = [
    {"name": "alerts", "description": "What detectors say. The same alert sent twice has one effect."},
    {
        "name": "incidents",
        "description": "What was declared, from alerts or a person's report; facts, grades, lifecycle.",
    },
    {
        "name": "assets",
        "description": "The asset register: who answers for which data, and what it tells of an incident.",
    },
    {"name": "duties", "description": "Whom the law obliges to be told, by when, and why."},
    {"name": "runs", "description": "Playbooks being executed."},
    {"name": "campaigns", "description": "Notices to the people affected: text, audience, approval, coverage."},
    {"name": "parties", "description": "Contract parties and their confirmed contacts."},
    {"name": "boards", "description": "What is true now, across incidents."},
    {"name": "receipts", "description": "What providers report of deliveries."},
    {"name": "history", "description": "What became of one person, or of everybody; every look is on record."},
    {"name": "letters", "description": "Letters for a printing house, and what it says became of them."},
    {"name": "public-notices", "description": "Notices to everybody that stay up, with their versions."},
    {"name": "recipients", "description": "People affected: erased when they ask."},
    {"name": "suppressions", "description": "Addresses not to be written to; the list holds digests only."},
    {"name": "keys", "description": "API keys and what they may do."},
    {"name": "schemas", "description": "JSON Schemas of what the API takes."},
    {"name": "health", "description": "Liveness, readiness, metrics."},
]


def describe(app: FastAPI) -> None:
    """Make the application answer with this document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _build(app: FastAPI) -> dict[str, Any]:
    built = get_openapi(
        title=app.title,
        version=VERSION,
        openapi_version="3.1.0",
        summary="Incident response and notification, from an alert to everybody who must be told.",
        description=_DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = built.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return built


_DESCRIPTION = f"""{(what_it_is or "").strip()}

Send a key as `Authorization: Bearer tocsin_...`. Every refusal is a problem document (RFC 9457) that names fields and
reasons. Commands take `Idempotency-Key`; commands on an incident take `If-Match` with the version from its `ETag`.
Times are ISO 8601 with an offset. Lists are paged by cursor.
"""
