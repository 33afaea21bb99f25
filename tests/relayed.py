"""What stands in the topic of events, and whether it is all of the record: for every test that disturbs the relay."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from kafka import TopicPartition

from incidents.record import Event, Record
from tocsin.kafka import Kafka
from tocsin.settings_kafka import KafkaSettings

OWN_STREAM = ("alert.", "correlation.")
PAGE = 1_000


@dataclass(frozen=True)
class Relayed:
    """A message of the topic, as its consumer reads it."""

    partition: int
    offset: int
    key: str
    event: Mapping[str, Any]
    """The CloudEvent, in whichever mode it came."""

    @property
    def id(self) -> str:
        return str(self.event["id"])

    @property
    def position(self) -> int:
        return int(self.event["sequence"])


class Reader:
    """Reads a topic from its beginning; asked again, it goes on where it was. A topic that is not there is empty."""

    def __init__(self, bootstrap: str, topic: str, *, isolation: str = "read_committed") -> None:
        self._topic = topic
        self._partitions: list[TopicPartition] = []
        self.found: list[Relayed] = []
        # In pure Python, checking sums is most of the time that reading takes.
        brokers = Kafka(KafkaSettings(bootstrap_servers=(bootstrap,)), "reader")
        self._consumer = brokers.consumer(None, isolation_level=isolation, check_crcs=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._consumer.close()

    def read(self) -> list[Relayed]:
        """Everything up to the present end, each partition in its order."""
        if not self._partitions:
            numbers = self._consumer.partitions_for_topic(self._topic)
            self._partitions = [TopicPartition(self._topic, number) for number in sorted(numbers or ())]
            if self._partitions:
                self._consumer.assign(self._partitions)
                self._consumer.seek_to_beginning(*self._partitions)
        ends = self._consumer.end_offsets(self._partitions) if self._partitions else {}
        while any(self._consumer.position(partition) < end for partition, end in ends.items()):
            for messages in self._consumer.poll(timeout_ms=200, max_records=5_000).values():
                self.found += [_read(message) for message in messages]
        return self.found


def read_topic(bootstrap: str, topic: str, *, isolation: str = "read_committed") -> list[Relayed]:
    """All messages of the topic."""
    with Reader(bootstrap, topic, isolation=isolation) as reader:
        return reader.read()


def _read(message: Any) -> Relayed:
    headers = {name: value.decode() for name, value in message.headers}
    event = json.loads(message.value)
    if not headers["content-type"].startswith("application/cloudevents+json"):
        attributes = {name.removeprefix("ce_"): value for name, value in headers.items() if name.startswith("ce_")}
        event = {**attributes, "datacontenttype": headers["content-type"], "data": event}
    return Relayed(message.partition, message.offset, message.key.decode(), event)


def assert_relayed_completely(record: Record, bootstrap: str, topic: str, *, patience: float = 60.0) -> int:
    """Every event of the record is in the topic: each once or more, none missing, none besides, in order per key.

    Waits up to `patience` seconds for the relay to come so far. Returns the number of repeats.
    """
    wanted = _wanted(record)
    deadline = time.monotonic() + patience
    with Reader(bootstrap, topic) as reader:
        found = reader.read()
        while {one.id for one in found} != wanted.keys() and time.monotonic() < deadline:
            time.sleep(0.2)
            found, wanted = reader.read(), _wanted(record)
    there = {one.id for one in found}
    missing = [name for name in wanted if name not in there]
    assert not missing, f"{len(missing)} of {len(wanted)} events are not in {topic}, first {missing[0]}"
    unknown = [one.id for one in found if one.id not in wanted]
    assert not unknown, f"{topic} has events that nobody recorded: {unknown[:3]}"
    _assert_each_is_itself(found, wanted)
    _assert_in_order(found, wanted)
    return len(found) - len(wanted)


def _wanted(record: Record) -> dict[str, tuple[int, Event]]:
    wanted: dict[str, tuple[int, Event]] = {}
    position = 0
    while page := record.read(position, PAGE):
        for one in page:
            wanted[f"{one.event.originator_id}/{one.event.originator_version}"] = (one.position, one.event)
        position = page[-1].position
    return wanted


def key_of(event: Event) -> str:
    """What orders an event among others."""
    incident = None if event.kind.startswith(OWN_STREAM) else getattr(event, "incident_id", None)
    return str(incident if isinstance(incident, UUID) else event.originator_id)


def _assert_each_is_itself(found: Sequence[Relayed], wanted: Mapping[str, tuple[int, Event]]) -> None:
    streams = {"originator_id", "originator_version"}
    for one in found:
        position, event = wanted[one.id]
        assert one.position == position
        assert one.key == one.event["partitionkey"] == key_of(event)
        assert one.event["type"] == f"tocsin.{event.kind}.v{event.schema_version}"
        assert type(event).model_validate_json(_with_stream(one.event["data"], event)) == event
        assert not streams & set(one.event["data"])


def _with_stream(data: Mapping[str, Any], event: Event) -> str:
    stream = {"originator_id": str(event.originator_id), "originator_version": event.originator_version}
    return json.dumps({**data, **stream})


def _assert_in_order(found: Sequence[Relayed], wanted: Mapping[str, tuple[int, Event]]) -> None:
    """Who skips repeats by their id has, at any moment, read a beginning of what the record has under a key."""
    order: dict[str, list[str]] = defaultdict(list)
    for name, (_, event) in wanted.items():
        order[key_of(event)].append(name)
    read: dict[str, dict[str, None]] = defaultdict(dict)
    partitions: dict[str, set[int]] = defaultdict(set)
    for one in found:
        partitions[one.key].add(one.partition)
        read[one.key][one.id] = None
    for key, names in order.items():
        assert len(partitions[key]) == 1, f"{key} is in several partitions: {partitions[key]}"
        assert list(read[key]) == names, f"events of {key} are out of order"
