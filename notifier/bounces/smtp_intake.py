"""Bounces taken in by SMTP: a listener that knows one kind of recipient, the return paths that we made ourselves.

Everything else is refused before any content is taken, so that it is no use to anybody as a relay or as a place to
fill. A mail is acknowledged after its effect is committed; until then the sender keeps it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy.exc import SQLAlchemyError

from notifier.bounces.desk import BounceDesk

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """`most_bytes` per mail; `connections` at once; `per_minute` mails altogether; `idle_seconds` of silence."""

    most_bytes: int = 5 * 1024 * 1024
    connections: int = 20
    per_minute: int = 6_000
    idle_seconds: float = 60.0


@dataclass(slots=True)
class _Rate:
    """Tokens that fill up evenly."""

    per_minute: int
    now: Callable[[], float]
    left: float = field(init=False)
    at: float = field(init=False)

    def __post_init__(self) -> None:
        self.left, self.at = float(self.per_minute), self.now()

    def take(self) -> bool:
        now = self.now()
        self.left = min(self.per_minute, self.left + (now - self.at) * self.per_minute / 60)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class BounceIntake:
    """The listener. `port` is where it listens once it was started; 0 takes a free one."""

    def __init__(
        self,
        desk: BounceDesk,
        *,
        host: str,
        port: int,
        hostname: str,
        limits: IntakeLimits | None = None,
        tls: ssl.SSLContext | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desk = desk
        self._host = host
        self.port = port
        self._hostname = hostname
        self._limits = limits or IntakeLimits()
        self._tls = tls
        self._rate = _Rate(self._limits.per_minute, monotonic)
        self._open: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. OSError when the address cannot be had."""
        # The library writes addresses at INFO.
        mail_log = logging.getLogger("mail.log")
        mail_log.setLevel(max(mail_log.level, logging.ERROR))
        # Several processes on one machine may share the port: any of them takes a mail in as well as another.
        self._server = await asyncio.get_running_loop().create_server(
            self._connection, self._host, self.port, reuse_port=hasattr(socket, "SO_REUSEPORT") or None
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        log.info("bounces.listening", host=self._host, port=self.port)

    async def close(self) -> None:
        """Stop listening and hang up; what was not acknowledged is sent again by its sender."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._open):
            connection.hang_up()
        await self._server.wait_closed()
        self._server = None

    def _connection(self) -> SMTP:
        return _Connection(
            self,
            self._open,
            hostname=self._hostname,
            ident="bounces",
            data_size_limit=self._limits.most_bytes,
            timeout=self._limits.idle_seconds,
            tls_context=self._tls,
            loop=asyncio.get_running_loop(),
        )

    # -- hooks, found by their names ----------------------------------------------------------------------

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(self._open) > self._limits.connections or not self._rate.take():
            return "451 4.3.2 Too much at once, try again later"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient at a time"
        if not self._desk.is_for_us(address):
            self._desk.count("refused")
            return "550 5.1.1 No such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        raw = envelope.original_content or b""
        try:
            await asyncio.to_thread(self._desk.accept, raw, sent_to=envelope.rcpt_tos[0])
        except SQLAlchemyError as error:
            log.error("bounces.not-taken", reason=type(error).__name__)
            return "451 4.3.0 Not now, try again later"
        return "250 2.0.0 Taken"

    async def handle_exception(self, error: Exception) -> str:
        """The library's last resort. What it was may hold an address, so only its kind is logged."""
        log.error("bounces.connection-failed", reason=type(error).__name__)
        return "451 4.3.0 Local error"


class _Connection(SMTP):
    """Tells the intake which connections are open."""

    line_length_limit = 16 * 1024
    """Not every report keeps to the 998 signs of RFC 5321; what it says counts all the same."""

    def __init__(self, handler: BounceIntake, open_ones: set[_Connection], **options: object) -> None:
        self._open_ones = open_ones
        super().__init__(handler, **options)  # type: ignore[arg-type]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._open_ones.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._open_ones.discard(self)
        super().connection_lost(error)

    def hang_up(self) -> None:
        """Now."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
