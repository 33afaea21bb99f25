"""Events out to Kafka: the relay, from the record to the acknowledged position, against a bare producer that is handed
the finished bytes.

Both talk to one broker, into topics of six partitions, with the same batches and compression, and wait until all is
acknowledged. The bare side has no record to read, no envelope to make, no transaction and no position to save. The
broker is the one that `TOCSIN_TEST_KAFKA` names, else one of this machine's Java.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine

from bench.rounds import Comparison, Skipped, Work, compare
from bench.streams import histories
from incidents.clock import SystemClock
from incidents.record import Record, open_record
from incidents.record.database import open_engine
from tests.kafka.broker import KafkaBroker, NoKafka
from tocsin.event_relay import build_relay, cloud_events
from tocsin.kafka import Kafka
from tocsin.migrations.run import upgrade
from tocsin.observability.metrics import Metrics
from tocsin.relay.cloud_events import Message
from tocsin.relay.outlet import BATCH_BYTES, LINGER_MS
from tocsin.relay.positions import Positions
from tocsin.services import registry
from tocsin.settings import Settings
from tocsin.settings_kafka import KafkaSettings

PARTITIONS = 6
PATIENCE = 300.0
COMMIT = 100
"""Incidents recorded in one transaction."""


@dataclass(frozen=True)
class Installation:
    """What the relay needs of the services; every run has a topic of its own."""

    settings: Settings
    record: Record
    engine: Engine
    clock: SystemClock = field(default_factory=SystemClock)
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def kafka(self) -> Kafka:
        return Kafka(self.settings.kafka, "bench")

    @property
    def positions(self) -> Positions:
        return Positions(self.engine, self.clock, self.kafka.topics.events)


def publish(folder: Path, events: int, runs: int) -> Comparison:
    """A backlog of recorded events, published and noted."""
    bootstrap = broker()
    url = f"sqlite:///{folder / 'kafka-relay.sqlite'}"
    with _recorded(url, events) as (record, engine):

        def fresh() -> Installation:
            kafka = KafkaSettings(bootstrap_servers=(bootstrap,), topic_prefix=f"bench-{uuid4().hex}")
            return Installation(Settings(database_url=url, kafka=kafka), record, engine)

        messages = _messages(fresh())
        return compare(
            f"Kafka: publish {len(messages):,} events",
            aim=0.5,
            ours=lambda _run: _ours(fresh()),
            bare=lambda _run: _bare(fresh(), messages),
            runs=runs,
        )


def _ours(installation: Installation) -> Work:
    relay, positions = build_relay(installation), installation.positions
    positions.advance(positions.load(), installation.record.head() - 1, {})
    relay.run_once()  # connected, topic made
    positions.put_back(0)

    def work() -> int:
        total = 0
        while handled := relay.run_once():
            total += handled
        relay.close()
        return total

    return work


def _bare(installation: Installation, messages: list[Message]) -> Work:
    kafka = installation.kafka
    topic = kafka.topics.events
    kafka.make_topic(topic, partitions=PARTITIONS)
    producer = kafka.producer(compression_type="gzip", batch_size=BATCH_BYTES, linger_ms=LINGER_MS)
    producer.send(topic, value=messages[-1].value, key=messages[-1].key).get(PATIENCE)  # connected

    def work() -> int:
        sent = [producer.send(topic, value=one.value, key=one.key, headers=one.headers) for one in messages]
        producer.flush(PATIENCE)
        acknowledged = sum(future.succeeded() for future in sent)
        producer.close(PATIENCE)
        return acknowledged

    return work


@contextmanager
def _recorded(url: str, events: int) -> Iterator[tuple[Record, Engine]]:
    """A record with so many events, and the tables beside it."""
    engine = open_engine(url)
    try:
        upgrade(engine)
        with open_record(url, registry()) as record:
            waiting = list(histories(events))
            for start in range(0, len(waiting), COMMIT):
                record.commit(*waiting[start : start + COMMIT])
            yield record, engine
    finally:
        engine.dispose()


def _messages(installation: Installation) -> list[Message]:
    made = cloud_events(installation.record, installation.settings)
    rows = installation.record.recorder.select_notifications(start=0, limit=10_000_000, inclusive_of_start=False)
    return [made.message(row) for row in rows]


@cache
def broker() -> str:
    """The address of a broker for measurements. Skipped when none can be run."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    if named := os.environ.get("TOCSIN_TEST_KAFKA"):
        return named
    folder = Path(tempfile.mkdtemp(prefix="tocsin-bench-kafka-"))
    try:
        broker = KafkaBroker(folder)
        broker.start()
    except NoKafka as missing:
        raise Skipped(str(missing)) from missing

    def end() -> None:
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return broker.bootstrap


def main() -> None:
    """Measure this alone: `python -m bench.kafka_relay`."""
    with tempfile.TemporaryDirectory() as folder:
        found = publish(Path(folder), 20_000, 3)
    print(
        f"{found.name}: ours {found.ours.median:,.0f}/s +-{found.ours.spread:.0%}, "
        f"bare {found.bare.median:,.0f}/s +-{found.bare.spread:.0%}, ratio {found.ratio:.2f} (aim {found.aim})"
    )


if __name__ == "__main__":
    main()
