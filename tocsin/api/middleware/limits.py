"""Limits on requests: the size of bodies, headers and addresses, and how long a body may take to arrive.

A body over its limit is refused when its Content-Length says so, or else as soon as the limit is passed; the rest is
never read, and the connection is closed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from incidents.errors import FieldFault
from tocsin.api.problems import ProblemRaised, raised_response

DEFAULT_BYTES = 262_144
MAX_PATH = 4_096
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32_768
BASE_SECONDS = 30.0
LEAST_BYTES_PER_SECOND = 100_000
"""A body may take 30 seconds and 1 second for each 100 kB of its limit: slow lines pass, trickling does not."""

_CLOSE = {"Connection": "close"}


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """The most bytes that addresses matching a pattern take."""

    pattern: re.Pattern[str]
    max_bytes: int


class BodyTooLarge(HTTPException):
    """Raised into whoever reads the body; FastAPI lets HTTPExceptions through."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, too_large(limit), headers=_CLOSE)


class BodyTooSlow(HTTPException):
    """The body did not arrive in time."""

    def __init__(self) -> None:
        super().__init__(408, "The body did not arrive in time.", headers=_CLOSE)


def too_large(limit: int) -> str:
    """The sentence about a limit of bytes."""
    return f"This address takes at most {limit} bytes."


class Limits:
    """ASGI middleware that holds requests to their limits."""

    def __init__(self, app: ASGIApp, *, bodies: Sequence[BodyLimit]) -> None:
        self._app = app
        self._bodies = tuple(bodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        refusal = _refusal(scope, limit)
        if refusal is not None:
            await raised_response(scope, refusal)(scope, receive, send)
            return
        await self._app(scope, _Metered(receive, limit).receive, send)

    def _limit(self, path: str) -> int:
        return next((rule.max_bytes for rule in self._bodies if rule.pattern.search(path)), DEFAULT_BYTES)


class _Metered:
    """`receive` with a meter and a clock on it."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._bytes = 0
        self._whole = False
        self._deadline: float | None = None

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        message = await self._in_time()
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            if self._bytes > self._limit:
                raise BodyTooLarge(self._limit)
            self._whole = not message.get("more_body", False)
        else:
            self._whole = True
        return message

    async def _in_time(self) -> Message:
        loop = asyncio.get_running_loop()
        if self._deadline is None:
            self._deadline = loop.time() + BASE_SECONDS + self._limit / LEAST_BYTES_PER_SECOND
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._receive()
        except TimeoutError:
            raise BodyTooSlow from None


def _refusal(scope: Scope, limit: int) -> ProblemRaised | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if len(headers) > MAX_HEADERS or sum(len(n) + len(v) for n, v in headers) > MAX_HEADER_BYTES:
        return ProblemRaised("headers-too-large", "The request has too many or too large headers.", headers=_CLOSE)
    if len(scope["path"]) + len(scope.get("query_string", b"")) > MAX_PATH:
        return ProblemRaised("uri-too-long", f"An address may have {MAX_PATH} characters.", headers=_CLOSE)
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
            detail = too_large(limit)
            return ProblemRaised("too-large", detail, errors=[FieldFault("body", detail)], headers=_CLOSE)
    return None
