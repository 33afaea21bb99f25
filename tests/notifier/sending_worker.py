"""A worker process for the crash tests: runs the sending loops until killed, and may kill itself at a chosen step.

Run as `python -m tests.notifier.sending_worker SETTINGS`, where SETTINGS is JSON. `die_at` is `<point>:<n>`: at the
n-th time the point is passed the process sends itself SIGKILL. Points: planned, claimed, marked (durable, nothing
written yet), sent (the provider has answered), settled, relay-bound, relay-recorded, finish-recorded.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from incidents.clock import SystemClock
from incidents.record import Registry, open_record
from incidents.record.database import open_engine
from notifier.campaigns.events import EVENTS
from notifier.channels.channel import AboutToWrite, Channel, Outgoing
from notifier.channels.outcome import Outcome
from notifier.channels.stream import Parcel, Stream, StreamingChannel, send_each
from notifier.deliveries import BatchBook, DeliveryRelay, Planner
from notifier.deliveries.book import DeliveryBook
from notifier.receipts.callback_url import CallbackUrls
from notifier.standins.runner import DEFAULT_ACCOUNT
from notifier.wiring import build_notifier
from tests.notifier.house import KEYS, POLLING, SECRET, SIMULATED, real_channels


class Killer:
    """Counts passes of one point and ends the process without goodbye at the n-th."""

    def __init__(self, die_at: str) -> None:
        self.point, _, count = die_at.partition(":")
        self.left = int(count or 0)

    def passed(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def after(self, owner: Any, method: str, point: str) -> None:
        original: Callable[..., Any] = getattr(owner, method)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if result:
                self.passed(point)
            return result

        setattr(owner, method, wrapped)


class MortalChannel:
    """A real channel with two more places to die: after the mark is durable, and after the provider answered."""

    def __init__(self, channel: Channel, killer: Killer) -> None:
        self._channel = channel
        self._killer = killer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    @property
    def window(self) -> int:
        return 8

    async def send_stream(self, stream: Stream) -> None:
        """As fast as the real one can, if it can; through `send` if not, as for one message."""
        mortal = MortalStream(stream, self._killer)
        if isinstance(self._channel, StreamingChannel):
            await self._channel.send_stream(mortal)
        else:
            await send_each(self, mortal)

    async def send(self, message: Outgoing, about_to_write: AboutToWrite) -> Outcome:
        async def marked() -> None:
            await about_to_write()
            self._killer.passed("marked")

        outcome = await self._channel.send(message, marked)
        self._killer.passed("sent")
        return outcome


class MortalStream:
    """A stream with the same two places to die."""

    def __init__(self, stream: Stream, killer: Killer) -> None:
        self._stream = stream
        self._killer = killer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def take(self) -> Parcel | None:
        parcel = self._stream.take()
        if parcel is not None:
            self._killer.passed("marked")
        return parcel

    def settle(self, parcel: Parcel, outcome: Outcome) -> None:
        self._killer.passed("sent")
        self._stream.settle(parcel, outcome)


async def main(settings: dict[str, Any]) -> None:
    killer = Killer(settings.get("die_at", ""))
    killer.after(Planner, "plan_page", "planned")
    killer.after(DeliveryBook, "claim", "claimed")
    killer.after(BatchBook, "claim", "claimed")
    killer.after(BatchBook, "commit", "settled")
    killer.after(DeliveryRelay, "_bind", "relay-bound")
    clock, database = SystemClock(), open_engine(settings["database"])
    standins = SimpleNamespace(
        twilio_url=settings["twilio_url"],
        smtp_host="127.0.0.1",
        smtp_port=settings["smtp_port"],
        settings=SimpleNamespace(account_sid=DEFAULT_ACCOUNT),
    )
    callbacks = CallbackUrls(settings["door"], SECRET) if settings["door"] else None
    channels: dict[str, Any] = {
        name: MortalChannel(channel, killer)
        for name, channel in real_channels(standins, clock, callbacks).items()  # type: ignore[arg-type]
    }
    with open_record(settings["database"], Registry(EVENTS)) as record:
        _die_between_commits(killer, record)
        notifier = build_notifier(
            database,
            record,
            clock,
            keys=KEYS,
            channels=channels,
            drill_channels={},
            worker=settings["worker"],
            rng=random.Random(settings["worker"]),
            timing=POLLING,
            extra_numbers=SIMULATED,
            batch=settings.get("batch", 16),
            batch_size=settings.get("batch_size", 8),
        )
        journal = notifier.engine._journal
        original = journal._commit

        def commit(steps: list[Any]) -> list[Any]:
            results = original(steps)
            killer.passed("settled")
            return results

        journal._commit = commit  # type: ignore[method-assign]
        await notifier.engine.recover()
        while True:
            done = await asyncio.to_thread(notifier.follower.run_once)
            done += await notifier.engine.run_once()
            done += await asyncio.to_thread(notifier.relay.run_once)
            if not done:
                await asyncio.sleep(0.01)


def _die_between_commits(killer: Killer, record: Any) -> None:
    original = record.commit

    def commit(*aggregates: Any, **kwargs: Any) -> Any:
        kinds = {type(aggregate).__name__ for aggregate in aggregates}
        result = original(*aggregates, **kwargs)
        if "DeliveryStream" in kinds:
            killer.passed("relay-recorded")
        elif "Campaign" in kinds:
            killer.passed("finish-recorded")
        return result

    record.commit = commit


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
