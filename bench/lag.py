"""How far the read models are behind while events keep coming at half the rate that they can fold at most.

First the rate at which all projections together fold what lies before them; then events are recorded at half of it for
some seconds, as commands would, while another thread folds, and each commit's time is compared with the time at which
the last of the projections had passed it. What is compared is one second against the lag within which 99 of 100 commits
were shown; `python -m bench.lag` prints the half of them too, and the rates.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import structlog

from bench.postgres import fresh_database
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
"""How long each run records; a tenth of that where it is only tried whether it works."""
FEW = 1_000
"""Events up to which that is so."""
LOOK = 0.01
"""Seconds between two looks at how far they are."""


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds from a commit until the last read model showed it, and the rates in events a second."""

    most: float
    """What they can fold at most."""
    given: float
    """What was recorded in truth: half of that, or what the recording side managed."""
    p50: float
    p99: float


def lag_at_half_rate(folder: Path, events: int, runs: int) -> Comparison:
    """p99 of the lag of the slowest projection."""
    return _compared("read models' lag, p99", folder, events, runs, on_server=False)


def lag_on_postgresql(folder: Path, events: int, runs: int) -> Comparison:
    """The same on PostgreSQL."""
    return _compared("PostgreSQL: read models' lag, p99", folder, events, runs, on_server=True)


def _compared(name: str, folder: Path, events: int, runs: int, *, on_server: bool) -> Comparison:
    lags = [measured(folder, events, on_server=on_server) for _ in range(runs)]
    return Comparison(name, 1.0, Sample(tuple(1 / lag.p99 for lag in lags)), Sample((1 / ALLOWED,) * runs))


def measured(folder: Path, events: int, *, on_server: bool = False) -> Lag:
    """One run in a fresh installation. `events` are folded first, to find the rate."""
    with structlog.testing.capture_logs(), _installation(folder, on_server=on_server) as (record, runner):
        for one in histories(events):
            record.commit(one)
        start = time.perf_counter()
        runner.drain()
        rate = record.head() / (time.perf_counter() - start)
        with _following(runner):
            return _lag(record, runner, rate, SECONDS if events > FEW else SECONDS / 10)


def _lag(record: Record, runner: Runner, most: float, seconds: float) -> Lag:
    """Record histories of 20 events at half the rate for so many seconds, and watch."""
    rate = most / 2
    shown: list[float] = []
    waiting: list[tuple[int, float]] = []
    begin = looked = time.perf_counter()
    recorded, source = 0, histories(int(rate * seconds) + 200)
    while (now := time.perf_counter()) - begin < seconds:
        if recorded < (now - begin) * rate and (one := next(source, None)) is not None:
            positions = record.commit(one)
            recorded += len(positions)
            waiting.append((positions[-1], time.perf_counter()))
        else:
            time.sleep(0.001)
        if now - looked >= LOOK:  # asking takes a query of what it measures
            _take(waiting, runner, shown)
            looked = now
    given = recorded / (time.perf_counter() - begin)
    while waiting:
        time.sleep(LOOK)
        _take(waiting, runner, shown)
    quantiles = statistics.quantiles(shown if len(shown) > 1 else shown * 2, n=100)
    return Lag(most, given, quantiles[49], max(quantiles[98], 1e-6))


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
def _installation(folder: Path, *, on_server: bool) -> Iterator[tuple[Record, Runner]]:
    address = fresh_database() if on_server else f"sqlite:///{folder / f'{uuid4().hex}.sqlite'}"
    engine = open_engine(address)
    upgrade(engine)
    with closing(open_record(address, registry())) as record:
        yield record, Runner(record, engine, all_projections(), ManualClock(START))
    engine.dispose()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.lag", description=__doc__)
    parser.add_argument("--events", type=int, default=8_000, help="folded first, to find the rate")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    print(f"load of the machine {os.getloadavg()[0]:.1f}\n")
    print(f"{'most events/s':>14}{'recorded/s':>12}{'lag p50 s':>12}{'lag p99 s':>12}")
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        for _ in range(given.runs):
            lag = measured(Path(folder), given.events, on_server=given.database == "postgresql")
            print(f"{lag.most:>14,.0f}{lag.given:>12,.0f}{lag.p50:>12.3f}{lag.p99:>12.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
