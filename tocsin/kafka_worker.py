"""What all workers that talk to Kafka have in common: how they fail, say so, and wait before they try again."""

from __future__ import annotations

import structlog

from tocsin.kafka import KafkaError
from tocsin.observability.metrics import Metrics

log = structlog.get_logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds after a failure; doubled while it goes on."""


class KafkaWorker:
    """The failures of one worker. Whoever extends it runs in a thread, and says after each turn how it went."""

    name: str
    lines: str
    """What its log lines begin with."""
    without: str
    """What people are told while the brokers do not answer."""
    brokers_faults: tuple[type[Exception], ...] = (KafkaError,)
    """Errors that say that the brokers are away or refuse, which is no fault of this program."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.failures = 0
        """In a row; 0 when the last turn went well."""
        self._fault: str | None = None

    def fault(self) -> str | None:
        """What keeps it from its work at the moment, for readiness; None when nothing does."""
        return self._fault

    def wake(self) -> None:
        """Nothing to do, unless it waits for the record and not only for Kafka."""

    @property
    def pause(self) -> float:
        """Seconds to wait after so many failures."""
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.failures - 1, 10))

    def succeeded(self) -> None:
        """A turn went well."""
        if self.failures:
            log.info(f"{self.lines}.go-on", after_failures=self.failures)
        self.failures, self._fault = 0, None

    def failed(self, error: Exception) -> None:
        """A turn failed: count it and say so."""
        self.failures += 1
        self._metrics.worker_faults.labels(self.name).inc()
        self._fault = self.say(error)

    def say(self, error: Exception) -> str:
        """Log a failure, the brokers' or one of ours. Returns what people are told of it."""
        if isinstance(error, self.brokers_faults):
            reason = f"{type(error).__name__}: {error}"
            log.warning(f"{self.lines}.brokers-away", reason=reason, failures=self.failures)
            return f"{self.without}: {type(error).__name__}"
        log.exception("worker.failed", worker=self.name)
        return f"fails, see the log: {type(error).__name__}"
