"""Calls through Twilio (Calls resource, API 2010-04-01): the notice is read out in its language, twice, and a key
confirms that somebody heard it.

What a call came to is told by its status callbacks, else by asking. A call has no words that could be searched for, so
one whose answer was lost is looked for by number, by our own number and by the time it was made; which of those found
are other deliveries' is told by `notifier.deliveries.sids`. (Twilio's list of the requests that it made for a call
would name the delivery too, but is there a quarter of an hour after the call at the earliest.)

A call is made by a request of our own, because the SDK keeps to itself how long an answer asks to be left alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote, urlencode

import structlog
from twilio.rest import Client

from notifier.channels.channel import AboutToWrite, Found, Outgoing
from notifier.channels.outcome import Outcome, OutcomeTable, Verdict, outcome_table
from notifier.channels.sms import MAX_CODE, retry_after
from notifier.channels.spoken import twiml_of, voices
from notifier.channels.twilio_asking import FAULTS, unavailable
from notifier.channels.twilio_http import TWILIO_URL, PooledTwilioHttpClient, SendPhase, TwilioTransportError
from notifier.receipts.callback_url import CallbackUrls
from notifier.templates import RenderedVoice

log = structlog.get_logger(__name__)

MAX_SID = 64
LIST_LIMIT = 50
CLOCK_SKEW = timedelta(minutes=1)
"""How far the provider's clock may be off ours. Short, because only time tells one call to a number from another."""
EVENTS = ["initiated", "ringing", "answered", "completed"]
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """The account, and the number that calls (E.164, one of the account's)."""

    account_sid: str
    auth_token: str = field(repr=False)
    sender: str
    machine: Literal["leave", "ignore"] = "leave"
    """`leave`: wait for an answering machine's tone and leave the notice on it, which counts as passed on, not as
    arrived; `ignore`: a machine is not told from a person."""
    ring_seconds: int = 30
    concurrency: int = 4
    timeout: float = 20.0


class VoiceChannel:
    """Calls people; finds and looks up calls."""

    name = "voice"
    reconciles = True
    has_receipts = True

    def __init__(
        self,
        settings: VoiceSettings,
        http: PooledTwilioHttpClient,
        callbacks: CallbackUrls | None,
        table: OutcomeTable | None = None,
    ) -> None:
        self.concurrency = settings.concurrency
        self.write_timeout = settings.timeout
        self._settings = settings
        self._http = http
        self._callbacks = callbacks
        self._table = table or outcome_table()
        self._client = Client(settings.account_sid, settings.auth_token, http_client=http, environment={})  # type: ignore[no-untyped-call]
        self._calls_url = f"{TWILIO_URL}/2010-04-01/Accounts/{quote(settings.account_sid, safe='')}/Calls.json"

    async def send(self, message: Outgoing, about_to_write: AboutToWrite) -> Outcome:
        """Make one call. It is never made twice: what is unclear comes back as ambiguous."""
        if not isinstance(message.content, RenderedVoice):
            raise TypeError("the voice channel takes words to be read out")
        if message.content.language not in voices():
            return Outcome(Verdict.REJECTED, code="no-voice")
        try:
            asked = self._asked(message, message.content)
        except ValueError:
            return Outcome(Verdict.CAMPAIGN_FAULT, code="too-long")
        return await self._called(asked, about_to_write)

    async def _called(self, asked: list[tuple[str, str]], about_to_write: AboutToWrite) -> Outcome:
        form, account = urlencode(asked).encode(), (str(self._client.username), str(self._client.auth[1]))
        try:
            answer = await self._http.request(
                "POST",
                self._calls_url,
                data=form,
                headers=dict(_FORM),
                auth=account,
                about_to_write=about_to_write,
            )
        except TwilioTransportError as error:
            ambiguous = error.phase is SendPhase.AMBIGUOUS
            return Outcome(Verdict.AMBIGUOUS if ambiguous else Verdict.TEMPORARY, code=error.reason[:40])
        return self._outcome(answer.status_code, answer.text, retry_after(answer.headers))

    def _outcome(self, status: int, text: str, wait: float | None) -> Outcome:
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        answer = answer if isinstance(answer, dict) else {}
        if not 200 <= status < 300:
            # The provider's own text repeats the number; only the codes may go further.
            known = answer.get("code")
            code = known if type(known) is int and 0 < known < MAX_CODE else None
            return Outcome(self._table.of_twilio_error(status, code), code=str(code or status), retry_after=wait)
        found = self._read(answer.get("sid"), answer.get("status"), answer.get("answered_by"), answer.get("duration"))
        if found is None:  # answered, but not as Twilio answers: there may be a call
            return Outcome(Verdict.AMBIGUOUS, code="no-sid")
        return Outcome(Verdict.ACCEPTED, found.code, found.provider_id, found.state)

    async def find(self, address: str, marker: str, after: datetime) -> list[Found]:
        """Calls from our number to this one that were made since, the oldest first. `marker` cannot be asked for."""
        del marker
        earliest, matches = after - CLOCK_SKEW, []
        try:
            for call in await self._client.calls.list_async(to=address, from_=self._settings.sender, limit=LIST_LIMIT):
                made_at = call.date_created
                if (made_at is None or made_at >= earliest) and (found := self._of(call)) is not None:
                    matches.append(found)
        except FAULTS as error:
            raise unavailable(error) from None
        return sorted(matches, key=lambda one: one.made_at or after)

    async def look_up(self, provider_id: str) -> Found | None:
        """Fetch one call."""
        try:
            return self._of(await self._client.calls(provider_id).fetch_async())
        except FAULTS as error:
            if getattr(error, "status", None) == 404:
                return None
            raise unavailable(error) from None

    async def close(self) -> None:
        await self._http.close()

    def _asked(self, message: Outgoing, content: RenderedVoice) -> list[tuple[str, str]]:
        keypress = None
        asked = [
            ("To", message.address),
            ("From", self._settings.sender),
            ("Timeout", str(self._settings.ring_seconds)),
        ]
        if self._settings.machine == "leave":
            asked.append(("MachineDetection", "DetectMessageEnd"))
        if self._callbacks is not None:
            asked.append(("StatusCallback", self._callbacks.url_for(message.delivery_id, message.campaign_id)))
            asked += [("StatusCallbackEvent", event) for event in EVENTS]
            asked.append(("StatusCallbackMethod", "POST"))
            keypress = self._callbacks.keypress_url_for(message.delivery_id, message.campaign_id, content.language)
        return [*asked, ("Twiml", twiml_of(content, keypress))]

    def _of(self, call: Any) -> Found | None:
        return self._read(call.sid, call.status, call.answered_by, call.duration, call.date_created)

    def _read(
        self, sid: Any, status: Any, answered_by: Any, duration: Any, made_at: datetime | None = None
    ) -> Found | None:
        if not isinstance(sid, str) or not sid or len(sid) > MAX_SID:
            return None
        state, code = self._table.of_call(str(status), str(answered_by or ""), seconds_of(duration))
        if state is None:
            log.warning("voice.unknown-status", status=str(status)[:32])
        return Found(sid, state or "accepted", code, made_at)


def seconds_of(duration: Any) -> int | None:
    """A call's duration as Twilio writes it; None while it is not known."""
    text = str(duration) if duration is not None else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else None
