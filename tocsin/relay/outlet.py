"""Handing messages to Kafka: a batch is a transaction, so it is there as a whole and in order, or not at all.

Why transactions, and not the idempotent producer alone: when a send fails for good, that producer goes on with what
comes after it, and the failed messages are sent again behind their successors. And a relay that was stopped and goes
on after another took over would still send what it had in hand. A transaction ends both: nothing of it is seen by who
reads committed messages, and the second relay's start fences off the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache

import structlog
from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError
from kafka.partitioner.default import murmur2

from tocsin.kafka import Kafka, close_producer
from tocsin.relay.cloud_events import Message

log = structlog.get_logger(__name__)

PATIENCE = 30.0
"""Seconds a batch may take to be acknowledged before it is given up and sent again."""
_LOOK_UP_SECONDS = 0.5
"""How often a wait looks whether it should go on."""
BATCH_BYTES = 512 * 1024
"""Bytes of one partition that go in one piece. Large pieces compress well and are few."""
LINGER_MS = 5_000
"""How long a piece waits to become larger. Long, because the end of a batch sends whatever there is."""
_TRANSACTION_MS = 60_000
"""After so long the brokers end a transaction whose relay died; until then readers of committed messages wait."""


class Interrupted(Exception):
    """The process is to stop; the batch was given up, and is sent again later."""


class Outlet:
    """A connection to the brokers, good until the first error; then `close` it and open another."""

    def __init__(self, kafka: Kafka, topic: str, *, compression: str | None) -> None:
        """KafkaError when the brokers do not answer. Fences off every relay that was there before."""
        self._topic = topic
        self._producer: KafkaProducer = kafka.producer(
            transactional_id=f"{topic}.relay",
            transaction_timeout_ms=_TRANSACTION_MS,
            compression_type=compression,
            batch_size=BATCH_BYTES,
            linger_ms=LINGER_MS,
            retry_backoff_ms=20,  # a transaction often has to ask again until the one before it is finished
            delivery_timeout_ms=int(PATIENCE * 1000),
        )
        try:
            self._producer.init_transactions()
            self._partition_of = _partitioner(len(self._producer.partitions_for(topic)))
        except BaseException:
            self.close()
            raise

    def send(self, messages: Iterable[Message], stopping: Callable[[], bool]) -> dict[int, int]:
        """Send them all and wait until they are committed. Returns where the partitions written to end now.

        KafkaError when anything was not acknowledged (all of it, some, or none may be there), Interrupted when
        `stopping` says so meanwhile.
        """
        producer, topic, deadline = self._producer, self._topic, time.monotonic() + PATIENCE
        producer.begin_transaction()
        sent = [
            producer.send(topic, one.value, one.key, one.headers, partition=self._partition_of(one.key))
            for one in messages
        ]
        _wait(self._flushed, deadline, stopping)
        ends: dict[int, int] = {}
        for future in sent:
            written = future.get(0)  # raises what went wrong
            ends[written.partition] = max(written.offset + 1, ends.get(written.partition, 0))
        # The library's own `commit_transaction` waits without end, which a worker that is told to stop cannot.
        committed = producer._transaction_manager.begin_commit()
        producer._sender.wakeup()
        _wait(lambda: bool(committed.wait(_LOOK_UP_SECONDS * 1000)), deadline, stopping)
        return ends

    def _flushed(self) -> bool:
        with suppress(KafkaTimeoutError):
            self._producer.flush(_LOOK_UP_SECONDS)
            return True
        return False

    def close(self) -> None:
        """Let go at once; what is not committed is dropped by the brokers."""
        unsent = close_producer(self._producer, 0)
        if unsent is not None:
            log.info("relay.gave-up-batch", reason=type(unsent).__name__)


def _partitioner(partitions: int) -> Callable[[bytes], int]:
    """Which partition a key goes to: the one that Kafka's own clients choose. Remembered, because murmur2 in Python is
    slow, and the keys of a batch are few."""
    return lru_cache(maxsize=50_000)(lambda key: (murmur2(key) & 0x7FFFFFFF) % partitions)


def _wait(done: Callable[[], bool], deadline: float, stopping: Callable[[], bool]) -> None:
    while not done():
        if stopping():
            raise Interrupted
        if time.monotonic() > deadline:
            raise KafkaTimeoutError(f"the brokers did not acknowledge within {PATIENCE:.0f} s")
