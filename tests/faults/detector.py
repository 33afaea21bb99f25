"""A detector that gives its alerts to Kafka, tries each until it is taken, and knows what it sent."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

from kafka import KafkaProducer
from kafka.errors import KafkaError, TopicAlreadyExistsError

from incidents.alerts.events import AlertReceived
from incidents.record import Record
from tests.faults.installation import Installation
from tests.incidents.alerts.samples import wazuh
from tests.world import wait_for
from tocsin.kafka import Kafka
from tocsin.settings_kafka import KafkaSettings

PARTITIONS = 4
MURMUR = "one of many that tell nothing"


class Detector:
    """One detector. As a block: it also murmurs all the while, alerts that declare no incident, some of them twice."""

    def __init__(self, installation: Installation, *, every: float = 0.1) -> None:
        self._topic = installation.topics.alerts("wazuh")
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._murmur, name="detector", daemon=True)
        self.murmured = 0
        settings = KafkaSettings(bootstrap_servers=(installation.bootstrap,), topic_prefix=installation.prefix)
        self._kafka = Kafka(settings, "detector")
        with suppress(TopicAlreadyExistsError):
            self._kafka.make_topic(self._topic, partitions=PARTITIONS)
        self._producer: KafkaProducer = self._kafka.producer()

    def send(self, alerts: Iterable[bytes], *, key: bytes | None = None) -> None:
        """Send these, and wait until they are there."""
        for future in [self._producer.send(self._topic, alert, key=key) for alert in alerts]:
            future.get(timeout=60)

    def check(self, record: Record) -> None:
        """Every alert that was murmured has its effect once."""
        wanted = {f"{MURMUR}: {number}" for number in range(self.murmured)}
        wait_for(lambda: True if _received(record).keys() >= wanted else None, "all alerts to be taken in")
        times = _received(record)
        assert {title for title in times if title.startswith(MURMUR)} == wanted
        assert max(times.values()) == 1, "an alert was received twice"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        with suppress(KafkaError):
            self._producer.close(timeout=10)

    def _murmur(self) -> None:
        while not self._stop.wait(self._every):
            number = self.murmured
            title, agent = f"{MURMUR}: {number}", f"{number % 7:03d}"
            alert = wazuh(id=f"17960{number:05d}.1", rule__level=3, rule__description=title, agent__id=agent)
            value = json.dumps(alert).encode()
            self.send([value, value] if number % 5 == 0 else [value], key=agent.encode())
            self.murmured += 1


def _received(record: Record) -> Counter[str]:
    events = record.read(0, 1_000_000, kinds=[AlertReceived.kind])
    return Counter(r.event.alert.title for r in events if isinstance(r.event, AlertReceived))
