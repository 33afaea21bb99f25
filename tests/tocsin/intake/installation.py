"""An intake of its own over a fresh database and topics of its own in a real broker."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine

from incidents.alerts.events import EVENTS as ALERT_EVENTS
from incidents.alerts.events import AlertRaised, AlertReceived, CorrelationOpened
from incidents.alerts.intake import AlertIntake, IntakeSettings
from incidents.alerts.tables import SqlFindingsStore, findings
from incidents.clock import Clock, SystemClock
from incidents.incident.events import EVENTS as INCIDENT_EVENTS
from incidents.incident.events import AlertLinked, IncidentReported
from incidents.record import Record, Registry, open_record
from incidents.record.database import metadata, open_engine, writing
from tests.incidents.alerts.samples import wazuh
from tocsin.alert_consumer import build_consumer
from tocsin.intake.consumer import AlertConsumer
from tocsin.intake.offsets import stored_offsets
from tocsin.intake.tables import kafka_offsets
from tocsin.kafka import Headers, Kafka
from tocsin.observability.metrics import Metrics
from tocsin.settings import Settings
from tocsin.settings_kafka import KafkaSettings

MASTER_KEY = "k1:BwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSY="
PATIENCE = 60.0
AS_BROKERS_PLEASE = -1
"""So many partitions as brokers give a topic that nobody says a number for."""


@dataclass
class Installation:
    """What the consumer needs of the services, and what tests ask of it."""

    settings: Settings
    engine: Engine
    record: Record
    clock: Clock
    intake: AlertIntake
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def kafka(self) -> Kafka:
        return Kafka(self.settings.kafka, "test")

    def consumer(self, name: str | None = None) -> AlertConsumer:
        """One more member of the group; nothing is opened yet."""
        return build_consumer(self, process=name or f"test-{uuid4().hex[:8]}")

    def send(
        self,
        values: Iterable[bytes | None],
        *,
        topic: str = "wazuh",
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> None:
        """Put messages into a topic of alerts, which is made if need be, and wait until they are there."""
        name = self.kafka.topics.alerts(topic)
        self.kafka.make_topic(name, partitions=AS_BROKERS_PLEASE)
        producer = self.kafka.producer()
        try:
            sent = [
                producer.send(name, value=value, key=key, headers=headers or [], partition=partition)
                for value in values
            ]
            for one in sent:
                one.get(timeout=PATIENCE)
        finally:
            producer.close(timeout=PATIENCE)

    def events(self) -> list[Any]:
        return [recorded.event for recorded in self.record.read(0, 1_000_000)]

    def offsets(self) -> dict[tuple[str, int], int | None]:
        """How far each partition is, by the last part of its topic's name."""
        topics = self.kafka.topics
        return {
            (topics.source_of(one.partition.topic), one.partition.partition): one.next_offset
            for one in stored_offsets(self.engine)
        }

    def received(self) -> set[str]:
        """Titles of the alerts on record; may be asked while others write."""
        return {event.alert.title for event in self.events() if isinstance(event, AlertReceived)}

    def check_sums(self) -> Alerts:
        """What is on record of alerts, when nobody writes; fails where something happened twice or half."""
        events = self.events()
        received = [event for event in events if isinstance(event, AlertReceived)]
        times = Counter(event.originator_id for event in received)
        assert not times or max(times.values()) == 1, "an alert was received twice"
        assert not [event for event in events if isinstance(event, AlertRaised)]
        declared = {event.incident_id for event in received if event.outcome == "declared"}
        reported = Counter(event.originator_id for event in events if isinstance(event, IncidentReported))
        assert reported == Counter(declared), "incidents and the alerts that declared them do not match"
        opened = {event.incident_id for event in events if isinstance(event, CorrelationOpened)}
        assert opened == declared
        linked = Counter(event.alert.alert_id for event in events if isinstance(event, AlertLinked))
        with_incident = {event.originator_id for event in received if event.incident_id is not None}
        assert linked == Counter(with_incident), "an alert is linked twice, or its incident does not know it"
        with self.engine.connect() as connection:
            kept = {row.alert_id for row in connection.execute(findings.select())}
        assert kept == set(times), "findings and alerts do not match"
        return Alerts(
            received={event.alert.title for event in received},
            order=[event.alert.title for event in received],
            incidents=declared,
        )


@dataclass(frozen=True)
class Alerts:
    """What is on record."""

    received: set[str]
    """Titles."""
    order: list[str]
    """Titles as they were recorded."""
    incidents: set[UUID | None]


@contextmanager
def installation(
    url: str, broker: str, *, prefix: str | None = None, clock: Clock | None = None, **kafka: Any
) -> Iterator[Installation]:
    """An installation on an existing, perhaps used, database."""
    prefix = prefix or f"t{uuid4().hex[:12]}"
    settings = Settings(
        database_url=url,
        vault={"master_keys": MASTER_KEY},  # type: ignore[arg-type]
        kafka=KafkaSettings(bootstrap_servers=(broker,), topic_prefix=prefix, group_prefix=prefix, **kafka),
    )
    engine, clock = open_engine(url), clock or SystemClock()
    with writing(engine) as connection:
        metadata.create_all(connection, tables=[findings, kafka_offsets])
    registry = Registry([*INCIDENT_EVENTS, *ALERT_EVENTS])
    try:
        with open_record(url, registry) as record:
            intake = AlertIntake(record, SqlFindingsStore(engine), clock, IntakeSettings())
            yield Installation(settings, engine, record, clock, intake)
    finally:
        engine.dispose()


def alert(number: int, **changes: Any) -> bytes:
    """An alert that declares an incident of its own, called `alert <number>`."""
    mine = {"id": f"17951{number:05d}.1", "rule__description": f"alert {number}", "agent__id": f"{number:03d}"}
    return json.dumps(wazuh(**{**mine, "rule__groups": ["syslog"], **changes})).encode()


def same_incident(number: int, **changes: Any) -> bytes:
    """An alert that belongs with all others made so."""
    return alert(number, agent__id="001", **changes)


def titles(numbers: Iterable[int]) -> set[str]:
    return {f"alert {number}" for number in numbers}


def turn_until(consumers: Sequence[AlertConsumer], done: Callable[[], bool], what: str) -> None:
    """Let consumers take turns until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, f"waited {PATIENCE:.0f} s for {what}"
        for consumer in consumers:
            consumer.turn()
