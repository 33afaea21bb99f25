"""The metrics that say how much there is of something: measured from time to time, not counted as things happen."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from incidents.record import Follower, Record
from notifier.deliveries import counters, waiting_moves
from projections.deadlines.pressure import open_duties_by_step
from projections.runner import Runner
from tocsin.observability.metrics import Metrics


class Gauges:
    """Measures with a few small queries: none of them reads deliveries or events one by one."""

    def __init__(
        self, metrics: Metrics, engine: Engine, record: Record, projections: Runner, followers: Sequence[Follower]
    ) -> None:
        self._metrics = metrics
        self._engine = engine
        self._record = record
        self._projections = projections
        self._followers = tuple(followers)

    def measure(self) -> int:
        """Set all gauges. Always 0: there is nothing to go on with at once."""
        for lag in self._projections.lag():
            self._metrics.lag.labels(follower=f"projection-{lag.name}").set(lag.behind)
        for follower in self._followers:
            # What a follower does not look at leaves its position where it was.
            behind = 0 if follower.is_caught_up() else self._record.head() - self._record.position_of(follower.name)
            self._metrics.lag.labels(follower=follower.name).set(behind)
        for outcome, people in (counters(self._engine) or {}).items():
            self._metrics.recipients.labels(outcome=outcome).set(people)
        self._metrics.moves_waiting.set(waiting_moves(self._engine))
        for step, duties in open_duties_by_step(self._engine).items():
            self._metrics.open_duties.labels(used=step).set(duties)
        return 0
