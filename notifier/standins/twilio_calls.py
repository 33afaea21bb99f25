"""The Calls part of the Twilio stand-in: create, fetch, list, and the fate of each call.

A call to a simulated number meets the outcome of its last two digits; what Twilio does with the request (refuses it,
answers 429 or 5xx, cuts the connection) is the same as for messages.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from notifier.standins.callback_sender import API_VERSION, SIGNATURE_HEADER, sign
from notifier.standins.outbox_store import NewMessage, OutboxStore, StoredMessage
from notifier.standins.outcomes import CallEnd, call_end
from notifier.standins.twilio_messages import TwilioProblem, is_number
from notifier.standins.under_way import UnderWay

MAX_TWIML = 4000
ENDED = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})
_SAID = re.compile(r"<Say[^>]*>(.*?)</Say>", re.DOTALL)
_GATHER = re.compile(r'<Gather[^>]*\baction="([^"]+)"')


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A request to call, checked."""

    to: str
    sender: str
    twiml: str
    callback: str
    events: frozenset[str]

    @property
    def campaign(self) -> str:
        """The `campaign` parameter of its callback address."""
        return parse_qs(urlsplit(self.callback).query).get("campaign", [""])[0][:200]

    @property
    def said(self) -> str:
        """What is said, once."""
        return unescape(next(iter(_SAID.findall(self.twiml)), ""))


def read_call(form: dict[str, list[str]]) -> CallRequest:
    """Check the form of a create request.

    Raises:
        TwilioProblem: with the code Twilio gives for the first fault found.
    """

    def one(name: str) -> str:
        return form.get(name, [""])[0]

    to, sender, twiml = one("To"), one("From"), one("Twiml")
    if not to:
        raise TwilioProblem(400, 21201, "No 'To' number is specified")
    if not is_number(to):
        raise TwilioProblem(400, 21211, to=to)
    if not sender:
        raise TwilioProblem(400, 21213, "'From' phone number is required.")
    if not is_number(sender):
        raise TwilioProblem(400, 21212)
    if not twiml:
        raise TwilioProblem(400, 21205, "Url parameter is required.")
    if len(twiml) > MAX_TWIML:
        raise TwilioProblem(400, 21219, "Twiml is longer than 4000 characters.")
    events = frozenset(form.get("StatusCallbackEvent", ["completed"]))
    return CallRequest(to, sender, twiml, one("StatusCallback"), events)


def new_call(wanted: CallRequest, at: datetime) -> NewMessage:
    """The call as the outbox keeps it. What may be told of it later is kept with it."""
    return NewMessage(
        sid="CA" + secrets.token_hex(16),
        channel="voice",
        recipient=wanted.to,
        sender=wanted.sender,
        body=wanted.said,
        raw=wanted.twiml.encode(),
        campaign=wanted.campaign,
        status_callback=wanted.callback,
        service_sid=",".join(sorted(wanted.events)) if wanted.callback else "",
        segments=0,
        outcome=call_end(wanted.to).name,
        status="queued",
        accepted_at=at,
    )


def call_body(call: StoredMessage, account_sid: str) -> dict[str, Any]:
    """The Calls resource as JSON."""
    end = call_end(call.recipient)
    over = call.status in ENDED
    when = format_datetime(call.accepted_at.astimezone(UTC))
    answered = call.status in {"in-progress", "completed"}
    return {
        "sid": call.sid,
        "account_sid": account_sid,
        "api_version": API_VERSION,
        "to": call.recipient,
        "from": call.sender,
        "status": call.status,
        "direction": "outbound-api",
        "date_created": when,
        "date_updated": format_datetime(call.updated_at.astimezone(UTC)),
        "start_time": when if answered else None,
        "end_time": format_datetime(call.updated_at.astimezone(UTC)) if over else None,
        "duration": str(end.seconds if call.status == "completed" else 0) if over else None,
        "answered_by": (end.answered_by or None) if call.status == "completed" else None,
        "price_unit": "USD",
        "subresource_uris": {},
        "uri": f"/{API_VERSION}/Accounts/{account_sid}/Calls/{call.sid}.json",
    }


class CallFollower:
    """Moves calls through their states and posts the callbacks asked for, in the running event loop."""

    def __init__(
        self,
        store: OutboxStore,
        *,
        account_sid: str,
        auth_token: str,
        clock: Callable[[], datetime],
        step_delay: float,
        timeout: float = 5.0,
    ) -> None:
        self._store = store
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._clock = clock
        self._step_delay = step_delay
        self._under_way = UnderWay(timeout)

    def follow(self, call: StoredMessage) -> None:
        """Start moving a call towards its end."""
        if not self._under_way.has(call.sid):
            self._under_way.start(call.sid, self._follow(call))

    def resume(self) -> None:
        """Follow every call that has not ended."""
        for call in self._store.unfinished("voice"):
            self.follow(call)

    async def idle(self) -> None:
        """Wait until no call is under way."""
        await self._under_way.idle()

    async def stop(self) -> None:
        """Stop all work; what has not ended can be resumed later."""
        await self._under_way.stop()

    async def _follow(self, call: StoredMessage) -> None:
        end = call_end(call.recipient)
        way = ["initiated", "ringing", *(["in-progress"] if end.status == "completed" else []), end.status]
        events = {"in-progress": "answered", **dict.fromkeys(ENDED, "completed")}
        for status in way:
            await asyncio.sleep(self._step_delay)
            kept = "queued" if status == "initiated" else status
            if not self._store.set_status(call.sid, kept, self._clock(), unless=ENDED):
                return
            if end.receipts and events.get(status, status) in call.service_sid.split(","):
                for _ in range(end.receipts):
                    await self._tell(call, status, end)
            if status == "in-progress" and end.presses:
                await self._press(call, end)

    async def _tell(self, call: StoredMessage, status: str, end: CallEnd) -> None:
        form = self._form(call, status)
        if status in ENDED:
            form.append(("CallDuration", str(end.seconds)))
            if end.answered_by:
                form.append(("AnsweredBy", end.answered_by))
        result = await self._post(call.status_callback, form)
        self._store.note_callback(call.sid, status, 1, result, self._clock())

    async def _press(self, call: StoredMessage, end: CallEnd) -> None:
        """Press a key where the TwiML listens for one."""
        found = _GATHER.search((call.raw or b"").decode())
        if found is not None:
            form = [*self._form(call, "in-progress"), ("Digits", end.presses), ("msg", "Gather End")]
            result = await self._post(unescape(found[1]), form)
            self._store.note_callback(call.sid, f"key-{end.presses}", 1, result, self._clock())

    def _form(self, call: StoredMessage, status: str) -> list[tuple[str, str]]:
        return [
            ("CallSid", call.sid),
            ("AccountSid", self._account_sid),
            ("From", call.sender),
            ("To", call.recipient),
            ("CallStatus", status),
            ("ApiVersion", API_VERSION),
            ("Direction", "outbound-api"),
        ]

    async def _post(self, url: str, form: list[tuple[str, str]]) -> str:
        headers = {
            SIGNATURE_HEADER: sign(self._auth_token, url, form),
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        }
        try:
            answer = await self._under_way.client.post(url, content=urlencode(form).encode(), headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return type(error).__name__
        return str(answer.status_code)
