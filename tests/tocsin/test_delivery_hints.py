"""Hints over a real broker: they spread over members, and nothing that stands in the topic does harm."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from notifier.deliveries import BatchRef
from tests.ports import free_port
from tests.servers import kafka
from tests.world import PATIENCE, wait_for
from tocsin.delivery_hints import AT_ONCE, MOST_ARRIVED, MOST_LEAVING, DeliveryHints, HintCarrier, read, written
from tocsin.kafka import Kafka
from tocsin.observability.metrics import Metrics
from tocsin.settings_kafka import KafkaSettings

CAMPAIGN = UUID("0d9c1a4e-6f0e-4f4a-9d55-8f6f1f0a7b01")

NONSENSE = (
    None,
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b'{"campaign": "x", "batch": 1}',
    b'{"campaign": "%s"}' % str(CAMPAIGN).encode(),
    b'{"campaign": "%s", "batch": 0}' % str(CAMPAIGN).encode(),
    b'{"campaign": "%s", "batch": true}' % str(CAMPAIGN).encode(),
    b'{"campaign": "%s", "batch": "1"}' % str(CAMPAIGN).encode(),
    b'{"campaign": "%s", "batch": 1.5}' % str(CAMPAIGN).encode(),
    b'{"campaign": "%s", "batch": 2147483648}' % str(CAMPAIGN).encode(),
    b'{"campaign": "%s", "batch": 1, "phone": "+15005550006"}' % str(CAMPAIGN).encode(),
    b" " * 100_000,
    b"[" * 100_000,
)
"""What others might put into our topic. (No database takes a number beyond 2^31-1 for a batch.)"""


def refs(count: int, start: int = 1) -> list[BatchRef]:
    return [BatchRef(CAMPAIGN, number) for number in range(start, start + count)]


def settings(bootstrap: str, prefix: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=(bootstrap,), topic_prefix=prefix, group_prefix=prefix, partitions=4)


@dataclass
class Member:
    """One notifier's end, and what came to it so far."""

    hints: DeliveryHints
    carrier: HintCarrier
    came: list[BatchRef] = field(default_factory=list)

    def take(self) -> list[BatchRef]:
        while (ref := self.hints.next()) is not None:
            self.came.append(ref)
        return self.came


@contextmanager
def member(bootstrap: str, prefix: str) -> Iterator[Member]:
    hints, stop = DeliveryHints(), threading.Event()
    carrier = HintCarrier(hints, Kafka(settings(bootstrap, prefix), "test"), Metrics())
    thread = threading.Thread(target=carrier.run, args=(stop,))
    thread.start()
    try:
        yield Member(hints, carrier)
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "it did not stop"


@pytest.fixture
def prefix() -> str:
    return f"t{uuid4().hex[:12]}"


def test_a_message_names_a_batch_and_nothing_else() -> None:
    ref = BatchRef(CAMPAIGN, 7)
    assert read(written(ref)) == ref
    assert written(ref) == b'{"campaign": "0d9c1a4e-6f0e-4f4a-9d55-8f6f1f0a7b01", "batch": 7}'


@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: repr(value)[:40])
def test_nonsense_is_no_hint(value: bytes | None) -> None:
    assert read(value) is None


@pytest.mark.slow
def test_without_brokers_publishing_returns_at_once_and_forgets_the_oldest() -> None:
    hints, stop = DeliveryHints(), threading.Event()
    carrier = HintCarrier(hints, Kafka(settings(f"127.0.0.1:{free_port()}", "t"), "test"), Metrics())
    thread = threading.Thread(target=carrier.run, args=(stop,))
    thread.start()
    began = time.monotonic()
    hints.publish(refs(MOST_LEAVING + 10))
    assert hints.next() is None
    assert time.monotonic() - began < PATIENCE, "no time at all, where a broker would be waited for for each"
    assert hints.leaving[0].number == 11
    assert len(hints.leaving) == MOST_LEAVING
    stop.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.mark.slow
def test_hints_spread_over_the_members_of_the_group(prefix: str) -> None:
    with member(kafka(), prefix) as one, member(kafka(), prefix) as other:
        number = 0

        def both() -> bool | None:
            """Whether both get some, once the group is in order."""
            nonlocal number
            number += 4
            one.hints.publish(refs(4, start=10_000 + number))
            return True if one.take() and other.take() else None

        wait_for(both, "both to be members")
        one.hints.publish(refs(40))
        other.hints.publish(refs(40, start=41))

        wanted = set(refs(80))
        wait_for(lambda: wanted <= {*one.take(), *other.take()} or None, "all to arrive")
        first, second = wanted.intersection(one.came), wanted.intersection(other.came)
        assert not first & second, "each hint goes to one member"
        assert min(len(first), len(second)) >= 20


@pytest.mark.slow
def test_nonsense_in_the_topic_does_no_harm(prefix: str) -> None:
    with member(kafka(), prefix) as one:
        one.hints.publish(refs(1))
        wait_for(lambda: one.take() or None, "the first hint")
        client = Kafka(settings(kafka(), prefix), "stranger")
        with closing(client.producer()) as stranger:
            sent = [
                stranger.send(client.topics.deliveries, value, key=b"k")
                for value in (*NONSENSE, written(refs(2)[1])) * 2
            ]
            for future in sent:
                future.get(PATIENCE)
        one.hints.publish(refs(1, start=3))

        wait_for(lambda: True if refs(1, start=3)[0] in one.take() else None, "the hint behind the nonsense")
        wait_for(lambda: True if one.take().count(refs(2)[1]) == 2 else None, "the doubled hint, twice")
        assert set(one.came) == set(refs(3))
        assert one.carrier.failures == 0


@pytest.mark.slow
def test_what_nobody_has_time_for_stays_with_kafka_for_members_that_come_later(prefix: str) -> None:
    with ExitStack() as stack:
        one = stack.enter_context(member(kafka(), prefix))
        one.hints.publish(refs(4 * MOST_ARRIVED))
        wait_for(lambda: True if len(one.hints.arrived) >= MOST_ARRIVED else None, "it to be full")
        assert len(one.hints.arrived) < MOST_ARRIVED + AT_ONCE
        other = stack.enter_context(member(kafka(), prefix))

        wait_for(lambda: True if len(other.take()) > MOST_ARRIVED // 2 else None, "the other to get a share")
        wait_for(lambda: {*one.take(), *other.take()} >= set(refs(4 * MOST_ARRIVED)) or None, "all to arrive")
