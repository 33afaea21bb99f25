"""Around every answer: the request's id, the headers that protect a browser, and the count of requests."""

from __future__ import annotations

import re
import time
from uuid import uuid4

import structlog
from opentelemetry.trace import SpanKind
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from incidents.privacy import find_contacts
from incidents.tracing import given_by, span
from tocsin.api.scopes import REQUEST_ID, door_of

_SAFE_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{7,63}$")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by what watches the process."""

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
        headers = Headers(scope=scope)
        request_id = safe_request_id(headers.get("x-request-id"))
        scope[REQUEST_ID] = request_id
        if scope["path"] in _UNTRACED:
            await self._answer(scope, receive, send, request_id)
            return
        method = method_of(scope)
        caller = given_by(headers.get("traceparent"))
        said = {"http.request.method": method, "tocsin.request": request_id}
        with span(method, said, within=caller, kind=SpanKind.SERVER) as present:
            status = await self._answer(scope, receive, send, request_id)
            present.update_name(f"{method} {template_of(scope)}")
            present.set_attributes({"http.route": template_of(scope), "http.response.status_code": status})

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> int:
        """Returns the status that was answered with."""
        status, began = 500, time.perf_counter()

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
                _count(scope, status, time.perf_counter() - began)
        return status

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


def _count(scope: Scope, status: int, seconds: float) -> None:
    metrics, method, template = door_of(scope).services.metrics, method_of(scope), template_of(scope)
    metrics.requests.labels(method=method, route=template, status=str(status)).inc()
    metrics.request_seconds.labels(method=method, route=template).observe(seconds)


def method_of(scope: Scope) -> str:
    """The method, when it is one that we know; callers may make up others."""
    return scope["method"] if scope["method"] in _METHODS else "other"


def template_of(scope: Scope) -> str:
    """The address of the route that answers, with the names of its parts in place of what the caller gave."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
