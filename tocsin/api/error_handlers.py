"""From exceptions to problem documents, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from incidents.errors import FieldFault, TocsinError
from tocsin.api.problem_catalog import CATALOG, kind_of, kind_of_status
from tocsin.api.problems import ProblemRaised, error_response, problem_response, raised_response
from tocsin.api.scopes import request_id_of
from tocsin.api.validation import faults_of

log = structlog.get_logger(__name__)


def add_error_handlers(app: FastAPI) -> None:
    """Every exception that can reach the application becomes a problem document."""
    app.add_exception_handler(TocsinError, on_error)
    app.add_exception_handler(ProblemRaised, on_raised)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)


async def on_error(request: Request, error: Exception) -> Response:
    """An error of the application."""
    assert isinstance(error, TocsinError)  # noqa: S101 - registered for this class only
    if kind_of(error).status >= 500:
        log.error("request.failed", fault=error.code, reason=error.detail, request_id=request_id_of(request.scope))
    return error_response(request.scope, error)


async def on_raised(request: Request, error: Exception) -> Response:
    """A refusal of the door."""
    assert isinstance(error, ProblemRaised)  # noqa: S101 - registered for this class only
    return raised_response(request.scope, error)


async def on_invalid(request: Request, error: Exception) -> Response:
    """A request that does not fit its models: 400 when it is not even JSON, else 422."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    found: Sequence[Any] = error.errors()
    broken = next((one for one in found if one["type"] == "json_invalid"), None)
    if broken is not None:
        reason = f"is not valid JSON: {broken['ctx']['error']} at character {broken['loc'][-1]}"
        return problem_response(
            request.scope,
            CATALOG["malformed-request"],
            f"The body {reason}.",
            errors=[FieldFault("body", reason)],
        )
    faults = faults_of(found)
    more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
    detail = f"{faults[0].field}: {faults[0].reason}{more}"
    return problem_response(request.scope, CATALOG["invalid-input"], detail, errors=faults)


async def on_http(request: Request, error: Exception) -> Response:
    """What the framework refuses: unknown addresses and methods, bodies it cannot read."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    kind = kind_of_status(error.status_code)
    faults: list[FieldFault] = []
    detail = kind.meaning
    if kind.code == "too-large":
        detail = str(error.detail)
        faults = [FieldFault("body", detail)]
    elif kind.code == "malformed-request":
        detail = "The body could not be read."
        faults = [FieldFault("body", "could not be read")]
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() in _PASSED}
    return problem_response(request.scope, kind, detail, errors=faults, headers=headers)


_PASSED = frozenset({"allow", "connection", "retry-after"})
