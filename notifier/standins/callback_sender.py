"""Sends Twilio's status callbacks: signed form posts that follow each message to its final state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from urllib.parse import parse_qs, urldefrag, urlencode

import httpx
from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator

from notifier.standins.outbox_store import OutboxStore, StoredMessage
from notifier.standins.outcomes import DELIVERED, Receipts, SmsOutcome, outcome_named, sms_outcome
from notifier.standins.receipt_plan import FINAL_STATES, State, callback_order, states_after
from notifier.standins.under_way import UnderWay

SIGNATURE_HEADER = "X-Twilio-Signature"
API_VERSION = "2010-04-01"


def sign(auth_token: str, url: str, form: Sequence[tuple[str, str]]) -> str:
    """The ``X-Twilio-Signature`` of a form post to ``url`` (whole, with its query)."""
    validator = RequestValidator(auth_token)  # type: ignore[no-untyped-call]
    return str(validator.compute_signature(url, ImmutableMultiDict(list(form))))  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class CallbackFaults:
    """Faults laid over every message's callbacks: the share of messages (0 to 1) that suffer each."""

    dropped: float = 0.0
    duplicated: float = 0.0
    reversed: float = 0.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Twilio's connection overrides, read from a callback URL's fragment (``#rc=2&rp=all``).

    Default: one retry, and only when no connection could be made or it broke.
    """

    retries: int = 1
    reasons: frozenset[str] = frozenset({"ct"})

    @classmethod
    def of(cls, url: str) -> RetryPolicy:
        """Read the policy; what cannot be read keeps its default."""
        wanted = parse_qs(urldefrag(url).fragment)
        count = wanted.get("rc", ["1"])[0]
        reasons = frozenset(wanted.get("rp", ["ct"])[0].split(","))
        if "all" in reasons:
            reasons = frozenset({"ct", "rt", "4xx", "5xx"})
        return cls(min(int(count), 5) if count.isascii() and count.isdigit() else 1, reasons)


class CallbackSender:
    """Moves accepted SMS through their states and posts the callbacks, in the running event loop.

    ``step_delay`` is the pause before each state in seconds, ``timeout`` the limit of one post, and
    ``parallel`` how many posts may be under way. ``resume()`` takes up what a killed process left.
    """

    def __init__(
        self,
        store: OutboxStore,
        *,
        account_sid: str,
        auth_token: str,
        clock: Callable[[], datetime],
        step_delay: float = 0.2,
        timeout: float = 5.0,
        parallel: int = 16,
        faults: CallbackFaults | None = None,
        random: Random | None = None,
    ) -> None:
        self._store = store
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._clock = clock
        self._step_delay = step_delay
        self._slots = asyncio.Semaphore(parallel)
        self._faults = faults or CallbackFaults()
        self._random = random or Random()  # noqa: S311 - chooses faults, protects nothing
        self._under_way = UnderWay(timeout)

    def follow(self, message: StoredMessage) -> None:
        """Start moving an accepted message towards its final state."""
        if not self._under_way.has(message.sid):
            self._under_way.start(message.sid, self._follow(message))

    def resume(self) -> int:
        """Follow every message that is not in its final state; returns how many."""
        waiting = self._store.unfinished("sms")
        for message in waiting:
            self.follow(message)
        return len(waiting)

    async def cancel(self, message: StoredMessage) -> None:
        """Stop a message that was not sent yet, and tell its callback so."""
        await self._under_way.cancel(message.sid)
        if self._store.set_status(message.sid, "canceled", self._clock(), unless=FINAL_STATES):
            self._under_way.start(message.sid, self._post(message, State("canceled")))

    async def idle(self) -> None:
        """Wait until no message is under way."""
        await self._under_way.idle()

    async def stop(self) -> None:
        """Stop all work; what is unfinished can be resumed later."""
        await self._under_way.stop()

    async def _follow(self, message: StoredMessage) -> None:
        outcome = _outcome_of(message)
        if message.status == "scheduled" and message.send_at is not None:
            await asyncio.sleep(max(0.0, (message.send_at - self._clock()).total_seconds()))
        receipts = self._receipts(outcome)
        states = states_after(message.status, outcome)
        for state in states:
            await asyncio.sleep(self._step_delay)
            code = str(state.error_code or "")
            if not self._store.set_status(
                message.sid, state.status, self._clock(), error_code=code, unless=FINAL_STATES
            ):
                return
            if receipts in {Receipts.IN_ORDER, Receipts.TWICE}:
                for told in callback_order([state], receipts):
                    await self._post(message, told)
        if receipts is Receipts.LATEST_FIRST:
            for told in callback_order(states, receipts):
                await self._post(message, told)

    def _receipts(self, outcome: SmsOutcome) -> Receipts:
        if outcome.receipts is not Receipts.IN_ORDER:
            return outcome.receipts
        faults = (
            (self._faults.dropped, Receipts.NONE),
            (self._faults.duplicated, Receipts.TWICE),
            (self._faults.reversed, Receipts.LATEST_FIRST),
        )
        for share, receipts in faults:
            if share and self._random.random() < share:
                return receipts
        return Receipts.IN_ORDER

    async def _post(self, message: StoredMessage, state: State) -> None:
        if not message.status_callback:
            return
        url, policy = urldefrag(message.status_callback).url, RetryPolicy.of(message.status_callback)
        form = self.form(message, state)
        headers = {
            SIGNATURE_HEADER: sign(self._auth_token, url, form),
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "User-Agent": "TwilioProxy/1.1",
        }
        for attempt in range(1, policy.retries + 2):
            async with self._slots:
                result, reason = await self._try(url, urlencode(form).encode(), headers)
            self._store.note_callback(message.sid, state.status, attempt, result, self._clock())
            if reason not in policy.reasons:
                return

    async def _try(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[str, str]:
        """One post: what came of it, and the name Twilio's retry policy has for the failure, or ''."""
        try:
            response = await self._under_way.client.post(url, content=body, headers=headers)
        except httpx.ReadTimeout:
            return "ReadTimeout", "rt"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return type(error).__name__, "ct"
        family = f"{response.status_code // 100}xx"
        return str(response.status_code), family if family in {"4xx", "5xx"} else ""

    def form(self, message: StoredMessage, state: State) -> list[tuple[str, str]]:
        """The fields Twilio posts for a message that reached ``state``."""
        form = [
            ("SmsSid", message.sid),
            ("SmsStatus", state.status),
            ("MessageStatus", state.status),
            ("To", message.recipient),
            ("MessageSid", message.sid),
            ("AccountSid", self._account_sid),
            ("From", message.sender),
            ("ApiVersion", API_VERSION),
        ]
        if message.service_sid:
            form.append(("MessagingServiceSid", message.service_sid))
        if state.error_code is not None:
            form.append(("ErrorCode", str(state.error_code)))
        if state.status in {"delivered", "undelivered"}:
            form.append(("RawDlrDoneDate", self._clock().strftime("%y%m%d%H%M")))
        return form


def _outcome_of(message: StoredMessage) -> SmsOutcome:
    try:
        return outcome_named(message.outcome)
    except KeyError:  # kept by another version of the table
        found = sms_outcome(message.recipient)
        return found if found.error_code is None else DELIVERED
