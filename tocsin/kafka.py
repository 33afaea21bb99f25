"""Kafka's clients, made from the settings: nobody else spells kafka-python's configuration.

Topics: `<prefix>.alerts.<dialect or source>` in, `<prefix>.alerts.dead-letter` for what could not be taken in,
`<prefix>.events` out (keyed by incident), `<prefix>.deliveries` for hints. Groups: `<prefix>.<role>`.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from gzip import BadGzipFile
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError, TopicAlreadyExistsError, UnsupportedCodecError
from kafka.net.compat import KafkaNetClient

from incidents.errors import FieldFault, InvalidInput
from tocsin.settings_kafka import KafkaSettings

__all__ = [
    "Headers",
    "Kafka",
    "KafkaError",
    "Topics",
    "close_producer",
    "is_unreadable",
    "place_in_hand",
    "topic_id_of",
]

Made = TypeVar("Made")
Headers = list[tuple[str, bytes]]
"""Headers of a message as kafka-python has them."""

SESSION_MS = 15_000
"""How long a group waits for a member that is silent before it gives its partitions to others."""
LONGEST_BATCH_MS = 120_000
"""Longest time between two polls of a consumer that is not taken for dead. Others wait so long to get a share."""
FIND_TOPICS_MS = 10_000
"""How long a new topic or partition may go unnoticed."""
REQUEST_MS = 20_000
CONNECT_MS = 10_000
"""How long a first connection is tried; the worker tries again after that."""
MOST_BYTES = 32 * 1_048_576
"""Largest request we send; what a topic takes, its brokers say."""


@dataclass(frozen=True)
class Topics:
    """The names of our topics."""

    prefix: str

    def alerts(self, name: str) -> str:
        """Where alerts of a dialect or source come in."""
        return f"{self.prefix}.alerts.{name}"

    @property
    def alerts_pattern(self) -> str:
        """Matches every topic that alerts come in by."""
        return rf"^{re.escape(self.prefix)}\.alerts\.(?!dead-letter$).+$"

    def source_of(self, topic: str) -> str:
        """What follows `<prefix>.alerts.` in a topic's name."""
        return topic.removeprefix(f"{self.prefix}.alerts.")

    @property
    def dead_letter(self) -> str:
        return f"{self.prefix}.alerts.dead-letter"

    @property
    def events(self) -> str:
        return f"{self.prefix}.events"

    @property
    def deliveries(self) -> str:
        return f"{self.prefix}.deliveries"


class Kafka:
    """The brokers of one installation. `process` names this process to them, in their logs and group members."""

    def __init__(self, settings: KafkaSettings, process: str) -> None:
        if not settings.is_set:
            raise InvalidInput("No Kafka is set: `kafka.bootstrap_servers` is empty.", field="kafka.bootstrap_servers")
        self.settings = settings
        self.topics = Topics(settings.topic_prefix)
        self._process = process

    def group(self, role: str) -> str:
        """The consumer group of all workers of a role."""
        return f"{self.settings.group_prefix}.{role}"

    def connection(self) -> dict[str, Any]:
        """What every client is given: addresses, TLS, SASL. InvalidInput for certificates that cannot be read."""
        settings = self.settings
        arguments: dict[str, Any] = {
            "bootstrap_servers": list(settings.bootstrap_servers),
            "client_id": self._process,
            "security_protocol": settings.security_protocol,
            "request_timeout_ms": REQUEST_MS,
            "bootstrap_timeout_ms": CONNECT_MS,
            "reconnect_backoff_max_ms": 2_000,
        }
        if settings.security_protocol.endswith("SSL"):
            arguments["ssl_context"] = self._tls()
        if settings.security_protocol.startswith("SASL_"):
            arguments["sasl_mechanism"] = settings.sasl_mechanism
            arguments["sasl_plain_username"] = settings.sasl_username
            arguments["sasl_plain_password"] = settings.sasl_password.get_secret_value()
        return arguments

    def consumer(self, role: str | None, **more: Any) -> KafkaConsumer:
        """A consumer that never commits by itself and begins at the oldest message. Without a role: of no group.

        KafkaError when no broker answers.
        """
        arguments: dict[str, Any] = {
            "metrics_enabled": False,
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "metadata_max_age_ms": FIND_TOPICS_MS,
            "session_timeout_ms": SESSION_MS,
            "heartbeat_interval_ms": SESSION_MS // 5,
            "max_poll_interval_ms": LONGEST_BATCH_MS,
        }
        group = None if role is None else self.group(role)
        return _made(KafkaConsumer, {**self.connection(), **arguments, "group_id": group, **more})

    def producer(self, **more: Any) -> KafkaProducer:
        """An idempotent producer that waits for all replicas. KafkaError when no broker answers."""
        arguments: dict[str, Any] = {
            "metrics_enabled": False,
            "enable_idempotence": True,
            "acks": "all",
            "max_request_size": MOST_BYTES,
            "max_block_ms": CONNECT_MS,
            "delivery_timeout_ms": 2 * REQUEST_MS,
        }
        return _made(KafkaProducer, {**self.connection(), **arguments, **more})

    def admin(self) -> KafkaAdminClient:
        """An administrator: makes topics. KafkaError when no broker answers."""
        return _made(KafkaAdminClient, self.connection())

    def make_topic(self, name: str, *, partitions: int | None = None, **configuration: str) -> bool:
        """Make a topic unless it is there, with settings such as `retention_ms="-1"`. Returns whether it was made.

        KafkaError when it could not be.
        """
        admin = self.admin()
        try:
            topic = {
                "num_partitions": partitions or self.settings.partitions,
                "replication_factor": self.settings.replication,
                "configs": {key.replace("_", "."): value for key, value in configuration.items()},
            }
            admin.create_topics({name: topic}, timeout_ms=REQUEST_MS)
        except TopicAlreadyExistsError:
            return False
        finally:
            admin.close()
        return True

    def _tls(self) -> ssl.SSLContext:
        settings = self.settings
        try:
            context = ssl.create_default_context(cafile=settings.ca_file)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if settings.certificate_file is not None:
                context.load_cert_chain(settings.certificate_file, settings.key_file)
        except (OSError, ssl.SSLError) as error:
            fault = FieldFault("kafka.ca_file", f"certificates or key cannot be read: {error}")
            raise InvalidInput("Kafka's certificates are not usable.", errors=[fault]) from error
        return context


def _made(client: Callable[..., Made], arguments: dict[str, Any]) -> Made:
    """A client that has no topics made by asking for them; when it cannot be made, nothing of it is left behind.

    kafka-python starts a thread before it tries to connect, and leaves it running when that fails: an outage of a day
    would fill the process with them.
    """
    nets: list[KafkaNetClient] = []

    def net(**configuration: Any) -> KafkaNetClient:
        made = KafkaNetClient(**configuration)
        # A topic that brokers make because somebody asked for it has their number of partitions and keeps what they
        # please. kafka-python 3.0 has a setting for that, which does not reach the place where it counts.
        made.cluster.config["allow_auto_create_topics"] = False
        nets.append(made)
        return made

    try:
        return client(**arguments, kafka_client=net)
    except BaseException:
        for one in nets:
            one.close()
        raise


def close_producer(producer: KafkaProducer, seconds: float) -> KafkaError | None:
    """Let go of a producer, also where something is unsent after so many seconds. Returns what it says of that."""
    try:
        producer.close(timeout=seconds)
    except KafkaError as error:
        # It raises when something is unsent, and leaves its thread running.
        producer._sender.force_close()
        producer._closed = True
        return error
    return None


def place_in_hand(consumer: KafkaConsumer) -> TopicPartition | None:
    """The partition that a consumer was taking messages out of when its poll failed, None when it was at none.

    A consumer that failed in the middle of a partition's messages must be closed: kafka-python would take on from where
    it failed, find nothing, and try again without end.
    """
    in_hand = consumer._fetcher._next_partition_records  # it has no public name
    return None if in_hand is None else in_hand.topic_partition


def is_unreadable(error: Exception) -> bool:
    """Whether reading messages failed because of the messages: damaged, or compressed in a way that cannot be undone.

    Their checksum comes first, so that what fails later was written so. (Python's gzip says it by an OSError.)
    """
    if isinstance(error, CorruptRecordError | UnsupportedCodecError | BadGzipFile):
        return True
    return not isinstance(error, KafkaError | OSError | MemoryError)


def topic_id_of(consumer: KafkaConsumer, topic: str) -> str:
    """Kafka's id of a topic as this consumer last heard of it: a topic that was deleted and made anew has another.
    Empty before it has heard of it, and from brokers older than 2.8."""
    # The consumer's own view is wanted, without a request: an administrator would be told of a newer topic than the
    # one the messages at hand are from. It has no public name.
    found = consumer._cluster.topic_id(topic)
    return str(found) if found else ""
