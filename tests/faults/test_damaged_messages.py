"""A broker's disk gives back other bytes than were written: alerts behind them wait for a person, all others do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.record import MemoryRecords
from structlog.testing import capture_logs

from incidents.clock import SystemClock
from incidents.errors import InvalidInput, NotFound
from tests.faults.test_kafka_alerts import running
from tests.servers import KafkaBroker, fresh_database, own_kafka
from tests.tocsin.intake.installation import Installation, alert, installation, titles
from tests.tocsin.test_delivery_hints import Member, member, refs, settings
from tests.world import wait_for
from tocsin.intake import consumer as consuming
from tocsin.intake.offsets import Partition
from tocsin.intake.stepping_over import SteppedOver, step_over_unreadable
from tocsin.kafka import Kafka
from tocsin.workers import FAILURES_IN_A_ROW

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def batches(segment: Path) -> list[tuple[int, int, int]]:
    """Where each batch of a partition begins in its file, its length, and the number of its first message."""
    records, begin, found = MemoryRecords(segment.read_bytes()), 0, []
    for batch in records:
        found.append((begin, batch.size_in_bytes, batch.base_offset))
        begin += batch.size_in_bytes
    return found


def damage(segment: Path, message: int) -> None:
    """Let one byte at the end of the batch that begins with this message be another."""
    begin, length, _ = next(batch for batch in batches(segment) if batch[2] == message)
    content = bytearray(segment.read_bytes())
    content[begin + length - 20] ^= 0xFF
    segment.write_bytes(content)


@contextmanager
def house(tmp_path: Path) -> Iterator[tuple[KafkaBroker, Installation]]:
    with ExitStack() as stack:
        broker = stack.enter_context(own_kafka(tmp_path / "kafka"))
        url = stack.enter_context(fresh_database("sqlite", tmp_path))
        yield broker, stack.enter_context(installation(url, broker.bootstrap))


def step_over(here: Installation, partition: Partition, **more: Any) -> SteppedOver:
    return step_over_unreadable(here.kafka, here.engine, SystemClock(), partition, by="step-over:test", **more)


def test_damaged_alerts_stop_their_partition_only_and_can_be_stepped_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "LOOK_SECONDS", 0.3)
    with house(tmp_path) as (broker, here):
        torn = Partition(here.kafka.topics.alerts("wazuh.torn"), 0)
        for first in range(0, 20, 5):  # a batch each
            here.send([alert(number) for number in range(first, first + 5)], topic="wazuh.torn")
        here.send([alert(100)])
        broker.stop()
        begins = [first for _, _, first in batches(broker.segment(torn.topic))]
        spoilt = next(first for first in begins if first >= 5)
        after = next(first for first in begins if first > spoilt)
        damage(broker.segment(torn.topic), spoilt)
        broker.start()

        with capture_logs() as said, running(here) as worker:
            wait_for(worker.fault, "it to be said")
            here.send([alert(101)])
            readable = titles([*range(spoilt), 100, 101])
            wait_for(lambda: here.received() == readable or None, "what is before the damage, and the other topic")
            assert f"{torn.topic}-0 from {spoilt} on are damaged" in str(worker.fault())
            assert worker.failures >= FAILURES_IN_A_ROW, "readiness would not say so"
            wait_for(lambda: here.metrics.intake_left_out._value.get() == 1 or None, "the metric")
            wait_for(lambda: here.metrics.intake_lag._value.get() == 20 - spoilt or None, "what waits to be counted")
            told = [line for line in said if line["event"] == "alerts.damaged"]
            assert [(line["log_level"], line["offset"]) for line in told] == [("error", spoilt)]

            done = step_over(here, torn)
            assert (done.first, done.next_offset) == (spoilt, after)
            wait_for(lambda: here.received() == readable | titles(range(after, 20)) or None, "what is behind it")
            wait_for(lambda: worker.fault() is None or None, "readiness")
            wait_for(lambda: here.metrics.intake_left_out._value.get() == 0 or None, "the metric")
        assert here.check_sums().received == readable | titles(range(after, 20))


def test_what_can_be_read_is_stepped_over_only_when_that_is_said(tmp_path: Path) -> None:
    with house(tmp_path) as (_, here), running(here):
        here.send([alert(number) for number in range(5)])
        wait_for(lambda: here.offsets().get(("wazuh", 0)) == 5 or None, "all to be read")
        place = Partition(here.kafka.topics.alerts("wazuh"), 0)

        for to in (None, 5, 6):
            with pytest.raises(InvalidInput):
                step_over(here, place, to=to)
        with pytest.raises(NotFound):
            step_over(here, Partition(place.topic, 7))
        assert here.offsets()[("wazuh", 0)] == 5


def test_hints_go_on_behind_damaged_ones(tmp_path: Path) -> None:
    with own_kafka(tmp_path / "kafka") as broker:
        prefix = f"t{tmp_path.name[-6:].replace('_', '')}"
        with member(broker.bootstrap, prefix) as one:
            announce(one, 1)
        topic = f"{prefix}.deliveries"
        broker.stop()
        for partition in range(4):
            segment = broker.segment(topic, partition)
            content = bytearray(segment.read_bytes())
            for begin, length, _ in batches(segment):
                content[begin + length - 3] ^= 0xFF
            segment.write_bytes(content)
        broker.start()
        begin_at_the_oldest(broker.bootstrap, prefix)
        with member(broker.bootstrap, prefix) as other:
            announce(other, 100)


def announce(one: Member, start: int) -> None:
    """Announce batches until some come back."""
    wanted = set(refs(8, start))

    def came() -> bool | None:
        one.hints.publish(refs(8, start))
        return wanted <= set(one.take()) or None

    wait_for(came, "hints")


def begin_at_the_oldest(bootstrap: str, prefix: str) -> None:
    """Let the group, which has no member at the moment, find the oldest hint next."""
    kafka = Kafka(settings(bootstrap, prefix), "test")
    with closing(kafka.consumer("notifier")) as consumer:
        places = [TopicPartition(kafka.topics.deliveries, number) for number in range(4)]
        consumer.assign(places)
        consumer.commit({place: OffsetAndMetadata(0, "", -1) for place in places}, timeout_ms=20_000)
        assert [consumer.committed(place) for place in places] == [0] * 4
