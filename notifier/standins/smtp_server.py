"""An SMTP server that keeps what it accepts and plays every failure a mail system knows."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from notifier.standins.bounces import BounceSink, bounce_message
from notifier.standins.email_content import summary_of
from notifier.standins.outbox_store import NewMessage, OutboxStore, StoredMessage
from notifier.standins.outcomes import BUSY_TRIES, EmailOutcome, MailFate, email_outcome

log = structlog.get_logger(__name__)

_AT_CONTENT = (MailFate.REFUSE_CONTENT, MailFate.CUT_NOT_KEPT, MailFate.CUT_KEPT, MailFate.SLOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpOptions:
    """How the server behaves. ``login`` (user, password) makes AUTH necessary; it is offered in the
    clear only when there is no ``tls_context``. Delays are in seconds, sizes in bytes."""

    hostname: str = "mail.standin.invalid"
    tls_context: ssl.SSLContext | None = None
    require_starttls: bool = False
    login: tuple[str, str] | None = None
    slow_seconds: float = 20.0
    bounce_delay: float = 0.5
    max_size: int = 10 * 1024 * 1024
    pipelining: bool = True


async def serve_smtp(
    host: str,
    port: int,
    store: OutboxStore,
    *,
    clock: Callable[[], datetime],
    options: SmtpOptions | None = None,
    bounce_sink: BounceSink | None = None,
) -> SmtpStandin:
    """Start the server in the running loop; port 0 takes a free one.

    Raises:
        OSError: the address cannot be bound.
    """
    server = SmtpStandin(store, clock, options or SmtpOptions(), bounce_sink)
    await server.listen(host, port)
    return server


class SmtpStandin:
    """A running server: ``port``, ``resume()``, ``idle()`` (no bounce pending), ``close()``."""

    def __init__(
        self,
        store: OutboxStore,
        clock: Callable[[], datetime],
        options: SmtpOptions,
        bounce_sink: BounceSink | None,
    ) -> None:
        self._handler = _Handler(store, clock, options, bounce_sink)
        self._options = options
        self._connections: dict[asyncio.BaseTransport, asyncio.Future[None]] = {}
        self._server: asyncio.Server | None = None
        self.port = 0

    async def listen(self, host: str, port: int) -> None:
        """Bind and answer."""
        # The library writes addresses of sender and recipient at INFO.
        mail_log = logging.getLogger("mail.log")
        mail_log.setLevel(max(mail_log.level, logging.WARNING))
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, host, port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def resume(self) -> int:
        """Take up bounces that a killed process left; returns how many."""
        return self._handler.resume()

    async def idle(self) -> None:
        """Wait until every pending bounce was sent."""
        await self._handler.idle()

    async def close(self) -> None:
        """Stop listening, cut every connection, drop pending bounces (``resume`` finds them again)."""
        if self._server is not None:
            self._server.close()
        ends = list(self._connections.values())
        for transport in list(self._connections):
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        await self._handler.stop()
        if ends:
            # A connection whose TLS handshake failed is never reported lost: it must not keep us waiting.
            await asyncio.wait(ends, timeout=1.0)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def _protocol(self) -> SMTP:
        options = self._options
        return _Connection(
            self._handler,
            self._connections,
            hostname=options.hostname,
            ident="ESMTP stand-in",
            data_size_limit=options.max_size,
            enable_SMTPUTF8=True,
            tls_context=options.tls_context,
            require_starttls=options.require_starttls,
            auth_require_tls=options.tls_context is not None,
            authenticator=self._handler.authenticate,
            loop=asyncio.get_running_loop(),
        )


class _Connection(SMTP):
    """Tells the server which connections are open, so that it can close them."""

    def __init__(
        self,
        handler: _Handler,
        connections: dict[asyncio.BaseTransport, asyncio.Future[None]],
        **options: object,
    ) -> None:
        self._all = connections
        self._first: asyncio.BaseTransport | None = None
        super().__init__(handler, **options)  # type: ignore[arg-type]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._first is None:  # STARTTLS calls this a second time with the encrypted transport
            self._first = transport
            self._all[transport] = asyncio.get_running_loop().create_future()
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        end = self._all.pop(self._first, None) if self._first is not None else None
        if end is not None:
            end.set_result(None)
        super().connection_lost(error)


class _Handler:
    """Hooks the library calls; each returns the reply to give."""

    def __init__(
        self,
        store: OutboxStore,
        clock: Callable[[], datetime],
        options: SmtpOptions,
        bounce_sink: BounceSink | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._options = options
        self._bounce_sink = bounce_sink
        self._bounces: set[asyncio.Task[None]] = set()

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        wanted = self._options.login
        good = (
            wanted is not None
            and isinstance(data, LoginPassword)
            and hmac.compare_digest(data.login, wanted[0].encode())
            and hmac.compare_digest(data.password, wanted[1].encode())
        )
        return AuthResult(success=good, handled=False)

    async def handle_EHLO(  # noqa: N802 - the library finds hooks by these names
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, replies: list[str]
    ) -> list[str]:
        session.host_name = hostname
        if self._options.login is None:  # nothing to log in to
            replies = [line for line in replies if not line.startswith("250-AUTH")]
        if self._options.pipelining:  # RFC 2920: replies come in order, input is never thrown away
            replies.insert(1, "250-PIPELINING")
        return replies

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._options.login is not None and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        outcome = email_outcome(address)
        match outcome.fate:
            case MailFate.REFUSE_RECIPIENT:
                return self._refuse(address, outcome, "simulated refusal")
            case MailFate.REFUSE_FIRST if self._store.count_try("email", address) <= BUSY_TRIES:
                return self._refuse(address, outcome, "simulated greylisting, try again later")
            case MailFate.CLOSE:
                await server.push(self._refuse(address, outcome, "simulated shutdown"))
                await _end(server)
            case MailFate.CUT_AT_RECIPIENT:
                await _end(server, abruptly=True)
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        outcomes = [(address, email_outcome(address)) for address in envelope.rcpt_tos]
        strange = {o.fate: (address, o) for address, o in outcomes if o.fate in _AT_CONTENT}
        if MailFate.REFUSE_CONTENT in strange:
            return self._refuse(*strange[MailFate.REFUSE_CONTENT], "simulated refusal of the content")
        if MailFate.CUT_NOT_KEPT in strange:
            await _end(server, abruptly=True)
        kept = self._keep(envelope, outcomes)
        if MailFate.CUT_KEPT in strange:
            await _end(server, abruptly=True)
        if MailFate.SLOW in strange:
            await asyncio.sleep(self._options.slow_seconds)
        return f"250 2.0.0 OK: queued as {kept[0].sid}"

    async def handle_exception(self, error: Exception) -> str:
        log.error("standin.smtp_failed", error=type(error).__name__)
        return "451 4.3.0 Local error in processing"

    def _refuse(self, address: str, outcome: EmailOutcome, reason: str) -> str:
        self._store.refuse("email", address, f"{outcome.code} {outcome.status}", reason, self._clock())
        return f"{outcome.code} {outcome.status} {reason}"

    def _keep(self, envelope: Envelope, outcomes: list[tuple[str, EmailOutcome]]) -> list[StoredMessage]:
        raw = envelope.original_content or b""
        content = summary_of(raw)
        now = self._clock()
        kept = self._store.accept(
            [
                NewMessage(
                    sid="EM" + secrets.token_hex(16),
                    channel="email",
                    recipient=address,
                    sender=envelope.mail_from or "<>",
                    subject=content.subject,
                    body=content.readable,
                    raw=raw,
                    campaign=content.campaign,
                    message_id=content.message_id,
                    outcome=outcome.name,
                    status="accepted" if outcome.fate is MailFate.BOUNCE_LATER else "delivered",
                    accepted_at=now,
                )
                for address, outcome in outcomes
            ]
        )
        for message in kept:
            if message.status == "accepted":
                self._bounce_later(message)
        return kept

    # -- bounces -------------------------------------------------------------------------------------

    def resume(self) -> int:
        waiting = self._store.unfinished("email")
        for message in waiting:
            self._bounce_later(message)
        return len(waiting)

    async def idle(self) -> None:
        while self._bounces:
            await asyncio.wait(list(self._bounces))

    async def stop(self) -> None:
        for task in list(self._bounces):
            task.cancel()
        await asyncio.gather(*self._bounces, return_exceptions=True)

    def _bounce_later(self, message: StoredMessage) -> None:
        task = asyncio.get_running_loop().create_task(self._bounce(message))
        self._bounces.add(task)
        task.add_done_callback(self._bounced)

    def _bounced(self, task: asyncio.Task[None]) -> None:
        self._bounces.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("standin.bounce_failed", error=type(task.exception()).__name__)

    async def _bounce(self, message: StoredMessage) -> None:
        await asyncio.sleep(self._options.bounce_delay)
        status = email_outcome(message.recipient).status
        if self._bounce_sink is not None and message.sender not in {"", "<>"}:  # never bounce a bounce
            report = bounce_message(
                reporting_host=self._options.hostname,
                envelope_sender=message.sender,
                recipient=message.recipient,
                status=status,
                original=message.raw or b"",
                at=self._clock(),
            )
            await self._bounce_sink(message.sender, report)
        self._store.set_status(message.sid, "bounced", self._clock(), error_code=status)


async def _end(server: SMTP, *, abruptly: bool = False) -> None:
    """End the connection; never returns, the library cancels this task when the connection is gone."""
    transport = server.transport
    if isinstance(transport, asyncio.WriteTransport):
        if abruptly:
            transport.abort()
        else:
            transport.close()
    await asyncio.get_running_loop().create_future()
