"""Problems for people: a page instead of a document, for browsers and outside the API."""

from __future__ import annotations

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from tocsin.api.problem_catalog import ProblemKind
from tocsin.api.scopes import request_id_of
from tocsin.console.pages import Pages
from tocsin.console.viewers import language_of

log = structlog.get_logger(__name__)


def wants_page(scope: Scope) -> bool:
    """Whether the answer is for a person in front of a browser."""
    if scope["type"] != "http" or scope["path"].startswith(("/v1/", "/metrics", "/healthz", "/readyz")):
        return False
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return b"text/html" in accept


class ProblemPages:
    """Makes the pages."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def __call__(self, scope: Scope, kind: ProblemKind, detail: str) -> Response | None:
        """The page of a problem, or None when the caller is not a browser."""
        if not wants_page(scope):
            return None
        request = Request(scope)
        shown = detail if language_of(request) == "en" and detail != kind.meaning else None
        try:
            # Who reads it is not looked up: what is wrong may be the database.
            return self._pages.render(
                request, "problem.html", status=kind.status, kind=kind, detail=shown, request_id=request_id_of(scope)
            )
        except Exception:
            # The page of a fault must not be lost to another fault: the document is sent instead.
            log.exception("problem-page.failed", code=kind.code)
            return None
