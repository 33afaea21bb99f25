"""Messages that a channel may send as fast as it can: each is covered by a durable mark already, so none is awaited.

The engine offers a `Stream`; a channel that gains by it (email) has `send_stream`, the others are served by
`send_each`, which keeps as many sends under way as the channel says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from notifier.channels.channel import Channel, Outgoing
from notifier.channels.outcome import Outcome


@dataclass(slots=True, eq=False)
class Parcel:
    """One message on its way through a channel. `place` is the engine's own note of whose it is."""

    message: Outgoing = field(repr=False)
    place: Any = field(repr=False)
    written: bool = False
    """From now on it may be on the wire."""
    returns: int = 0
    """How often a channel gave it back untried."""


class Stream(Protocol):
    """Where a channel gets messages and says what came of them. Used from one event loop, nothing is awaited."""

    @property
    def closed(self) -> bool:
        """No more will come: finish what is under way and return."""

    def take(self) -> Parcel | None:
        """The next message, which may be written at once; None: none at the moment."""

    def park(self, wake: Callable[[], None]) -> None:
        """Call `wake` once, soon after there may be something to take or the stream has closed."""

    def give_back(self, parcel: Parcel, *, counted: bool = False, failure: Outcome | None = None) -> None:
        """It was not tried, through no fault of its own; somebody takes it again. `counted`: perhaps it had a part in
        it, so that it is not taken for ever. `failure`: why the provider could not be given it."""

    def settle(self, parcel: Parcel, outcome: Outcome) -> None:
        """What came of it. Once for each that was taken and not given back."""

    def broke(self, parcel: Parcel, error: Exception) -> None:
        """The channel's own code failed on it."""

    def still_ours(self, parcel: Parcel) -> bool:
        """Whether it may be written now. If not, give it back."""


@runtime_checkable
class StreamingChannel(Protocol):
    """A channel that is faster when it need not be asked message by message."""

    window: int
    """How many messages may be covered by the durable mark at once, at the channel's greatest speed."""

    async def send_stream(self, stream: Stream) -> None:
        """Send until the stream is closed. When cancelled, settle what was written and give back the rest."""


class Withheld(Exception):
    """The right to write was lost, or the sending is stopping: nothing may be written."""


async def wait_for_more(stream: Stream) -> None:
    """Return when there may be something to take."""
    more = asyncio.Event()
    stream.park(more.set)
    await more.wait()


async def send_each(channel: Channel, stream: Stream) -> None:
    """Serve a channel that sends one message at a time, with as many at once as it wants."""
    async with asyncio.TaskGroup() as group:
        for _ in range(channel.concurrency):
            group.create_task(_send_on(channel, stream))


async def _send_on(channel: Channel, stream: Stream) -> None:
    while not stream.closed:
        parcel = stream.take()
        if parcel is None:
            await wait_for_more(stream)
        else:
            await _send(channel, stream, parcel)


async def _send(channel: Channel, stream: Stream, parcel: Parcel) -> None:
    async def about_to_write() -> None:
        if not stream.still_ours(parcel):
            raise Withheld
        parcel.written = True

    try:
        outcome = await channel.send(parcel.message, about_to_write)
    except Withheld:
        stream.give_back(parcel)
    except asyncio.CancelledError:
        stream.broke(parcel, InterruptedError())
        raise
    except Exception as error:  # noqa: BLE001 - handed on to whoever keeps the books, who logs it
        stream.broke(parcel, error)
    else:
        stream.settle(parcel, outcome)
