"""SMS through Twilio's own SDK (Messages resource, API 2010-04-01)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.rest import Client

from notifier.channels.channel import AboutToWrite, Found, Outgoing, ProviderUnavailable
from notifier.channels.outcome import Outcome, OutcomeTable, Verdict, outcome_table
from notifier.channels.twilio_http import PooledTwilioHttpClient, SendPhase, TwilioTransportError
from notifier.receipts.callback_url import CallbackUrls
from notifier.templates import RenderedSms

log = structlog.get_logger(__name__)

CLOCK_SKEW = timedelta(minutes=10)
"""How far the provider's clock may be off ours when messages are matched by time."""

LIST_LIMIT = 200
"""Messages to one number looked through when reconciling; newest come first."""


@dataclass(frozen=True, slots=True)
class SmsSettings:
    """The account. Give `messaging_service_sid` or `sender` (a number, short code or sender name)."""

    account_sid: str
    auth_token: str = field(repr=False)
    sender: str | None = None
    messaging_service_sid: str | None = None
    validity_seconds: int = 14_400
    """How long the provider may keep a message queued; a notice that late should go by email instead."""
    concurrency: int = 16
    timeout: float = 20.0


class SmsChannel:
    """Sends text messages; reconciles by listing; looks states up."""

    name = "sms"
    reconciles = True
    has_receipts = True

    def __init__(
        self,
        settings: SmsSettings,
        http: PooledTwilioHttpClient,
        callbacks: CallbackUrls | None,
        table: OutcomeTable | None = None,
    ) -> None:
        if not (settings.sender or settings.messaging_service_sid):
            raise ValueError("SMS needs a sender or a messaging service")
        self.concurrency = settings.concurrency
        self.write_timeout = settings.timeout
        self._settings = settings
        self._http = http
        self._callbacks = callbacks
        self._table = table or outcome_table()
        self._client = Client(settings.account_sid, settings.auth_token, http_client=http, environment={})  # type: ignore[no-untyped-call]

    async def send(self, message: Outgoing, about_to_write: AboutToWrite) -> Outcome:
        """Create one message. It is never posted twice: what is unclear comes back as ambiguous."""
        if not isinstance(message.content, RenderedSms):
            raise TypeError("the SMS channel takes text messages")
        create: dict[str, Any] = {"to": message.address, "body": message.content.text}
        if self._settings.messaging_service_sid:
            create["messaging_service_sid"] = self._settings.messaging_service_sid
        else:
            create["from_"] = self._settings.sender
        if self._callbacks is not None:
            create["status_callback"] = self._callbacks.url_for(message.delivery_id, message.campaign_id)
        create["validity_period"] = self._settings.validity_seconds
        await about_to_write()
        try:
            created = await self._client.messages.create_async(**create)
        except TwilioTransportError as error:
            ambiguous = error.phase is SendPhase.AMBIGUOUS
            return Outcome(Verdict.AMBIGUOUS if ambiguous else Verdict.TEMPORARY, code=error.reason[:40])
        except (TwilioRestException, TwilioServiceException) as error:
            # The provider's own text repeats the number; only the codes may go further.
            code = str(error.code or error.status)
            return Outcome(self._table.of_twilio_error(int(error.status), error.code), code=code)
        except (ValueError, KeyError, TypeError) as error:
            # Answered, but not as Twilio answers: a message may exist.
            return Outcome(Verdict.AMBIGUOUS, code=type(error).__name__)
        found = self._read(created)
        if found is None:
            return Outcome(Verdict.AMBIGUOUS, code="no-sid")
        return Outcome(Verdict.ACCEPTED, found.code, found.provider_id, found.state)

    async def find(self, address: str, marker: str, after: datetime) -> list[Found]:
        """List messages to the number and keep those with the marker. There is no filter on creation time, and
        `date_sent` is empty while queued, so time is compared here."""
        earliest, matches = after - CLOCK_SKEW, []
        try:
            for listed in await self._client.messages.list_async(to=address, limit=LIST_LIMIT):
                created_at = listed.date_created
                if marker in (listed.body or "") and (created_at is None or created_at >= earliest):
                    found = self._read(listed)
                    if found is not None:
                        matches.append(found)
        except (TwilioTransportError, TwilioRestException, TwilioServiceException, ValueError, KeyError) as error:
            raise ProviderUnavailable(type(error).__name__) from None
        return matches

    async def look_up(self, provider_id: str) -> Found | None:
        """Fetch one message."""
        try:
            return self._read(await self._client.messages(provider_id).fetch_async())
        except (TwilioRestException, TwilioServiceException) as error:
            if error.status == 404:
                return None
            raise ProviderUnavailable(str(error.status)) from None
        except (TwilioTransportError, ValueError, KeyError) as error:
            raise ProviderUnavailable(type(error).__name__) from None

    async def close(self) -> None:
        await self._http.close()

    def _read(self, message: Any) -> Found | None:
        if not message.sid:
            return None
        status = str(message.status)
        state = self._table.twilio_status.get(status)
        if state is None:
            log.warning("sms.unknown-status", status=status[:32])
        return Found(message.sid, state or "accepted", str(message.error_code) if message.error_code else None)
