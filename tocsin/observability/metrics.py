"""Metrics in Prometheus' form. Labels are words from closed lists: never a name, a number or an id.

Two sorts, told apart in docs/observability.md: what one process counts (add them up), and what is measured in the
database (`tocsin.observability.measured`), which every process that measures shows alike (take the greatest).
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import Engine

from tocsin.observability.measured import Measured
from tocsin.observability.pools import Pools

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper ends of the buckets of answers' times."""


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self, engine: Engine | None = None) -> None:
        """With an engine, its connections are shown too."""
        self.registry = CollectorRegistry()
        self.measured = Measured()
        self.registry.register(self.measured)
        if engine is not None:
            self.registry.register(Pools(engine))
        self._count_the_door()
        self._count_the_work()
        self.watchdog_well = self._gauge("tocsin_watchdog_well", "1 when the last look at open duties found all well.")
        self.watchdog_faults = self._gauge(
            "tocsin_watchdog_faults", "What the last look at all open duties found wrong."
        )
        self.watchdog_looked = self._gauge(
            "tocsin_watchdog_last_look_timestamp_seconds", "When the watchdog last looked."
        )

    def _count_the_door(self) -> None:
        self.alerts = self._counter("tocsin_alerts_total", "Alerts received.", "dialect", "outcome")
        self.dead_letters = self._counter(
            "tocsin_dead_letters_total", "Alerts from Kafka that nobody could read, put aside, by reason.", "reason"
        )
        self.refused = self._counter("tocsin_refused_total", "Requests refused, by kind of problem.", "problem")
        self.requests = self._counter("tocsin_requests_total", "HTTP requests.", "method", "route", "status")
        self.request_seconds = Histogram(
            "tocsin_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["method", "route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.receipts = self._counter("tocsin_receipts_total", "Provider receipts.", "provider", "outcome")

    def _count_the_work(self) -> None:
        self.worker_faults = self._counter("tocsin_worker_faults_total", "Failures a worker survived.", "worker")
        self.intake_lag = self._gauge(
            "tocsin_intake_lag_messages", "Messages that this process has yet to take in from its topics of alerts."
        )
        self.intake_left_out = self._gauge(
            "tocsin_intake_partitions_left_out", "Partitions of alerts that this process has and cannot read on."
        )
        self.ready = self._gauge("tocsin_ready", "1 when this process is fit for its work, as /readyz says.")
        self.parked = self._gauge(
            "tocsin_parked_events",
            "Events that a follower here could not handle and passed over.",
            "follower",
        )

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(name, says, labels, registry=self.registry)

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(name, says, labels, registry=self.registry)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
