"""The metrics that say how much there is of something: measured from time to time, not counted as things happen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Engine, func, select

from incidents.record import Follower, Record
from incidents.record.database import reading
from incidents.record.leases import database_now
from incidents.record.partitioned import PartitionedFollower
from incidents.record.tables import leases
from notifier.deliveries import counters, in_trouble, waiting_moves
from projections.coverage.tally import deliveries_by_channel
from projections.deadlines.pressure import next_deadline, open_duties_by_step, open_duties_by_time_left
from projections.runner import Runner
from projections.tasks.reminders import late_reminders
from tocsin.backup.tables import backups
from tocsin.observability.measured import Labels
from tocsin.observability.metrics import Metrics

Extra = Callable[[], Mapping[str, Mapping[Labels, float]]]
"""Measures something that only some installations have (the relay to Kafka)."""


class Gauges:
    """Measures with a few small queries: none of them reads deliveries or events one by one."""

    def __init__(
        self,
        metrics: Metrics,
        engine: Engine,
        record: Record,
        projections: Runner,
        followers: Sequence[Follower | PartitionedFollower],
        *,
        extra: Sequence[Extra] = (),
    ) -> None:
        self._metrics = metrics
        self._engine = engine
        self._record = record
        self._projections = projections
        self._followers = tuple(followers)
        self._clock = projections.clock
        self._extra = tuple(extra)

    def measure(self) -> int:
        """Set all gauges. Always 0: there is nothing to go on with at once."""
        now = self._clock.now()
        found: dict[str, dict[Labels, float]] = defaultdict(dict)
        self._lags(found, now)
        self._duties(found, now)
        self._notices(found, now)
        late, oldest = late_reminders(self._engine, now=now)
        found["tocsin_timers_late"][()] = late
        found["tocsin_timers_late_seconds"][()] = _seconds(oldest, now)
        backup = _newest_backup(self._engine)
        if backup is not None:
            found["tocsin_last_backup_timestamp_seconds"][()] = backup.timestamp()
        for lease, held in _leases_held(self._engine).items():
            found["tocsin_leases_held"][(lease,)] = held
        for measure in self._extra:
            for name, values in measure().items():
                found[name].update(values)
        found["tocsin_measured_timestamp_seconds"][()] = now.timestamp()
        self._metrics.measured.show(found)
        for follower in self._followers:
            self._metrics.parked.labels(follower=follower.name).set(len(follower.parked))
        return 0

    def _lags(self, found: dict[str, dict[Labels, float]], now: datetime) -> None:
        head = self._record.head()
        events, seconds = found["tocsin_follower_lag_events"], found["tocsin_follower_lag_seconds"]
        for lag in self._projections.lag():
            name = (f"projection-{lag.name}",)
            events[name] = lag.behind
            waiting = self._record.read(lag.position, 1) if lag.behind else []
            seconds[name] = _seconds(waiting[0].event.recorded_at if waiting else None, now)
        for follower in self._followers:
            # What a follower does not look at leaves its position where it was.
            oldest = follower.oldest_waiting()
            behind = 0 if oldest is None else head - follower.position
            events[(follower.name,)] = max(0, behind)
            seconds[(follower.name,)] = _seconds(oldest.event.recorded_at if oldest else None, now)

    def _duties(self, found: dict[str, dict[Labels, float]], now: datetime) -> None:
        for step, duties in open_duties_by_step(self._engine).items():
            found["tocsin_open_duties"][(step,)] = duties
        for left, duties in open_duties_by_time_left(self._engine, now=now).items():
            found["tocsin_open_duties_by_time_left"][(left,)] = duties
        deadline = next_deadline(self._engine, now=now)
        if deadline is not None:
            found["tocsin_next_deadline_timestamp_seconds"][()] = deadline.timestamp()

    def _notices(self, found: dict[str, dict[Labels, float]], now: datetime) -> None:
        for outcome, people in (counters(self._engine) or {}).items():
            found["tocsin_recipients"][(outcome,)] = people
        for (channel, state), people in deliveries_by_channel(self._engine).items():
            found["tocsin_deliveries"][(channel, state)] = people
        for trouble, campaigns in in_trouble(self._engine, now).items():
            found["tocsin_campaigns_in_trouble"][(trouble,)] = campaigns
        found["tocsin_delivery_moves_waiting"][()] = waiting_moves(self._engine)


def _seconds(since: datetime | None, now: datetime) -> float:
    """Seconds that have passed; 0 for nothing, and for what is to come by a clock that was put back."""
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0


def _newest_backup(engine: Engine) -> datetime | None:
    with reading(engine) as connection:
        newest: datetime | None = connection.execute(select(func.max(backups.c.made_at))).scalar_one()
    return newest


def _leases_held(engine: Engine) -> Counter[str]:
    """By what they are for: what follows a slash is the number of a part, or who a member is."""
    with reading(engine) as connection:
        names = connection.execute(select(leases.c.name).where(leases.c.until > database_now(connection))).scalars()
        return Counter(name.partition("/")[0] for name in names)
