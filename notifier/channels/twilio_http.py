"""HTTP under the Twilio SDK: one pool of kept connections, another base URL, and failures that say how
far the request got.

The SDK does not tell a connection that was refused from an answer that was lost. The difference decides
whether a message may be sent again, so this client records whether any byte of the request was written.
"""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
from aiohttp.connector import Connection
from twilio.base.exceptions import TwilioException
from twilio.http import AsyncHttpClient
from twilio.http.response import Response

from incidents.clock import uptime
from notifier.channels.channel import AboutToWrite

TWILIO_URL = "https://api.twilio.com"
_MAX_ANSWER = 16 * 1024 * 1024
STALE = 1.0
"""Seconds for which the right to write is believed in once it was asked for."""


class SendPhase(StrEnum):
    """How far a request got before it failed."""

    NOT_SENT = "not_sent"  # nothing was written: safe to try again
    AMBIGUOUS = "ambiguous"  # written at least in part: Twilio may have acted on it


class TwilioTransportError(TwilioException):
    """No answer came. ``phase`` says whether the request can have had an effect; ``reason`` is the class
    of the fault, without addresses or numbers."""

    def __init__(self, phase: SendPhase, reason: str) -> None:
        self.phase = phase
        self.reason = reason
        super().__init__(f"Twilio gave no answer ({reason}); request {phase.value.replace('_', ' ')}")


class PooledTwilioHttpClient(AsyncHttpClient):
    """The ``http_client`` for ``twilio.rest.Client``: asynchronous, pooled, aware of phases.

    ``base_url`` replaces ``https://api.twilio.com`` in every request (a stand-in, a proxy, an edge; a path
    is kept as a prefix). Times are in seconds: ``connect_timeout`` for a connection, ``timeout`` for the
    whole request, ``idle_timeout`` for keeping an unused connection. Nothing is logged, because request
    addresses carry phone numbers. Requests are never repeated here. Close it in the loop that used it.
    """

    def __init__(
        self,
        base_url: str = TWILIO_URL,
        *,
        connections: int = 50,
        connect_timeout: float = 10.0,
        timeout: float = 30.0,
        idle_timeout: float = 15.0,
    ) -> None:
        super().__init__(logging.getLogger(__name__), True, timeout)
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("base_url must be an http or https address without query, for example " + TWILIO_URL)
        self._base_url = base_url.rstrip("/")
        self._connections = connections
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self._session: aiohttp.ClientSession | None = None

    async def request(  # type: ignore[override]  # as the SDK declares it itself
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | bytes | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the SDK's signature
        allow_redirects: bool = False,
        about_to_write: AboutToWrite | None = None,
    ) -> Response:
        """Make one request and return its answer, whatever its HTTP status.

        `about_to_write` is awaited when the connection stands; where it raises, no byte leaves. Its error is the
        caller's, except that one of time or of the system counts as one of the connection.

        Raises:
            TwilioTransportError: no complete answer came.
            ValueError: ``timeout`` is not positive.
        """
        limit = self.timeout if timeout is None else timeout
        if limit is None or limit <= 0:
            raise ValueError("timeout must be more than 0 seconds")
        sent_headers = dict(headers or {})
        if auth is not None:
            sent_headers["Authorization"] = aiohttp.encode_basic_auth(*auth)
        progress = _Progress(about_to_write, has_body=bool(data))
        _progress.set(progress)
        try:
            async with self._open_session().request(
                method.upper(),
                self._rewrite(uri),
                params=_query(params),
                data=_body(data, sent_headers),
                headers=sent_headers,
                timeout=aiohttp.ClientTimeout(total=limit, sock_connect=self._connect_timeout),
                allow_redirects=allow_redirects,
            ) as answer:
                return Response(answer.status, await _text(answer), answer.headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            phase = SendPhase.AMBIGUOUS if progress.written else SendPhase.NOT_SENT
            raise TwilioTransportError(phase, type(error).__name__) from error

    async def close(self) -> None:
        """Close the kept connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> PooledTwilioHttpClient:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            watch = aiohttp.TraceConfig()
            watch.on_request_chunk_sent.append(_body_ready)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=self._idle_timeout),
                trace_configs=[watch],
                request_class=_Request,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _rewrite(self, uri: str) -> str:
        if uri.startswith(f"{TWILIO_URL}/"):
            return self._base_url + uri.removeprefix(TWILIO_URL)
        if self._base_url != TWILIO_URL:  # another product's host must not be reached past a stand-in
            raise ValueError(f"only {TWILIO_URL} can be reached through this client")
        return uri


@dataclass(slots=True)
class _Progress:
    """How far one request is."""

    about_to_write: AboutToWrite | None
    has_body: bool
    asked_at: float = 0.0
    written: bool = False


_progress: ContextVar[_Progress] = ContextVar("_progress")


class _Request(aiohttp.ClientRequest):
    """Asks whether it may be written when its connection stands."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        progress = _progress.get()
        if progress.about_to_write is not None:
            await progress.about_to_write()
            if conn.transport is None or conn.transport.is_closing():  # the other end did not wait for the answer
                raise aiohttp.ClientConnectionResetError("the connection was closed before anything was written")
        progress.asked_at = uptime()
        progress.written = not progress.has_body  # headers wait for the body
        return await super().send(conn)


async def _body_ready(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, _params: aiohttp.TraceRequestChunkSentParams
) -> None:
    # aiohttp calls this just before the first byte leaves, so a failure from now on counts as ambiguous. Up to here the
    # loop has turned once more, in which this process may have stood still for as long as you like.
    progress = _progress.get()
    if progress.about_to_write is not None and uptime() - progress.asked_at > STALE:
        raise aiohttp.ClientConnectionError("it was asked too long ago whether this may be written")
    progress.written = True


def _query(params: dict[str, object] | None) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in (params or {}).items() if value is not None]


def _body(data: dict[str, object] | bytes | None, headers: dict[str, str]) -> bytes | None:
    if data is None or isinstance(data, bytes):  # encoded already
        return data
    if headers.get("Content-Type", "").startswith(("application/json", "application/scim+json")):
        return json.dumps(data).encode()
    return urlencode({name: _plain(value) for name, value in data.items()}, doseq=True).encode()


def _plain(value: object) -> Any:
    return value if isinstance(value, (list, tuple)) else str(value)


async def _text(answer: aiohttp.ClientResponse) -> str:
    if answer.content_length is not None and answer.content_length <= _MAX_ANSWER:
        return (await answer.read()).decode("utf-8", "replace")
    parts = bytearray()
    async for part in answer.content.iter_chunked(64 * 1024):
        parts += part
        if len(parts) > _MAX_ANSWER:
            raise aiohttp.ClientPayloadError("answer too large")
    return parts.decode("utf-8", "replace")
