"""The worker that publishes events to Kafka, built from the services; and how far it is behind."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog
from sqlalchemy import Engine

from incidents.clock import Clock
from incidents.errors import TocsinError
from incidents.record import Record
from tocsin.kafka import Kafka, KafkaError
from tocsin.kafka_worker import KafkaWorker
from tocsin.observability.measured import Labels
from tocsin.observability.metrics import Metrics
from tocsin.observability.propagation import trace_of
from tocsin.relay.cloud_events import CloudEvents, Mode, recorded_at
from tocsin.relay.outlet import Interrupted, Outlet
from tocsin.relay.positions import Position, Positions
from tocsin.relay.relay import EventRelay
from tocsin.relay.topic import EventTopic
from tocsin.settings import Settings

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.25
"""How long events may wait that nobody wakes it for."""


class Parts(Protocol):
    """What the relay needs of the services."""

    @property
    def settings(self) -> Settings: ...

    @property
    def record(self) -> Record: ...

    @property
    def engine(self) -> Engine: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def metrics(self) -> Metrics: ...


class RelayWorker(KafkaWorker):
    """Runs a relay in a thread until it is told to stop."""

    name = "event-relay"
    lines = "relay"
    without = "Kafka does not take events"
    brokers_faults = (KafkaError, OSError)

    def __init__(self, relay: EventRelay, metrics: Metrics, *, poll_seconds: float = POLL_SECONDS) -> None:
        super().__init__(metrics)
        self._relay = relay
        self._poll_seconds = poll_seconds
        self._something_new = threading.Event()

    def wake(self) -> None:
        self._something_new.set()

    def run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self._something_new.clear()
                if self._turns(stop):
                    self._something_new.wait(self._poll_seconds)
                else:
                    stop.wait(self.pause)
        finally:
            self._relay.close()

    def _turns(self, stop: threading.Event) -> bool:
        """Publish until nothing is left. False when something failed."""
        try:
            while not stop.is_set() and self._relay.run_once(stop):
                self.succeeded()
        except Interrupted:
            log.info("relay.interrupted")  # the batch is sent again after the next start
        except Exception as error:  # noqa: BLE001 - nothing is passed over: it is logged, and the same events tried again
            self.failed(error)
            return False
        self.succeeded()
        return True

    def say(self, error: Exception) -> str:
        """As all do; but what the record itself says goes to people as it is, because the relay waits for them."""
        if isinstance(error, TocsinError):
            log.error("relay.waits", reason=error.detail)
            return error.detail
        return super().say(error)


def open_event_relay(
    services: Parts,
    *,
    holds: Callable[[], bool] = lambda: True,
    process: str | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> RelayWorker:
    """The worker that publishes every event of the record to `<prefix>.events`.

    `holds` says whether this process may do it now; two that do at once repeat each other and lose nothing. `process`
    names this process to the brokers. InvalidInput when no Kafka is set.
    """
    relay = build_relay(services, holds=holds, process=process)
    return RelayWorker(relay, services.metrics, poll_seconds=poll_seconds)


def build_relay(services: Parts, *, holds: Callable[[], bool] = lambda: True, process: str | None = None) -> EventRelay:
    """The same without the worker around it."""
    settings = services.settings
    kafka = Kafka(settings.kafka, process or f"relay-{socket.gethostname()}-{os.getpid()}")
    topic = EventTopic(kafka, settings.relay)
    compression = None if settings.relay.compression == "none" else settings.relay.compression
    return EventRelay(
        services.record,
        Positions(services.engine, services.clock, topic.name),
        cloud_events(services.record, settings),
        look=topic.look,
        connect=partial(Outlet, kafka, topic.name, compression=compression),
        replay_when_wiped=settings.relay.when_wiped == "replay",
        holds=holds,
    )


def cloud_events(record: Record, settings: Settings) -> CloudEvents:
    """How this installation writes its events."""
    source, mode = settings.relay.source or settings.public_url, Mode(settings.relay.mode)
    return CloudEvents(record.registry, source, mode=mode, trace_of=trace_of(settings.traces))


@dataclass(frozen=True, slots=True)
class RelayLag:
    """How far a topic is behind the record."""

    topic: str
    position: int
    head: int
    saved_at: datetime | None
    """When it was last put forward; None when it never was."""
    seconds: float
    """How long the oldest unpublished event has been on record."""

    @property
    def behind(self) -> int:
        """Positions that are not published yet (positions may have gaps)."""
        return max(0, self.head - self.position)


def relay_lag(services: Parts) -> RelayLag:
    """How far the relay is behind, from the database alone: it is known even where no relay runs."""
    positions = Positions(services.engine, services.clock, Kafka(services.settings.kafka, "status").topics.events)
    found: Position | None = positions.find()
    position, record = found.position if found else 0, services.record
    waiting = record.recorder.select_notifications(start=position, limit=1, inclusive_of_start=False)
    seconds = (services.clock.now() - recorded_at(waiting[0])).total_seconds() if waiting else 0.0
    saved_at = found.saved_at if found else None
    return RelayLag(positions.topic, position, record.head(), saved_at, max(0.0, seconds))


def measure_relay(services: Parts) -> Mapping[str, Mapping[Labels, float]]:
    """The lag as gauges."""
    lag = relay_lag(services)
    return {"tocsin_relay_lag_events": {(): lag.behind}, "tocsin_relay_lag_seconds": {(): lag.seconds}}
