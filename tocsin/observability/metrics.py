"""Metrics in Prometheus' form. Labels are words from closed lists: never a name, a number or an id."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.alerts = Counter("tocsin_alerts_total", "Alerts received.", ["dialect", "outcome"], registry=self.registry)
        self.refused = Counter(
            "tocsin_refused_total", "Requests refused, by kind of problem.", ["problem"], registry=self.registry
        )
        self.requests = Counter(
            "tocsin_requests_total", "HTTP requests.", ["method", "route", "status"], registry=self.registry
        )
        self.receipts = Counter(
            "tocsin_receipts_total", "Provider receipts.", ["provider", "outcome"], registry=self.registry
        )
        self.worker_faults = Counter(
            "tocsin_worker_faults_total", "Failures a worker survived.", ["worker"], registry=self.registry
        )
        self.lag = Gauge(
            "tocsin_follower_lag_events", "Events recorded but not yet handled.", ["follower"], registry=self.registry
        )
        self.recipients = Gauge(
            "tocsin_recipients", "People of all campaigns, by outcome.", ["outcome"], registry=self.registry
        )
        self.moves_waiting = Gauge(
            "tocsin_delivery_moves_waiting", "Moves of deliveries not yet in the record.", registry=self.registry
        )
        self.open_duties = Gauge(
            "tocsin_open_duties",
            "Open duties by the percent of the window that was called out last (0: nothing yet), or missed.",
            ["used"],
            registry=self.registry,
        )
        self.watchdog_well = Gauge(
            "tocsin_watchdog_well", "1 when the last look at all open duties found all well.", registry=self.registry
        )
        self.watchdog_faults = Gauge(
            "tocsin_watchdog_faults", "What the last look at all open duties found wrong.", registry=self.registry
        )
        self.watchdog_looked = Gauge(
            "tocsin_watchdog_last_look_timestamp_seconds", "When the watchdog last looked.", registry=self.registry
        )

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
