"""Email through aiosmtplib. We drive MAIL, RCPT and DATA ourselves, because its exceptions do not tell how far a
transaction got: a connection lost before the content was written is safe to repeat, one lost after it is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import aiosmtplib
import structlog
from aiosmtplib.protocol import PERIOD_REGEX

from incidents.clock import Clock
from notifier.channels.channel import AboutToWrite, Found, Outgoing
from notifier.channels.email_form import envelope_address
from notifier.channels.email_message import email_bytes, message_id
from notifier.channels.email_settings import EmailSettings
from notifier.channels.email_stream import ConnectFailed, EmailStream
from notifier.channels.envelope import Envelopes
from notifier.channels.outcome import Outcome, OutcomeTable, Verdict, outcome_table
from notifier.channels.personal import PersonalEmail
from notifier.channels.stream import Stream
from notifier.templates import RenderedEmail

__all__ = ["EmailChannel", "EmailSettings"]

log = structlog.get_logger(__name__)

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_FAILURES = (aiosmtplib.SMTPException, OSError, TimeoutError)


@dataclass(slots=True)
class _Session:
    client: aiosmtplib.SMTP
    sent: int
    used_at: float


class EmailChannel:
    """Sends over kept connections, each used by one send at a time."""

    name = "email"
    reconciles = False
    has_receipts = False

    def __init__(self, settings: EmailSettings, clock: Clock, table: OutcomeTable | None = None) -> None:
        self.concurrency = settings.connections
        self.window = settings.window
        self.write_timeout = settings.content_timeout
        self._settings = settings
        self._clock = clock
        self._table = table or outcome_table()
        self._idle: list[_Session] = []
        self._slots = asyncio.Semaphore(settings.connections)
        self._envelopes = {dsn: Envelopes(settings, dsn=dsn) for dsn in (False, True)}
        self._domain = settings.message_id_domain or settings.sender_address.rpartition("@")[2]

    async def send(self, message: Outgoing, about_to_write: AboutToWrite) -> Outcome:
        """One transaction for one recipient."""
        rendered = message.content.rendered() if isinstance(message.content, PersonalEmail) else message.content
        if not isinstance(rendered, RenderedEmail):
            raise TypeError("the email channel takes emails")
        identifier = message_id(message.message_key, self._domain)
        content = email_bytes(
            rendered,
            sender_name=self._settings.sender_name,
            sender_address=self._settings.sender_address,
            reply_to=self._settings.reply_to,
            recipient=message.address,
            language=message.language,
            identifier=identifier,
            campaign=message.campaign_id,
            at=self._clock.now(),
            unsubscribe=message.unsubscribe,
        )
        if self._settings.signer is not None:
            content = self._settings.signer.sign(content)
        phase = _Phase()
        try:
            async with self._session(phase) as session:
                return await self._transact(session.client, message, content, identifier, about_to_write, phase)
        except _FAILURES as error:
            return self._failure(error, phase)

    def _failure(self, error: Exception, phase: _Phase) -> Outcome:
        if isinstance(error, aiosmtplib.SMTPResponseException):
            said = _code(error.code, error.message)
            return Outcome(self._table.of_smtp_reply(phase.command, error.code, said[4:] or None), code=said)
        if isinstance(error, ssl.SSLCertVerificationError) or isinstance(error.__cause__, ssl.SSLCertVerificationError):
            return Outcome(Verdict.CAMPAIGN_FAULT, code="certificate")
        if isinstance(error, aiosmtplib.SMTPNotSupported):
            return Outcome(Verdict.CAMPAIGN_FAULT, code="not-supported")
        verdict = Verdict.AMBIGUOUS if phase.written else Verdict.TEMPORARY
        return Outcome(verdict, code=f"{phase.command}:{type(error).__name__}"[:40])

    async def send_stream(self, stream: Stream) -> None:
        """Send over as many connections as the settings say, each driven by a task of its own."""
        await EmailStream(self._settings, self.connect, self._clock, self._domain, self._table).run(stream)

    async def find(self, address: str, marker: str, after: datetime) -> list[Found]:
        """SMTP cannot be asked."""
        return []

    async def look_up(self, provider_id: str) -> Found | None:
        """SMTP cannot be asked."""
        return None

    async def close(self) -> None:
        """Say goodbye on every idle connection."""
        while self._idle:
            client = self._idle.pop().client
            try:
                await client.quit(timeout=2)
            except (aiosmtplib.SMTPException, OSError) as error:
                log.debug("email.quit-failed", reason=type(error).__name__)
            finally:
                client.close()

    async def _transact(
        self,
        client: aiosmtplib.SMTP,
        message: Outgoing,
        content: bytes,
        identifier: str,
        about_to_write: AboutToWrite,
        phase: _Phase,
    ) -> Outcome:
        phase.command = "mail"
        if client.is_ehlo_or_helo_needed:
            with contextlib.suppress(aiosmtplib.SMTPHeloError):  # MAIL tries HELO then
                await client.ehlo()
        envelope = self._envelopes[self._settings.dsn and client.supports_extension("dsn")]
        recipient = envelope_address(message.address) or message.address.encode()
        of_mail, of_rcpt = envelope.options(message.delivery_id, recipient)
        sender = envelope.sender(message.delivery_id).decode()
        await client.mail(sender, options=[option.decode() for option in of_mail])
        phase.command = "rcpt"
        await client.rcpt(message.address, options=[option.decode() for option in of_rcpt])
        phase.command = "data"
        reply = await client.execute_command(b"DATA", timeout=self._settings.timeout)
        if reply.code != aiosmtplib.SMTPStatus.start_input:
            raise aiosmtplib.SMTPDataError(reply.code, reply.message)
        phase.open_data = True
        await about_to_write()
        if client.protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        phase.command, phase.written = "content", True
        client.protocol.write(PERIOD_REGEX.sub(b"..", content) + b".\r\n")
        reply = await client.protocol.read_response(timeout=self._settings.content_timeout)
        phase.open_data = False
        if reply.code // 100 != 2:
            raise aiosmtplib.SMTPDataError(reply.code, reply.message)
        return Outcome(Verdict.ACCEPTED, code=_code(reply.code, reply.message), provider_id=identifier.strip("<>"))

    @asynccontextmanager
    async def _session(self, phase: _Phase) -> AsyncIterator[_Session]:
        """A connection for one transaction. It is kept only if the transaction left it in a known state."""
        async with self._slots:
            session = await self._take() or _Session(await self._connect(phase), 0, time.monotonic())
            keep = False
            try:
                yield session
                keep = True
            except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError):
                keep = not phase.open_data and await self._reset(session.client)
                raise
            finally:
                session.sent += 1
                session.used_at = time.monotonic()
                if keep and session.client.is_connected and session.sent < self._settings.max_messages:
                    self._idle.append(session)
                else:
                    # Closing in the middle of DATA makes the server forget the message (RFC 5321 section 4.1.1.4).
                    session.client.close()

    async def _take(self) -> _Session | None:
        while self._idle:
            session = self._idle.pop()
            if time.monotonic() - session.used_at < self._settings.max_idle and session.client.is_connected:
                return session
            session.client.close()
        return None

    async def connect(self) -> aiosmtplib.SMTP:
        """A connection that is encrypted, checked, authenticated and greeted. ConnectFailed says whose fault it was."""
        phase = _Phase()
        try:
            client = await self._connect(phase)
            await client.ehlo()
        except _FAILURES as error:
            raise ConnectFailed(self._failure(error, phase)) from None
        return client

    async def _connect(self, phase: _Phase) -> aiosmtplib.SMTP:
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            local_hostname=settings.local_hostname or "localhost",
            timeout=settings.timeout,
            use_tls=settings.security == "tls",
            start_tls=False,  # done below: left to itself, a server without it gives an error of no class
            validate_certs=True,
            cert_bundle=settings.cert_bundle,
        )
        try:
            await client.connect()
            if settings.security == "starttls":
                await client.ehlo()
                if not client.supports_extension("starttls"):
                    raise aiosmtplib.SMTPNotSupported("STARTTLS is not offered")
                await client.starttls()
            if settings.username is not None and settings.password is not None:
                phase.command = "auth"
                await client.login(settings.username, settings.password)
        except BaseException:
            client.close()
            raise
        return client

    async def _reset(self, client: aiosmtplib.SMTP) -> bool:
        try:
            await client.rset()
        except (aiosmtplib.SMTPException, OSError) as error:
            log.debug("email.reset-failed", reason=type(error).__name__)
            return False
        return True


@dataclass(slots=True)
class _Phase:
    """How far one transaction got."""

    command: str = "connect"
    open_data: bool = False
    written: bool = False


def _code(reply: int, text: str) -> str:
    """The reply code and, if the server gave one, the enhanced code (RFC 3463). Never the text."""
    match = _ENHANCED.match(text)
    return f"{reply} {match.group()}" if match else str(reply)
