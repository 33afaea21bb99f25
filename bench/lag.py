"""How far the read models are behind while events keep coming at half the rate that they can fold at most.

First the rate at which all projections together fold what lies before them; then events are recorded at half of it for
some seconds, by another thread, as commands would, and each commit's time is compared with the time at which the last
of the projections had passed it. What is compared is one second against the lag within which 99 of 100 commits were
shown.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import structlog

from bench.rounds import Comparison, Sample
from bench.streams import START, histories
from incidents.clock import ManualClock
from incidents.record import Record, open_record
from incidents.record.database import open_engine
from projections.catalogue import all_projections
from projections.runner import Runner
from tocsin.migrations.run import upgrade
from tocsin.services import registry

ALLOWED = 1.0
"""Seconds."""
SECONDS = 8.0
"""How long each run records."""


def lag_at_half_rate(folder: Path, events: int, runs: int) -> Comparison:
    """p99 of the lag of the slowest projection."""
    with structlog.testing.capture_logs():
        lags = [_run(folder, events) for _ in range(runs)]
    return Comparison(
        "read models' lag, p99", 1.0, Sample(tuple(1 / lag for lag in lags)), Sample((1 / ALLOWED,) * runs)
    )


def _run(folder: Path, events: int) -> float:
    with _installation(folder) as (record, runner):
        for one in histories(events):
            record.commit(one)
        start = time.perf_counter()
        runner.drain()
        rate = record.head() / (time.perf_counter() - start)
        with _following(runner):
            return _lag(record, runner, rate / 2)


def _lag(record: Record, runner: Runner, rate: float) -> float:
    """Record histories of 20 events at a rate of events a second, and watch."""
    shown: list[float] = []
    waiting: list[tuple[int, float]] = []
    begin = time.perf_counter()
    recorded, source = 0, histories(int(rate * SECONDS) + 20)
    while (now := time.perf_counter()) - begin < SECONDS:
        if recorded < (now - begin) * rate and (one := next(source, None)) is not None:
            positions = record.commit(one)
            recorded += len(positions)
            waiting.append((positions[-1], time.perf_counter()))
        else:
            time.sleep(0.001)
        _take(waiting, runner, shown)
    while waiting:
        time.sleep(0.001)
        _take(waiting, runner, shown)
    return max(statistics.quantiles(shown, n=100)[98], 1e-6)


def _take(waiting: list[tuple[int, float]], runner: Runner, shown: list[float]) -> None:
    if not waiting:
        return
    reached = min(lag.position for lag in runner.lag())
    now = time.perf_counter()
    while waiting and waiting[0][0] <= reached:
        shown.append(now - waiting.pop(0)[1])


@contextmanager
def _following(runner: Runner) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=runner.follow, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        runner.wake()
        thread.join(30)


@contextmanager
def _installation(folder: Path) -> Iterator[tuple[Record, Runner]]:
    path = folder / f"{uuid4().hex}.sqlite"
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    with closing(open_record(f"sqlite:///{path}", registry())) as record:
        yield record, Runner(record, engine, all_projections(), ManualClock(START))
    engine.dispose()
