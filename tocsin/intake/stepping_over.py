"""Stepping over messages that cannot be read: a person's decision, for messages that nothing brings back.

What is stepped over is lost to this installation, unless its sender sends it again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import structlog
from kafka import KafkaConsumer, TopicPartition
from sqlalchemy import Engine

from incidents.clock import Clock
from incidents.errors import InvalidInput, NotFound
from tocsin.intake.consumer import ROLE
from tocsin.intake.offsets import Partition, step_over, stored_offsets
from tocsin.kafka import Kafka, is_unreadable

log = structlog.get_logger(__name__)

ANSWER_MS = 5_000
"""How long one look at the next messages may take."""

Progress = Callable[[int], None]
"""Told each place that cannot be read either."""


@dataclass(frozen=True, slots=True)
class SteppedOver:
    """What will not be read."""

    partition: Partition
    first: int
    """The first message that is passed over."""
    next_offset: int
    """Where reading goes on."""

    @property
    def messages(self) -> int:
        """At most so many: numbers may be missing in between."""
        return self.next_offset - self.first


def step_over_unreadable(
    kafka: Kafka,
    engine: Engine,
    clock: Clock,
    partition: Partition,
    *,
    to: int | None = None,
    by: str,
    progress: Progress = lambda _offset: None,
) -> SteppedOver:
    """Let reading go on at the next message that can be read, or at `to`. The processes that take alerts in notice it
    by themselves, within seconds.

    InvalidInput when what comes next can be read (without `to`) or `to` is not ahead; NotFound for a partition that
    nobody has read yet; Conflict when somebody put it forward meanwhile; KafkaError when the brokers do not answer.
    """
    group = kafka.group(ROLE)
    found = [one for one in stored_offsets(engine) if one.group == group and one.partition == partition]
    if not found:
        raise NotFound(
            f"Nobody has taken over partition {partition.partition} of {partition.topic[:120]!r} yet; "
            "`tocsin alert offsets` lists those that are read.",
            field="topic",
        )
    place = TopicPartition(*partition)
    with closing(kafka.consumer(None, max_poll_records=1)) as consumer:
        consumer.assign([place])
        oldest = consumer.beginning_offsets([place], timeout_ms=ANSWER_MS)[place]
        end = consumer.end_offsets([place], timeout_ms=ANSWER_MS)[place]
        first = max(oldest, found[0].next_offset or 0)
        if to is None:
            to = _next_readable(consumer, place, first, end, progress)
    if not first < to <= end:
        raise InvalidInput(f"Reading goes on at {first}, and the messages end before {end}.", field="to")
    step_over(engine, clock, group, partition, seen=found[0].next_offset, to=to, holder=by[:120])
    log.warning("alerts.stepped-over", **partition._asdict(), first=first, next_offset=to, by=by)
    return SteppedOver(partition, first, to)


def _next_readable(consumer: KafkaConsumer, place: TopicPartition, first: int, end: int, progress: Progress) -> int:
    for offset in range(first, end):
        if _can_be_read(consumer, place, offset):
            if offset == first:
                raise InvalidInput(
                    f"The message at {first} can be read, so there is nothing to step over. If it is to be passed over "
                    "all the same, say where to go on (--to).",
                    field="to",
                )
            return offset
        progress(offset)
    return end


def _can_be_read(consumer: KafkaConsumer, place: TopicPartition, offset: int) -> bool:
    consumer.seek(place, offset)  # which also lets go of what failed before
    try:
        # Where the messages of a place are not given at all, the brokers' answer is empty or an error of theirs.
        return bool(consumer.poll(timeout_ms=ANSWER_MS, max_records=1))
    except Exception as error:
        if not is_unreadable(error):
            raise
        return False
