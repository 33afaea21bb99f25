"""Around every answer: the request's id, the headers that protect a browser, and the count of requests."""

from __future__ import annotations

import re
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from incidents.privacy import find_contacts
from tocsin.api.scopes import REQUEST_ID, door_of

_SAFE_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{7,63}$")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

API_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""Set unless the answer has its own."""
HSTS = "max-age=31536000; includeSubDomains"


class Envelope:
    """ASGI middleware, the outermost of ours."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._always = {**ALWAYS, "Strict-Transport-Security": HSTS} if https else dict(ALWAYS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = safe_request_id(Headers(scope=scope).get("x-request-id"))
        scope[REQUEST_ID] = request_id
        status = 500

        async def closing(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._seal(MutableHeaders(scope=message), request_id)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, closing)
            finally:
                _count(scope, status)

    def _seal(self, headers: MutableHeaders, request_id: str) -> None:
        headers["X-Request-Id"] = request_id
        for name, value in self._always.items():
            headers.setdefault(name, value)
        page = headers.get("content-type", "").startswith("text/html")
        headers.setdefault("Content-Security-Policy", PAGE_POLICY if page else API_POLICY)


def safe_request_id(given: str | None) -> str:
    """The caller's id for the request when it is fit for a log line, else a new one."""
    if given is not None and _SAFE_ID.match(given) and not find_contacts(given):
        return given
    return uuid4().hex


def _count(scope: Scope, status: int) -> None:
    method = scope["method"] if scope["method"] in _METHODS else "other"
    route = scope.get("route")
    template = str(getattr(route, "path", "unmatched"))
    door_of(scope).services.metrics.requests.labels(method=method, route=template, status=str(status)).inc()
