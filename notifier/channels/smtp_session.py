"""An SMTP session in which the phase of every message is known.

aiosmtplib connects, encrypts, checks certificates, authenticates and greets. Then its transport is handed to this
protocol, which counts replies. Where the server offers PIPELINING (RFC 2920), MAIL, RCPT and DATA go in one write, and
the next envelope rides behind the final dot of the content before it; where it does not, each command waits for its
reply. At most one content per connection is without its reply at any time.

What is lost before the final dot was written was not sent; what is lost after it may have been.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, cast

from notifier.channels.outcome import Outcome, OutcomeTable, Verdict
from notifier.channels.stream import Parcel, Stream

MAX_REPLY = 32 * 1024
STRAINED = 3
"""So many temporary refusals in a row slow a connection down."""
MOST_PAUSE = 5.0
_ENHANCED = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}")


@dataclass(frozen=True, slots=True)
class Letter:
    """What is to be said to the server for one message. `content` ends with CRLF and its full stops are doubled."""

    mail: bytes
    rcpt: bytes
    content: bytes = field(repr=False)
    provider_id: str


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Times in seconds."""

    timeout: float
    content_timeout: float
    max_idle: float
    max_messages: int


class _Step(StrEnum):
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"
    NOTHING = "nothing"
    """The empty content for a server that said "go on" although it refused the recipient."""
    RESET = "reset"


@dataclass(slots=True, eq=False)
class _Transaction:
    parcel: Parcel
    letter: Letter
    refused: Outcome | None = None


class LetterMaker(Protocol):
    """Makes letters; the session asks it when it takes a message."""

    def letter(self, parcel: Parcel) -> Letter | Outcome:
        """The letter, or the outcome of a message that cannot be made one."""


class SmtpSession(asyncio.Protocol):
    """Sends what the stream has over one connection, until the connection ends or is no longer wanted."""

    def __init__(
        self,
        transport: asyncio.Transport,
        stream: Stream,
        letters: LetterMaker,
        limits: SessionLimits,
        table: OutcomeTable,
        *,
        pipelining: bool,
    ) -> None:
        self._transport = transport
        self._stream = stream
        self._letters = letters
        self._limits = limits
        self._table = table
        self._pipelining = pipelining
        self._loop = asyncio.get_running_loop()
        self._expected: deque[tuple[_Step, _Transaction | None]] = deque()
        self._buffer = b""
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._temporary = 0
        self._needs_reset = False
        self._over = False
        self.sent = 0
        self.closed: asyncio.Future[str] = self._loop.create_future()
        """Set to the reason when the connection is gone and everything on it is settled or given back."""

    def start(self, first: Parcel) -> None:
        """Take the transport over and send, beginning with a message that was taken already."""
        self._transport.set_protocol(self)
        if self._transport.is_closing():
            self._stream.give_back(first)
            self._end("closed")
            return
        self._arm()
        self._begin(first)

    def abort(self, reason: str) -> None:
        """Hang up now."""
        self._end(reason)

    # -- asyncio ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        if len(self._buffer) > MAX_REPLY or any(len(line) > MAX_REPLY for line in lines):
            self._end("reply-too-long")
            return
        for line in lines:
            if self._over:
                return
            if line[3:4] != b"-":  # the last line of a reply (RFC 5321 section 4.2.1)
                self._reply(line)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(type(exc).__name__ if exc is not None else "disconnected")

    # -- what goes out ------------------------------------------------------------------------------------

    def _next(self) -> None:
        """Begin the next message, or wait for one."""
        if self._over or self._expected:
            return
        if self.sent >= self._limits.max_messages or self._stream.closed:
            self._quit("renewed")
            return
        if self._temporary >= STRAINED:
            # The server is at its limit: more haste brings nobody their notice sooner.
            pause = min(0.1 * 2 ** (self._temporary - STRAINED), MOST_PAUSE)
            self._temporary = STRAINED - 1
            self._loop.call_later(pause, self._next)
            return
        parcel = self._stream.take()
        if parcel is None:
            self._deadline = self._loop.time() + self._limits.max_idle
            self._stream.park(self._wake)
        else:
            self._begin(parcel)

    def _wake(self) -> None:
        if not self._over and not self._expected:
            self._loop.call_soon(self._next)

    def _begin(self, parcel: Parcel) -> None:
        transaction = self._opened(parcel)
        if transaction is None:
            self._loop.call_soon(self._next)  # not by a call: thousands of these in a row would fill the stack
        else:
            self._transport.write(self._envelope(transaction))
            self._set_deadline()

    def _opened(self, parcel: Parcel) -> _Transaction | None:
        """A transaction for the message, unless it cannot be made a letter; then that is settled."""
        try:
            letter = self._letters.letter(parcel)
        except Exception as error:  # noqa: BLE001 - handed on to whoever keeps the books, who logs it
            self._stream.broke(parcel, error)
            return None
        if isinstance(letter, Outcome):
            self._stream.settle(parcel, letter)
            return None
        return _Transaction(parcel, letter)

    def _envelope(self, transaction: _Transaction) -> bytes:
        """The commands that open a transaction; their replies are expected from here on."""
        reset, letter = b"", transaction.letter
        if self._needs_reset:
            self._needs_reset, reset = False, b"RSET\r\n"
            self._expected.append((_Step.RESET, None if self._pipelining else transaction))
            if not self._pipelining:
                return reset
        self._expected.append((_Step.MAIL, transaction))
        if not self._pipelining:
            return letter.mail
        self._expected += ((_Step.RCPT, transaction), (_Step.DATA, transaction))
        return b"".join((reset, letter.mail, letter.rcpt, b"DATA\r\n"))

    def _write_content(self, transaction: _Transaction) -> None:
        if not self._stream.still_ours(transaction.parcel):
            # The only way to take a DATA back is to hang up (RFC 5321 section 4.1.1.4).
            self._stream.give_back(transaction.parcel)
            self._end("lease-lost")
            return
        transaction.parcel.written = True
        self._expected.append((_Step.CONTENT, transaction))
        self.sent += 1
        self._transport.write(b"".join((transaction.letter.content, b".\r\n", self._riding())))

    def _riding(self) -> bytes:
        """The envelope of the next message, where one may ride behind the final dot."""
        if not self._pipelining or self._temporary or self.sent >= self._limits.max_messages:
            return b""
        while (parcel := self._stream.take()) is not None:
            transaction = self._opened(parcel)
            if transaction is not None:
                return self._envelope(transaction)
        return b""

    # -- what comes back ----------------------------------------------------------------------------------

    def _reply(self, line: bytes) -> None:
        try:
            code = int(line[:3])
        except ValueError:
            self._end("malformed-reply")
            return
        if not self._expected:
            if code == 421 or code >= 500:
                self._end("unasked-reply")
            return
        step, transaction = self._expected.popleft()
        if transaction is not None:
            self._answered(step, transaction, code, line)
        if self._over:
            return
        if code == 421:  # the server is about to hang up (RFC 5321 section 3.8)
            self._end("421")
        elif self._expected:
            self._set_deadline()
        else:
            self._deadline = 0.0
            self._next()

    def _answered(self, step: _Step, transaction: _Transaction, code: int, line: bytes) -> None:
        match step:
            case _Step.MAIL | _Step.RCPT:
                self._answered_envelope(step, transaction, code, line)
            case _Step.DATA if code == 354:
                if transaction.refused is None:
                    self._write_content(transaction)
                else:
                    self._expected.append((_Step.NOTHING, transaction))
                    self._transport.write(b".\r\n")
            case _Step.DATA:
                self._refuse(transaction, step, code, line)
                self._give_up(transaction)
            case _Step.CONTENT if code // 100 == 2:
                self._temporary = 0
                letter = transaction.letter
                self._stream.settle(
                    transaction.parcel,
                    Outcome(Verdict.ACCEPTED, reply_code(code, line), letter.provider_id),
                )
            case _Step.CONTENT:
                self._settle(transaction, self._outcome(step, code, line))
            case _Step.NOTHING:
                self._give_up(transaction)
            case _Step.RESET:  # without pipelining
                self._expected.append((_Step.MAIL, transaction))
                self._transport.write(transaction.letter.mail)

    def _answered_envelope(self, step: _Step, transaction: _Transaction, code: int, line: bytes) -> None:
        if step is _Step.MAIL and code // 100 == 4:
            # Our sender is put off, or all of us: nothing of this is the recipient's.
            self._expected = deque(entry for entry in self._expected if entry[1] is not transaction)
            self._stream.give_back(transaction.parcel, counted=True)
            self._end(f"mail-{code}")
            return
        refused = code // 100 != 2
        if refused:
            self._refuse(transaction, step, code, line)
        if self._pipelining:
            return
        if refused:
            self._give_up(transaction)
        else:
            after = _Step.RCPT if step is _Step.MAIL else _Step.DATA
            self._expected.append((after, transaction))
            self._transport.write(transaction.letter.rcpt if after is _Step.RCPT else b"DATA\r\n")

    def _refuse(self, transaction: _Transaction, step: _Step, code: int, line: bytes) -> None:
        """Keep the first refusal: those that follow from it say nothing."""
        if transaction.refused is None:
            transaction.refused = self._outcome(step, code, line)

    def _outcome(self, step: _Step, code: int, line: bytes) -> Outcome:
        said = reply_code(code, line)
        return Outcome(self._table.of_smtp_reply(step.value, code, said[4:] or None), said)

    def _give_up(self, transaction: _Transaction) -> None:
        """The transaction ends without content."""
        self._needs_reset = True
        self._settle(transaction, cast(Outcome, transaction.refused))

    def _settle(self, transaction: _Transaction, outcome: Outcome) -> None:
        self._temporary = self._temporary + 1 if outcome.verdict is Verdict.TEMPORARY else 0
        self._stream.settle(transaction.parcel, outcome)

    # -- the end ------------------------------------------------------------------------------------------

    def _set_deadline(self) -> None:
        limits = self._limits
        seconds = limits.content_timeout if self._expected[0][0] is _Step.CONTENT else limits.timeout
        self._deadline = self._loop.time() + seconds

    def _arm(self) -> None:
        """One timer for the connection. It looks how things stand when it goes off, so it is not set for each reply."""
        if self._over:
            return
        now = self._loop.time()
        if self._deadline and now >= self._deadline:
            if self._expected:
                self._end("timeout")
            else:
                self._quit("idle")
            return
        shortest = min(self._limits.timeout, self._limits.content_timeout, self._limits.max_idle)
        wait = self._deadline - now if self._deadline else shortest
        self._timer = self._loop.call_later(max(min(wait, shortest), 0.01), self._arm)

    def _quit(self, reason: str) -> None:
        """Say goodbye; the server's answer is not waited for."""
        self._transport.write(b"QUIT\r\n")
        self._transport.close()
        self._end(reason)

    def _end(self, reason: str) -> None:
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if not self._transport.is_closing():
            self._transport.abort()
        done = set[_Transaction]()
        for place, (step, transaction) in enumerate(self._expected):
            if transaction is not None and transaction not in done:
                done.add(transaction)
                self._break_off(transaction, step, reason, first=place == 0)
        self._expected.clear()
        self.closed.set_result(reason)

    def _break_off(self, transaction: _Transaction, step: _Step, reason: str, *, first: bool) -> None:
        code = f"{step.value}:{reason}"[:40]
        if step is _Step.CONTENT:
            self._stream.settle(transaction.parcel, Outcome(Verdict.AMBIGUOUS, code))
        elif transaction.refused is not None:
            self._stream.settle(transaction.parcel, transaction.refused)
        elif first and step in {_Step.RCPT, _Step.DATA} and reason != "cancelled":
            # Perhaps it was this recipient that the server fell silent over: not again at once.
            self._stream.settle(transaction.parcel, Outcome(Verdict.TEMPORARY, code))
        else:
            self._stream.give_back(transaction.parcel, counted=step is _Step.MAIL and first)


def reply_code(code: int, line: bytes) -> str:
    """The reply code and, if the server gave one, the enhanced code (RFC 3463). Never the text."""
    match = _ENHANCED.match(line, 4)
    return f"{code} {match.group().decode()}" if match else str(code)
