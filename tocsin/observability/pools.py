"""How many connections to the database are in use: asked of the pools whenever somebody scrapes."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool


class Pools(Collector):
    """The pool of this process's engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Connections by state: `used`, `idle`; and how many may be used at most."""
        pool = self._engine.pool
        if not isinstance(pool, QueuePool):
            return
        used = pool.checkedout()
        shown = GaugeMetricFamily(
            "tocsin_database_connections", "Connections of this process to the database.", labels=["state"]
        )
        shown.add_metric(["used"], used)
        shown.add_metric(["idle"], pool.checkedin())
        yield shown
        most = GaugeMetricFamily(
            "tocsin_database_connections_most", "Connections that this process may use at the same time."
        )
        # SQLAlchemy counts its overflow from minus the pool's size.
        most.add_metric([], pool.size() + max(0, pool._max_overflow))
        yield most
