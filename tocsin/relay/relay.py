"""The relay: reads the record from where it stopped, sends it, and notes how far the brokers have acknowledged it.

Sent first, noted afterwards: a kill in between repeats a batch and loses nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

import structlog
from opentelemetry.trace import SpanKind

from incidents.errors import TocsinError
from incidents.record import Record
from incidents.tracing import span
from tocsin.relay.cloud_events import CloudEvents, Message, StoredEvent
from tocsin.relay.positions import Position, Positions
from tocsin.relay.topic import TopicState

log = structlog.get_logger(__name__)

LOOK_SECONDS = 10.0
"""How long a wiped Kafka may go unnoticed while nothing happens."""
MOST_EVENTS = 5_000
FEWEST_EVENTS = 50
BATCH_BYTES = 8 * 1_048_576
"""What a batch should be large at most; the number of events follows from their size so far."""


class TopicWiped(TocsinError):
    """Kafka no longer has what was sent to it."""

    code = "topic-wiped"
    title = "Kafka no longer has the events"


class RecordBehind(TocsinError):
    """More was sent than is on record."""

    code = "record-behind"
    title = "The record is behind the relay"


class Sink(Protocol):
    """Where batches go; made anew after every failure."""

    def send(self, messages: Iterable[Message], stopping: Callable[[], bool]) -> dict[int, int]: ...

    def close(self) -> None: ...


class EventRelay:
    """Publishes the record to one topic. Any number may exist; `holds` says which of them may work."""

    def __init__(
        self,
        record: Record,
        positions: Positions,
        events: CloudEvents,
        *,
        look: Callable[[], TopicState],
        connect: Callable[[], Sink],
        replay_when_wiped: bool,
        holds: Callable[[], bool],
        batch_bytes: int = BATCH_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._record = record
        self._positions = positions
        self._events = events
        self._look = look
        self._connect = connect
        self._replay_when_wiped = replay_when_wiped
        self._holds = holds
        self._batch_bytes = batch_bytes
        self._monotonic = monotonic
        self._sink: Sink | None = None
        self._looked_at = 0.0
        self._limit = 500

    def run_once(self, stop: threading.Event | None = None) -> int:
        """Publish one batch. Returns how many events it had; 0 when there is nothing to do, or another relay does it.

        KafkaError when the brokers are not there, TocsinError for what a person must decide; then the next turn begins
        with a new connection.
        """
        if not self._holds():
            self.close()
            return 0
        try:
            return self._turn(stop or threading.Event())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the brokers."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()

    def _turn(self, stop: threading.Event) -> int:
        seen = self._positions.load()
        if self._sink is None or self._monotonic() - self._looked_at >= LOOK_SECONDS:
            settled = self._settle(seen, self._look())
            self._looked_at = self._monotonic()
            if settled is None:
                return 0
            seen = settled
        batch = self._read(seen.position)
        if not batch:
            self._check_record(seen)
            return 0
        if self._sink is None:
            self._sink = self._connect()
            seen_now = self._positions.load()
            if seen_now != seen:
                return 0  # the relay before this one was just fenced off; it had come further
        with span("events.published", {"messaging.batch.message_count": len(batch)}, kind=SpanKind.PRODUCER):
            ends = self._sink.send(map(self._events.message, batch), stop.is_set)
        if self._positions.advance(seen, batch[-1].id, ends) is None:
            log.warning("relay.overtaken", topic=self._positions.topic, position=seen.position)
            self.close()
        return len(batch)

    def _read(self, after: int) -> list[StoredEvent]:
        # Rows as they are stored: decoding them only to encode them again would be most of the work.
        found = self._record.recorder.select_notifications(start=after, limit=self._limit, inclusive_of_start=False)
        batch = cast(list[StoredEvent], list(found))
        if batch:
            each = sum(len(event.state) for event in batch) // len(batch) + 500
            self._limit = max(FEWEST_EVENTS, min(MOST_EVENTS, self._batch_bytes // each))
        return batch

    def _check_record(self, seen: Position) -> None:
        head = self._record.head() if seen.position else 0
        if head < seen.position:
            raise RecordBehind(
                f"The topic {self._positions.topic} was given events up to position {seen.position}, but the record "
                f"ends at {head}: the database was restored from an older copy. What was recorded after that copy is "
                f"in Kafka only, and its ids will be used again. Tell who reads the topic, then go on with "
                f"`tocsin relay reset --from {head}`."
            )

    def _settle(self, seen: Position, found: TopicState) -> Position | None:
        """Compare the topic with what is on file of it. None when another relay was faster."""
        if found.topic_id == seen.topic_id and not _lost(seen, found):
            return seen
        if not seen.topic_id or not seen.position:
            return self._positions.adopt(seen, found.topic_id, from_start=False)
        what = "lost messages" if found.topic_id == seen.topic_id else "was deleted and made again"
        said: dict[str, Any] = {"topic": self._positions.topic, "position": seen.position, "what": what}
        if not self._replay_when_wiped:
            log.error("relay.topic-wiped", **said, then="waits for a person")
            raise TopicWiped(
                f"The topic {self._positions.topic} {what} since position {seen.position} was published. "
                "`tocsin relay reset --from 0` sends the record again from its beginning, `--from N` what is after N."
            )
        log.error("relay.topic-wiped", **said, then="the record is sent again from its beginning")
        return self._positions.adopt(seen, found.topic_id, from_start=True)


def _lost(seen: Position, found: TopicState) -> bool:
    return any(found.ends.get(partition, 0) < end for partition, end in seen.ends.items())
