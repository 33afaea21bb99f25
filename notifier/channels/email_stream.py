"""Email at full speed: several connections, each with a task that opens it and a session that sends on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import cast
from uuid import UUID

import aiosmtplib
import structlog
from aiosmtplib.protocol import PERIOD_REGEX

from incidents.clock import Clock
from notifier.channels.channel import Outgoing
from notifier.channels.email_form import DateHeader, EmailForm, envelope_address
from notifier.channels.email_message import email_bytes, message_id
from notifier.channels.email_settings import EmailSettings
from notifier.channels.envelope import Envelopes
from notifier.channels.outcome import Outcome, OutcomeTable, Verdict
from notifier.channels.personal import EmailWords, PersonalEmail
from notifier.channels.smtp_session import Letter, SessionLimits, SmtpSession
from notifier.channels.stream import Parcel, Stream, wait_for_more
from notifier.templates import RenderedEmail

log = structlog.get_logger(__name__)

FORMS_KEPT = 64
FIRST_PAUSE, MOST_PAUSE = 0.2, 30.0
"""Seconds before a connection that could not be opened, or was refused at once, is tried again."""


class ConnectFailed(Exception):
    """There is no connection. `outcome` says whether that is the server's fault or ours."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome


class EmailStream:
    """Serves one stream."""

    def __init__(
        self,
        settings: EmailSettings,
        connect: Callable[[], Awaitable[aiosmtplib.SMTP]],
        clock: Clock,
        domain: str,
        table: OutcomeTable,
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._clock = clock
        self._domain = domain
        self._table = table
        self._makers = {dsn: LetterMaker(settings, clock, domain, dsn=dsn) for dsn in (False, True)}

    async def run(self, stream: Stream) -> None:
        """Send until the stream is closed."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.connections):
                group.create_task(self._serve(stream))

    async def _serve(self, stream: Stream) -> None:
        """One connection after another, each opened when there is something to send."""
        failures = 0
        while not stream.closed:
            parcel = stream.take()
            if parcel is None:
                await wait_for_more(stream)
                continue
            try:
                client = await self._connect()
            except ConnectFailed as error:
                failures += 1
                self._not_connected(stream, parcel, error.outcome)
            except asyncio.CancelledError:
                stream.give_back(parcel)
                raise
            except Exception as error:  # noqa: BLE001 - logged; whom it was taken for is told by a later connection
                failures += 1
                log.error("email.connection-broke", reason=type(error).__name__)
                stream.give_back(parcel, failure=Outcome(Verdict.TEMPORARY, code=type(error).__name__[:40]))
            else:
                failures = 0 if await self._send(client, stream, parcel) else failures + 1
            if failures:
                await _pause(stream, min(FIRST_PAUSE * 2 ** min(failures - 1, 16), MOST_PAUSE))

    def _not_connected(self, stream: Stream, parcel: Parcel, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.CAMPAIGN_FAULT:
            stream.settle(parcel, outcome)
        else:  # waiting for a connection is nobody's failed try
            log.warning("email.not-connected", code=outcome.code)
            stream.give_back(parcel, failure=outcome)

    async def _send(self, client: aiosmtplib.SMTP, stream: Stream, first: Parcel) -> bool:
        """Use a connection up. False when it served for nothing."""
        settings = self._settings
        limits = SessionLimits(settings.timeout, settings.content_timeout, settings.max_idle, settings.max_messages)
        if client.transport is None:
            stream.give_back(first)
            return False
        session = SmtpSession(
            cast(asyncio.Transport, client.transport),
            stream,
            self._makers[settings.dsn and client.supports_extension("dsn")],
            limits,
            self._table,
            pipelining=client.supports_extension("pipelining"),
        )
        try:
            session.start(first)
            reason = await session.closed
        except asyncio.CancelledError:
            session.abort("cancelled")
            raise
        finally:
            client.close()
        log.debug("email.connection-ended", reason=reason, sent=session.sent)
        return session.sent > 0


class LetterMaker:
    """Makes letters for all sessions with servers that are alike."""

    def __init__(self, settings: EmailSettings, clock: Clock, domain: str, *, dsn: bool) -> None:
        self._settings = settings
        self._clock = clock
        self._domain = domain
        self._date = DateHeader()
        self._forms: OrderedDict[EmailWords, EmailForm | None] = OrderedDict()
        self._envelope = Envelopes(settings, dsn=dsn)

    def letter(self, parcel: Parcel) -> Letter | Outcome:
        """The letter, or a refusal where no mail server could carry the address."""
        message = parcel.message
        recipient = envelope_address(message.address)
        if recipient is None:
            return Outcome(Verdict.REJECTED, code="address")
        mail, rcpt = self._envelope.commands(message.delivery_id, recipient)
        identifier = message_id(message.message_key, self._domain)
        content = self._content(message, recipient, identifier)
        if self._settings.signer is not None:
            content = self._settings.signer.sign(content)
        if b"\n." in content:
            content = PERIOD_REGEX.sub(b"..", content)
        return Letter(mail + b"\r\n", rcpt + b"\r\n", content, identifier.strip("<>"))

    def _content(self, message: Outgoing, recipient: bytes, identifier: str) -> bytes:
        content = message.content
        if isinstance(content, PersonalEmail) and message.unsubscribe is None:
            form = self._form(content.words, message.language, message.campaign_id)
            if form is not None:
                return form.write(content, recipient, message.message_key, self._date.at(self._clock.now()))
        if isinstance(content, PersonalEmail):
            content = content.rendered()
        if not isinstance(content, RenderedEmail):
            raise TypeError("the email channel takes emails")
        return email_bytes(
            content,
            sender_name=self._settings.sender_name,
            sender_address=self._settings.sender_address,
            reply_to=self._settings.reply_to,
            recipient=recipient.decode(),
            language=message.language,
            identifier=identifier,
            campaign=message.campaign_id,
            at=self._clock.now(),
            unsubscribe=message.unsubscribe,
        )

    def _form(self, words: EmailWords, language: str, campaign: UUID) -> EmailForm | None:
        if words not in self._forms:
            settings = self._settings
            try:
                self._forms[words] = EmailForm(
                    words,
                    sender_name=settings.sender_name,
                    sender_address=settings.sender_address,
                    reply_to=settings.reply_to,
                    language=language,
                    campaign=campaign,
                    domain=self._domain,
                )
            except ValueError as error:
                log.info("email.written-singly", reason=str(error))
                self._forms[words] = None
            while len(self._forms) > FORMS_KEPT:
                self._forms.popitem(last=False)
        return self._forms[words]


async def _pause(stream: Stream, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not stream.closed:
                await wait_for_more(stream)
