"""The worker that takes alerts in from Kafka, built from the services."""

from __future__ import annotations

import os
import socket
import threading
from typing import Protocol

import structlog
from kafka.errors import KafkaError
from sqlalchemy import Engine

from incidents.alerts.batch import BatchIntake
from incidents.alerts.intake import AlertIntake
from incidents.clock import Clock
from incidents.record import Record
from incidents.record.follower import PASSING
from tocsin.intake.consumer import ROLE, AlertConsumer
from tocsin.intake.dead_letters import DeadLetters
from tocsin.intake.messages import Reader
from tocsin.intake.offsets import Offsets
from tocsin.kafka import Kafka
from tocsin.observability.metrics import Metrics
from tocsin.settings import Settings
from tocsin.workers import FAILURES_IN_A_ROW

log = structlog.get_logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds after a failure; doubled while it goes on."""

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


class AlertConsumerWorker:
    """Runs a consumer in a thread until it is told to stop."""

    name = "alert-consumer"

    def __init__(self, consumer: AlertConsumer, metrics: Metrics) -> None:
        self._consumer = consumer
        self._metrics = metrics
        self.failures = 0
        self._fault: str | None = None

    def fault(self) -> str | None:
        """Why nothing is taken in at the moment, for readiness; None when all is well."""
        return self._fault

    def wake(self) -> None:
        """Nothing to do: it waits for Kafka, not for the record."""

    def run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                try:
                    self._consumer.turn()
                except Exception as error:  # noqa: BLE001 - logged; the same messages come again, nothing is passed over
                    self._failed(error)
                    if self.failures % ANEW_AFTER == 0 and not isinstance(error, PASSING):
                        self._consumer.close()
                    self._consumer.hold(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures - 1, 10)), stop)
                else:
                    self._succeeded()
        finally:
            self._consumer.close()

    def _succeeded(self) -> None:
        self._fault = self._consumer.fault()
        if self._fault is not None:
            self.failures = FAILURES_IN_A_ROW  # it does not mend by itself: readiness is to say so at once
            return
        if self.failures:
            log.info("alerts.consumer-goes-on", after_failures=self.failures)
        self.failures = 0

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._metrics.worker_faults.labels(self.name).inc()
        if isinstance(error, KafkaError):
            self._fault = f"Kafka does not give alerts: {type(error).__name__}"
            log.warning("alerts.brokers-away", reason=f"{type(error).__name__}: {error}", failures=self.failures)
        else:
            self._fault = f"fails, see the log: {type(error).__name__}"
            log.exception("worker.failed", worker=self.name)


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
