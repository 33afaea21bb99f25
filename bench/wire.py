"""The wire alone: our SMTP sessions without any record against `aiosmtplib.sendmail`, to tell what the record costs.

Both sides send the same mails to the same `smtp-sink` over as many kept connections. Ours writes each person's mail
from the words that all share while it sends; the bare side has its bytes ready.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import aiosmtplib

from bench.notifier import SENDER, _bytes, _email, _rendered_words, _sink, _smtp_loop, _timed
from bench.rounds import Comparison, compare
from notifier.channels.channel import Outgoing
from notifier.channels.outcome import Outcome
from notifier.channels.personal import PersonalEmail
from notifier.channels.stream import Parcel

REFERENCE = "01234-ABCDE"


def sessions_against_sendmail(_folder: Path, people: int, runs: int) -> Comparison:
    """What could be reached if durable records cost nothing."""
    with _sink() as port:
        mails = [(f"p{n}@example.com", _bytes(n)) for n in range(people)]

        async def send(client: aiosmtplib.SMTP, mail: tuple[str, bytes]) -> None:
            await client.sendmail(SENDER, [mail[0]], mail[1])

        async def ours() -> int:
            stream = _Mails(people)
            channel = _email(port)
            await channel.send_stream(stream)
            await channel.close()
            return stream.settled

        return compare(
            "email: sessions without record",
            aim=3,
            ours=lambda _run: lambda: _timed(ours()),
            bare=lambda _run: lambda: _timed(_smtp_loop(port, mails, send)),
            runs=runs,
        )


class _Mails:
    """A stream that gives mails until there are none, and counts what was accepted."""

    def __init__(self, people: int) -> None:
        words = _rendered_words()
        self._campaign = uuid4()
        self._waiting = iter(range(people))
        self._write: Callable[[int], PersonalEmail] = lambda number: PersonalEmail(words, f"Person {number}", REFERENCE)
        self._people = people
        self._parked: list[Callable[[], None]] = []
        self.settled = 0

    @property
    def closed(self) -> bool:
        return self.settled >= self._people

    def take(self) -> Parcel | None:
        number = next(self._waiting, None)
        if number is None:
            return None
        address, key = f"p{number}@example.com", UUID(int=number)
        return Parcel(Outgoing(key, self._campaign, key, address, self._write(number), "en", REFERENCE), None)

    def park(self, wake: Callable[[], None]) -> None:
        self._parked.append(wake)
        if self.closed:
            self._wake()

    def give_back(self, parcel: Parcel, *, counted: bool = False, failure: Outcome | None = None) -> None:
        raise AssertionError("the sink refuses nothing")

    def settle(self, parcel: Parcel, outcome: Outcome) -> None:
        self.settled += 1
        if self.closed:
            self._wake()

    def broke(self, parcel: Parcel, error: Exception) -> None:
        raise error

    def still_ours(self, parcel: Parcel) -> bool:
        return True

    def _wake(self) -> None:
        parked, self._parked = self._parked, []
        for wake in parked:
            wake()
