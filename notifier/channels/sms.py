"""SMS through Twilio (Messages resource, API 2010-04-01).

The SDK asks and lists; a message is created by a request of our own over the same client, because the SDK encodes the
whole text for each of millions anew, and spends as much on the answer as on the request.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import structlog
from twilio.rest import Client

from notifier.channels.channel import AboutToWrite, Found, Outgoing
from notifier.channels.outcome import Outcome, OutcomeTable, Verdict, outcome_table
from notifier.channels.twilio_asking import FAULTS, unavailable
from notifier.channels.twilio_http import TWILIO_URL, PooledTwilioHttpClient, SendPhase, TwilioTransportError
from notifier.receipts.callback_url import CallbackUrls
from notifier.templates import RenderedSms

log = structlog.get_logger(__name__)

CLOCK_SKEW = timedelta(minutes=10)
"""How far the provider's clock may be off ours when messages are matched by time."""

MAX_SID = 64
MAX_CODE = 10**8
MOST_RETRY_AFTER = 900.0
"""Seconds of rest that an answer can ask for at most."""
_ORDINARY = re.compile(r"[A-Za-z0-9_.~+:/?=&-]*")
_ESCAPES = tuple((sign, f"%{ord(sign):02X}") for sign in "+:/?=&")
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
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
        service = settings.messaging_service_sid
        sender = ("MessagingServiceSid", service) if service else ("From", settings.sender)
        same = [sender, ("ValidityPeriod", settings.validity_seconds)]
        self._same_for_all = b"&" + urlencode(same).encode()
        self._messages_url = f"{TWILIO_URL}/2010-04-01/Accounts/{quote(settings.account_sid, safe='')}/Messages.json"
        self._client = Client(settings.account_sid, settings.auth_token, http_client=http, environment={})  # type: ignore[no-untyped-call]

    async def send(self, message: Outgoing, about_to_write: AboutToWrite) -> Outcome:
        """Create one message. It is never posted twice: what is unclear comes back as ambiguous."""
        if not isinstance(message.content, RenderedSms):
            raise TypeError("the SMS channel takes text messages")
        form = self._form(message, message.content.text)
        try:
            # Asked when the connection stands: a process may stand still for long while it is being made.
            answer = await self._http.request(
                "POST",
                self._messages_url,
                data=form,
                headers=dict(_FORM),
                auth=self._account,
                about_to_write=about_to_write,
            )
        except TwilioTransportError as error:
            ambiguous = error.phase is SendPhase.AMBIGUOUS
            return Outcome(Verdict.AMBIGUOUS if ambiguous else Verdict.TEMPORARY, code=error.reason[:40])
        wait = retry_after(answer.headers) if answer.status_code >= 400 else None
        return self._outcome(answer.status_code, answer.text, wait)

    @property
    def _account(self) -> tuple[str, str]:
        return str(self._client.username), str(self._client.auth[1])

    def _form(self, message: Outgoing, text: str) -> bytes:
        """The request's body. The words are the same for everybody of a language, so they are encoded once."""
        fields = [b"To=", _quoted(message.address), self._same_for_all]
        if self._callbacks is not None:
            url = self._callbacks.url_for(message.delivery_id, message.campaign_id)
            fields += [b"&StatusCallback=", _quoted(url)]
        if message.marker and message.marker.isascii():
            parts = [_encoded(part) for part in text.split(message.marker)]
            fields += [b"&Body=", _quoted(message.marker).join(parts)]
        else:
            fields += [b"&Body=", _encoded(text)]
        return b"".join(fields)

    def _outcome(self, status: int, text: str, wait: float | None = None) -> Outcome:
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            answer = {}
        if not 200 <= status < 300:
            # The provider's own text repeats the number; only the codes may go further.
            known = answer.get("code")
            # One that fits in no row would keep those of everybody else from being entered.
            code = known if type(known) is int and 0 < known < MAX_CODE else None
            return Outcome(self._table.of_twilio_error(status, code), code=str(code or status), retry_after=wait)
        found = self._read(answer.get("sid"), answer.get("status"), answer.get("error_code"))
        if found is None:  # answered, but not as Twilio answers: a message may exist
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
                    found = self._read(listed.sid, listed.status, listed.error_code)
                    if found is not None:
                        matches.append(found)
        except FAULTS as error:
            raise unavailable(error) from None
        return matches

    async def look_up(self, provider_id: str) -> Found | None:
        """Fetch one message."""
        try:
            known = await self._client.messages(provider_id).fetch_async()
            return self._read(known.sid, known.status, known.error_code)
        except FAULTS as error:
            if getattr(error, "status", None) == 404:
                return None
            raise unavailable(error) from None

    async def close(self) -> None:
        await self._http.close()

    def _read(self, sid: Any, status: Any, error_code: Any) -> Found | None:
        if not isinstance(sid, str) or not sid or len(sid) > MAX_SID:
            return None
        state = self._table.twilio_status.get(str(status))
        if state is None:
            log.warning("sms.unknown-status", status=str(status)[:32])
        known = re.fullmatch(r"[0-9]{1,8}", str(error_code or "")) is not None
        return Found(sid, state or "accepted", str(error_code) if known else None)


def retry_after(headers: Any) -> float | None:
    """Seconds for which an answer asks to be left alone (RFC 9110 section 10.2.3): a number of them, or an instant,
    which is compared with the answer's own date."""
    said, sent = (str((headers or {}).get(name) or "").strip() for name in ("Retry-After", "Date"))
    if said.isdigit():
        return min(float(said), MOST_RETRY_AFTER)
    try:
        seconds = (parsedate_to_datetime(said) - parsedate_to_datetime(sent)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), MOST_RETRY_AFTER)


def _quoted(text: str) -> bytes:
    """As `quote_plus`, and much faster for what addresses and numbers are made of."""
    if _ORDINARY.fullmatch(text) is None:
        return quote_plus(text).encode()
    for sign, hexadecimal in _ESCAPES:
        text = text.replace(sign, hexadecimal)
    return text.encode()


@lru_cache(maxsize=64)
def _encoded(words: str) -> bytes:
    return quote_plus(words).encode()
