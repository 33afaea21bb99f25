"""Calls through Twilio (Calls resource, API 2010-04-01): the notice is read out in its language, twice, and a key
confirms that somebody heard it.

What a call came to is told by its status callbacks, else by asking. A call has no words that could be searched for, so
one whose answer was lost is looked for by number, by our own number and by the time it was made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import structlog
from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.rest import Client

from notifier.channels.channel import AboutToWrite, Found, Outgoing, ProviderUnavailable
from notifier.channels.outcome import Outcome, OutcomeTable, Verdict, outcome_table
from notifier.channels.spoken import twiml_of, voices
from notifier.channels.twilio_http import PooledTwilioHttpClient, SendPhase, TwilioTransportError
from notifier.receipts.callback_url import CallbackUrls
from notifier.templates import RenderedVoice

log = structlog.get_logger(__name__)

MAX_SID = 64
LIST_LIMIT = 50
CLOCK_SKEW = timedelta(minutes=1)
"""How far the provider's clock may be off ours. Short, because only time tells one call to a number from another."""
EVENTS = ["initiated", "ringing", "answered", "completed"]
_FAULTS = (TwilioTransportError, TwilioRestException, TwilioServiceException, ValueError, KeyError)


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
        await about_to_write()
        return await self._called(asked)

    async def _called(self, asked: dict[str, Any]) -> Outcome:
        try:
            call = await self._client.calls.create_async(**asked)
        except TwilioTransportError as error:
            ambiguous = error.phase is SendPhase.AMBIGUOUS
            return Outcome(Verdict.AMBIGUOUS if ambiguous else Verdict.TEMPORARY, code=error.reason[:40])
        except (TwilioRestException, TwilioServiceException) as error:
            # The provider's own text repeats the number; only the codes may go further.
            code = error.code if isinstance(error.code, int) and error.code else None
            return Outcome(self._table.of_twilio_error(int(error.status), code), code=str(code or error.status))
        except (ValueError, KeyError, TypeError, AttributeError):  # answered, but not as Twilio answers
            return Outcome(Verdict.AMBIGUOUS, code="no-sid")
        found = self._read(call)
        if found is None:
            return Outcome(Verdict.AMBIGUOUS, code="no-sid")
        return Outcome(Verdict.ACCEPTED, found.code, found.provider_id, found.state)

    async def find(self, address: str, marker: str, after: datetime) -> list[Found]:
        """Calls from our number to this one that were made since, the oldest first. `marker` cannot be asked for."""
        del marker
        earliest, matches = after - CLOCK_SKEW, []
        try:
            for call in await self._client.calls.list_async(to=address, from_=self._settings.sender, limit=LIST_LIMIT):
                made_at = call.date_created
                if (made_at is None or made_at >= earliest) and (found := self._read(call)) is not None:
                    matches.append((made_at or after, found))
        except _FAULTS as error:
            raise ProviderUnavailable(type(error).__name__) from None
        return [found for _, found in sorted(matches, key=lambda one: one[0])]

    async def look_up(self, provider_id: str) -> Found | None:
        """Fetch one call."""
        try:
            return self._read(await self._client.calls(provider_id).fetch_async())
        except (TwilioRestException, TwilioServiceException) as error:
            if error.status == 404:
                return None
            raise ProviderUnavailable(str(error.status)) from None
        except (TwilioTransportError, ValueError, KeyError) as error:
            raise ProviderUnavailable(type(error).__name__) from None

    async def close(self) -> None:
        await self._http.close()

    def _asked(self, message: Outgoing, content: RenderedVoice) -> dict[str, Any]:
        keypress = None
        asked: dict[str, Any] = {
            "to": message.address,
            "from_": self._settings.sender,
            "timeout": self._settings.ring_seconds,
        }
        if self._settings.machine == "leave":
            asked["machine_detection"] = "DetectMessageEnd"
        if self._callbacks is not None:
            asked["status_callback"] = self._callbacks.url_for(message.delivery_id, message.campaign_id)
            asked["status_callback_event"] = EVENTS
            asked["status_callback_method"] = "POST"
            keypress = self._callbacks.keypress_url_for(message.delivery_id, message.campaign_id, content.language)
        asked["twiml"] = twiml_of(content, keypress)
        return asked

    def _read(self, call: Any) -> Found | None:
        sid = call.sid
        if not isinstance(sid, str) or not sid or len(sid) > MAX_SID:
            return None
        state, code = self._table.of_call(str(call.status), str(call.answered_by or ""), seconds_of(call.duration))
        if state is None:
            log.warning("voice.unknown-status", status=str(call.status)[:32])
        return Found(sid, state or "accepted", code)


def seconds_of(duration: Any) -> int | None:
    """A call's duration as Twilio writes it; None while it is not known."""
    text = str(duration) if duration is not None else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else None
