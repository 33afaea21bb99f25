"""The topic that events go to: made where it is missing, looked at again and again, because Kafka may be wiped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import structlog
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaTimeoutError

from incidents.errors import TocsinError
from tocsin.kafka import Kafka
from tocsin.settings_kafka import RelaySettings

log = structlog.get_logger(__name__)

DAY_MS = 86_400_000
APPEARS_SECONDS = 10.0
"""How long a topic may take from being made to being seen."""


class TopicUnfit(TocsinError):
    """The topic is there, but would lose events."""

    code = "topic-unfit"
    title = "The topic would lose events"


@dataclass(frozen=True, slots=True)
class TopicState:
    """What a look found."""

    topic_id: str
    """Kafka's own id; another after the topic was deleted and made again."""
    ends: Mapping[int, int]
    """Partition to the offset that its next message gets."""


class EventTopic:
    """One topic, on the brokers of the settings."""

    def __init__(self, kafka: Kafka, settings: RelaySettings) -> None:
        self._kafka = kafka
        self._settings = settings
        self.name = kafka.topics.events

    def look(self) -> TopicState:
        """Its state; it is made first where it is missing. KafkaError when the brokers do not answer, TopicUnfit when
        it must not be used as it is."""
        deadline = time.monotonic() + APPEARS_SECONDS
        while True:
            with closing(self._kafka.admin()) as admin:
                found = self._find(admin)
                if found is not None:
                    return found
            self._make()
            if time.monotonic() > deadline:
                raise KafkaTimeoutError(f"the topic {self.name} was made, but does not appear")
            time.sleep(0.1)

    def _find(self, admin: Any) -> TopicState | None:
        (described,) = admin.describe_topics([self.name])
        if described["error_code"] or not described["partitions"] or not described["topic_id"]:
            return None
        partitions = [TopicPartition(self.name, part["partition_index"]) for part in described["partitions"]]
        self._check(admin)
        ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        return TopicState(str(described["topic_id"]), {part.partition: end.offset for part, end in ends.items()})

    def _check(self, admin: Any) -> None:
        described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, self.name)], config_filter="all")
        policy = described["topic"][self.name]["cleanup.policy"]["value"]
        if "compact" in policy:
            raise TopicUnfit(
                f"The topic {self.name} has cleanup.policy={policy}: Kafka would keep the last event of each incident "
                "only. Set it to `delete`, then `tocsin relay reset --from 0`."
            )

    def _make(self) -> None:
        days = self._settings.retention_days
        made = self._kafka.make_topic(
            self.name,
            cleanup_policy="delete",
            retention_ms=str(days * DAY_MS) if days else "-1",
            retention_bytes="-1",
            max_message_bytes=str(self._settings.max_event_bytes),
            message_timestamp_type="CreateTime",
        )
        if made:
            log.info("relay.topic-made", topic=self.name, retention_days=days or None)
