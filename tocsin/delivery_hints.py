"""Hints of batches by Kafka: who made batches ready announces them, and a consumer group spreads them over notifiers.

A message is the id of a campaign and the number of a batch, and gives no right: the claim in the database does. So
hints may be lost, doubled, late, foreign or nonsense, and Kafka may be wiped; a batch whose hint is lost is found by
looking.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from itertools import count
from typing import Any, Final
from uuid import UUID

import structlog
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import IllegalStateError, KafkaError
from kafka.structs import MemberState
from pydantic import Field, ValidationError

from incidents.record.event import Model
from notifier.deliveries import BatchHints, BatchRef
from tocsin.kafka import Kafka, close_producer, is_unreadable, place_in_hand
from tocsin.kafka_worker import KafkaWorker
from tocsin.observability.metrics import Metrics
from tocsin.settings_kafka import KafkaSettings

log = structlog.get_logger(__name__)

NAME: Final = "delivery-hints"
ROLE: Final = "notifier"
MOST_LEAVING = 20_000
"""Hints that wait to be sent: those of ten million people. More push the oldest out."""
MOST_ARRIVED = 500
"""Hints that wait here for a lane. While there are more, the rest stays with Kafka, for members that come later."""
AT_ONCE = 100
KEEP_MS = 3_600_000
"""How long the topic that we make keeps hints; those of an hour ago tell nothing."""
POLL_MS = 200
"""How long to wait for hints; so long others wait to be sent, and so long a stop takes."""
LOOK_SECONDS = 10.0
"""Between two looks whether the topic is the one that was opened."""
APPEARS_SECONDS = 10.0
"""How long a topic may take from being made to being seen."""
STUCK_SECONDS = 45.0
"""How long joining the group may take."""
LAST_MS = 2_000
"""For saying goodbye to the brokers."""
_MOST_BYTES = 200


class Hint(Model):
    """What a message says."""

    campaign: UUID
    batch: int = Field(strict=True, ge=1, le=2**31 - 1)


def written(ref: BatchRef) -> bytes:
    """The message that announces a batch."""
    return json.dumps({"campaign": str(ref.campaign_id), "batch": ref.number}).encode()


def read(value: bytes | None) -> BatchRef | None:
    """The batch that a message announces; None for one that is no hint of ours."""
    if value is None or len(value) > _MOST_BYTES:
        return None
    try:
        hint = Hint.model_validate_json(value)
    except ValidationError:
        return None
    return BatchRef(hint.campaign, hint.batch)


class DeliveryHints(BatchHints):
    """The port of the notifier. Both methods only touch memory; a `HintCarrier` does the rest in its own thread."""

    def __init__(self) -> None:
        self.leaving: deque[BatchRef] = deque(maxlen=MOST_LEAVING)
        self.arrived: deque[BatchRef] = deque()

    def publish(self, batches: Sequence[BatchRef]) -> None:
        """Let these be announced as soon as the brokers take them."""
        self.leaving.extend(batches)

    def next(self) -> BatchRef | None:
        """The oldest hint that came and was not asked for."""
        try:
            return self.arrived.popleft()
        except IndexError:
            return None


class HintCarrier(KafkaWorker):
    """Carries hints to and from Kafka until it is told to stop. Any number of processes may run one."""

    name = NAME
    lines = "hints"
    without = "Kafka carries no hints, so batches are searched for"

    def __init__(
        self,
        hints: DeliveryHints,
        kafka: Kafka,
        metrics: Metrics,
        *,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(metrics)
        self._hints = hints
        self._kafka = kafka
        self._uptime = uptime
        self._topic = kafka.topics.deliveries
        self._topic_id = ""
        self._consumer: KafkaConsumer | None = None
        self._producer: KafkaProducer | None = None
        self._turns = count()
        self._unsent: BaseException | None = None
        self._next_look = self._member_at = 0.0

    def run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                try:
                    self.turn()
                except Exception as error:  # noqa: BLE001 - logged; nothing depends on hints, and all is opened anew
                    self.failed(error)
                    self.close()
                    stop.wait(self.pause)
        finally:
            self.close()

    def turn(self) -> None:
        """Send what is to leave, and wait for a moment for what comes. KafkaError when the brokers do not answer."""
        consumer, producer = self._consumer or self._open(), self._producer
        if producer is not None:
            self._send(producer)
        self._receive(consumer)
        if self._uptime() >= self._next_look:
            self._look(consumer)
            self.succeeded()

    def close(self) -> None:
        """Let go of the brokers. What is on its way may be lost."""
        producer, self._producer = self._producer, None
        consumer, self._consumer = self._consumer, None
        if producer is not None:
            unsent = close_producer(producer, LAST_MS / 1_000)
            if unsent is not None:
                log.info("hints.unsent", reason=type(unsent).__name__)
        if consumer is not None:
            try:
                consumer.close(timeout_ms=LAST_MS)
            except Exception as error:  # noqa: BLE001 - logged; it is over either way, the group gives us up by itself
                log.info("hints.no-goodbye", reason=type(error).__name__)

    # Sending

    def _send(self, producer: KafkaProducer) -> None:
        if self._unsent is not None:
            unsent, self._unsent = self._unsent, None
            raise unsent
        if not self._hints.leaving:
            return
        # One after the other round the partitions: without a key a client would fill one, and one member would get all.
        partitions = sorted(producer.partitions_for(self._topic))
        leaving = self._hints.leaving
        while leaving:
            ref = leaving.popleft()
            try:
                partition = partitions[next(self._turns) % len(partitions)]
                future = producer.send(self._topic, written(ref), partition=partition)
            except Exception:
                leaving.appendleft(ref)
                raise
            future.add_errback(self._not_sent)

    def _not_sent(self, error: BaseException) -> None:
        self._unsent = error

    # Receiving

    def _receive(self, consumer: KafkaConsumer) -> None:
        full = len(self._hints.arrived) >= MOST_ARRIVED
        with suppress(KeyError, IllegalStateError):  # taken from us between the question and this
            if full:
                consumer.pause(*consumer.assignment())
            elif paused := consumer.paused():
                consumer.resume(*paused)
        nonsense = 0
        for messages in self._polled(consumer).values():
            for message in messages:
                ref = read(message.value)
                if ref is None:
                    nonsense += 1
                else:
                    self._hints.arrived.append(ref)
        if nonsense:
            log.warning("hints.nonsense", topic=self._topic, messages=nonsense)

    def _polled(self, consumer: KafkaConsumer) -> Mapping[TopicPartition, Sequence[Any]]:
        try:
            polled: Mapping[TopicPartition, Sequence[Any]] = consumer.poll(timeout_ms=POLL_MS, max_records=AT_ONCE)
        except Exception as error:
            if (place := place_in_hand(consumer)) is None or not is_unreadable(error):
                raise
            # Hints that are damaged are hints that are lost: go on behind all that is there now. That also lets go of
            # what failed.
            end = consumer.end_offsets([place], timeout_ms=LAST_MS)[place]
            consumer.seek(place, end)
            self._metrics.worker_faults.labels(self.name).inc()
            log.warning("hints.passed-over", topic=place.topic, partition=place.partition, up_to=end)
            return {}
        return polled

    # The brokers

    def _open(self) -> KafkaConsumer:
        self._topic_id, self._unsent = self._find_or_make(), None
        # What is not announced within the retention is not worth a repeat; doubled and reordered hints do no harm.
        self._producer = self._kafka.producer(enable_idempotence=False, acks=1, linger_ms=5, max_block_ms=LAST_MS)
        self._consumer = self._kafka.consumer(ROLE, enable_auto_commit=True, max_poll_records=AT_ONCE)
        self._consumer.subscribe([self._topic])
        now = self._uptime()
        self._member_at, self._next_look = now, now + LOOK_SECONDS
        log.info("hints.opened", topic=self._topic, group=self._kafka.group(ROLE))
        return self._consumer

    def _look(self, consumer: KafkaConsumer) -> None:
        """A topic that is gone or another one, and a group that does not let us in: open all anew."""
        now = self._uptime()
        self._next_look = now + LOOK_SECONDS
        if self._find() != self._topic_id:
            log.warning("hints.topic-made-anew", topic=self._topic)
            self.close()
        elif consumer.group_metadata().state == MemberState.STABLE:
            self._member_at = now
        elif now - self._member_at > STUCK_SECONDS:
            log.warning("hints.group-not-joined", group=self._kafka.group(ROLE), seconds=round(now - self._member_at))
            self.close()

    def _find_or_make(self) -> str:
        found = self._find()
        if found is not None:
            return found
        self._kafka.make_topic(self._topic, cleanup_policy="delete", retention_ms=str(KEEP_MS))
        deadline = self._uptime() + APPEARS_SECONDS
        while (found := self._find()) is None:
            if self._uptime() > deadline:
                raise KafkaError(f"the topic {self._topic} was made, but does not appear")
            time.sleep(0.1)
        return found

    def _find(self) -> str | None:
        """Kafka's id of the topic; None when there is no such topic."""
        with closing(self._kafka.admin()) as admin:
            (described,) = admin.describe_topics([self._topic])
        return None if described["error_code"] or not described["partitions"] else str(described["topic_id"])


def open_hint_carrier(
    hints: DeliveryHints, settings: KafkaSettings, metrics: Metrics, *, process: str | None = None
) -> HintCarrier:
    """The worker that carries these hints. `process` names this process to the brokers."""
    return HintCarrier(hints, Kafka(settings, process or f"{ROLE}-{socket.gethostname()}-{os.getpid()}"), metrics)
