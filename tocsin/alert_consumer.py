"""The worker that takes alerts in from Kafka, built from the services."""

from __future__ import annotations

import os
import socket
import threading
from typing import Protocol

from sqlalchemy import Engine

from incidents.alerts.batch import BatchIntake
from incidents.alerts.intake import AlertIntake
from incidents.clock import Clock
from incidents.record import Record
from incidents.record.follower import PASSING
from tocsin.intake.consumer import ROLE, WORKER, AlertConsumer
from tocsin.intake.dead_letters import DeadLetters
from tocsin.intake.messages import Reader
from tocsin.intake.offsets import Offsets
from tocsin.kafka import Kafka
from tocsin.kafka_worker import KafkaWorker
from tocsin.observability.metrics import Metrics
from tocsin.settings import Settings
from tocsin.workers import FAILURES_IN_A_ROW

ANEW_AFTER = 3
"""Failures in a row, not of the database, after which the connection to Kafka is made anew."""


class Parts(Protocol):
    """What is needed of the services."""

    @property
    def settings(self) -> Settings: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def record(self) -> Record: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def intake(self) -> AlertIntake: ...


class AlertConsumerWorker(KafkaWorker):
    """Runs a consumer in a thread until it is told to stop."""

    name = WORKER
    lines = "alerts"
    without = "Kafka does not give alerts"

    def __init__(self, consumer: AlertConsumer, metrics: Metrics) -> None:
        super().__init__(metrics)
        self._consumer = consumer

    def run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                try:
                    self._consumer.turn()
                except Exception as error:  # noqa: BLE001 - logged; the same messages come again, nothing is passed over
                    self.failed(error)
                    if self.failures % ANEW_AFTER == 0 and not isinstance(error, PASSING):
                        self._consumer.close()
                    self._consumer.hold(self.pause, stop)
                else:
                    self.succeeded()
        finally:
            self._consumer.close()

    def succeeded(self) -> None:
        """A turn went well, with all partitions or with those that can be read."""
        if (fault := self._consumer.fault()) is None:
            super().succeeded()
        else:
            # It does not mend by itself: readiness is to say so at once.
            self.failures, self._fault = FAILURES_IN_A_ROW, fault


def open_alert_consumer(services: Parts, *, process: str | None = None) -> AlertConsumerWorker:
    """The worker that takes in alerts from the topics `<prefix>.alerts.*`. Any number of processes may run one.

    `process` names this process to the brokers and in the table of offsets. InvalidInput when no Kafka is set.
    """
    return AlertConsumerWorker(build_consumer(services, process=process), services.metrics)


def build_consumer(services: Parts, *, process: str | None = None) -> AlertConsumer:
    """The same without the worker around it."""
    process = process or f"{ROLE}-{socket.gethostname()}-{os.getpid()}"
    kafka = Kafka(services.settings.kafka, process)
    intake = BatchIntake(services.intake.decider)
    return AlertConsumer(
        kafka,
        record=services.record,
        engine=services.engine,
        clock=services.clock,
        intake=intake,
        reader=Reader(kafka.topics, intake),
        offsets=Offsets(services.engine, services.clock, kafka.group(ROLE), process),
        dead_letters=DeadLetters(kafka, services.clock, largest=services.settings.intake.max_bytes),
        metrics=services.metrics,
        batch=services.settings.kafka.batch_alerts,
    )
