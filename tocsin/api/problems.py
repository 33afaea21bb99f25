"""Problem documents (RFC 9457): one form for every refusal. They name places and reasons, never values of the input."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from starlette.types import Scope

from incidents.errors import FieldFault, TocsinError
from incidents.privacy import mask_contacts
from tocsin.api.problem_catalog import CATALOG, ProblemKind, kind_of
from tocsin.api.scopes import door_of, request_id_of

MEDIA_TYPE = "application/problem+json"
MAX_FIELD = 120
MAX_REASON = 600
MAX_ERRORS = 1_000


class ProblemField(BaseModel):
    """One fault: a dotted path into the input, and a sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str = Field(examples=["facts.persons_affected"])
    reason: str = Field(examples=["persons_affected wants a whole number of persons."])


class Problem(BaseModel):
    """A problem document (RFC 9457). `type` is a relative URI of a page that explains the kind of problem."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = Field(examples=["/problems/invalid-input"])
    title: str = Field(examples=["Invalid input"])
    status: int = Field(ge=400, le=599, examples=[422])
    detail: str = Field(examples=["title must not be empty."])
    instance: str = Field(description="The path of the request.", examples=["/v1/incidents"])
    errors: tuple[ProblemField, ...] = ()
    request_id: str = Field(examples=["4f0c7f6e5a3d4c0f9a0b2f6f0a1c3d5e"])


class ProblemRaised(Exception):
    """A refusal of the door itself, ready to be sent."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Iterable[FieldFault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = CATALOG[code]
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def problem_response(
    scope: Scope,
    kind: ProblemKind,
    detail: str,
    *,
    errors: Iterable[FieldFault] = (),
    headers: Mapping[str, str] | None = None,
    title: str | None = None,
) -> Response:
    """The answer for a problem, counted under its code."""
    problem = Problem(
        type=f"/problems/{kind.code}",
        title=title or kind.title,
        status=kind.status,
        detail=_clean(detail, MAX_REASON),
        instance=_clean(str(scope.get("path", "")), 300),
        errors=problem_fields(errors),
        request_id=request_id_of(scope),
    )
    door = door_of(scope)
    door.services.metrics.refused.labels(problem=kind.code).inc()
    body = json.dumps(problem.model_dump(mode="json"), ensure_ascii=False).encode("utf-8")
    extra = dict(headers or {})
    if kind.status == 401:
        extra.setdefault("WWW-Authenticate", 'Bearer realm="tocsin"')
    page = door.problem_page(scope, kind, problem.detail)
    if page is not None:
        page.headers.update(extra)
        return page
    return Response(body, kind.status, extra, MEDIA_TYPE)


def problem_fields(errors: Iterable[FieldFault]) -> tuple[ProblemField, ...]:
    """Faults as they may be shown."""
    return tuple(
        ProblemField(field=_clean(fault.field, MAX_FIELD), reason=_clean(fault.reason, MAX_REASON))
        for fault in list(errors)[:MAX_ERRORS]
    )


def shown(text: str) -> str:
    """A sentence as it may be shown: without contact data or control characters."""
    return _clean(text, MAX_REASON)


def error_response(scope: Scope, error: TocsinError) -> Response:
    """The answer for an error of the application."""
    kind = kind_of(error)
    if kind.status >= 500:
        # Faults of our own say nothing about the inside; the caller logs them.
        return problem_response(scope, kind, kind.meaning)
    return problem_response(scope, kind, error.detail, errors=error.errors)


def raised_response(scope: Scope, raised: ProblemRaised) -> Response:
    """The answer for a refusal of the door."""
    return problem_response(scope, raised.kind, raised.detail, errors=raised.errors, headers=raised.headers)


def _clean(text: str, limit: int) -> str:
    """Without contact data, control characters and halves of characters; of bounded length."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = "".join(" " if ord(char) < 32 or ord(char) == 127 else char for char in text)
    text = mask_contacts(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
