"""How many workers a load needs: a small model of what they share, held against what was measured.

Every path of Tocsin is workers that take turns between their own computing and a part that only one can do at a time
(the record's lock and the flush of its commit). That is a closed network of two stations, the cores and the lock, and
has an exact solution (mean value analysis, Reiser and Lavenberg 1980; several cores after Seidmann 1987). Its two
numbers per path, the seconds of computing and the seconds under the lock for one unit of work, are fitted to the rates
of one and two workers; the rates of four and eight are then predicted and compared with measured ones.

`python -m bench.scale` measures and compares. `python -m bench.scale --plan` sizes an installation from given figures.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from bench.postgres import our_client, fresh_database

CHECKED = (1, 2, 4, 8)
"""Numbers of workers that are measured; the model knows the first two."""
EVENTS = 3_000


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds that one unit (an event, an alert, a recipient) costs: computing, and under what all share."""

    computing: float
    shared: float


def rate(work: Work, workers: int, cores: int) -> float:
    """Units a second that so many workers do together on so many cores."""
    queued, waiting = work.computing / cores, work.computing * (cores - 1) / cores
    at_cores = at_lock = found = 0.0
    for number in range(1, workers + 1):
        cores_time, lock_time = queued * (1 + at_cores), work.shared * (1 + at_lock)
        found = number / (cores_time + lock_time + waiting)
        at_cores, at_lock = found * cores_time, found * lock_time
    return found


def fitted(rates: Mapping[int, float], cores: int) -> Work:
    """The work that explains the rates of one and of two workers. ValueError when two do less than one."""
    alone, two = rates[1], rates[2]
    whole = 1 / alone
    low, high = 0.0, whole
    for _ in range(60):  # two workers do less, the more of the whole is shared
        shared = (low + high) / 2
        if rate(Work(whole - shared, shared), 2, cores) > two:
            low = shared
        else:
            high = shared
    return Work(whole - low, low)


def measured(clients: int, events: int = EVENTS) -> float:
    """Commands a second of so many processes on a fresh PostgreSQL: load, decide, save."""
    address, spawn = fresh_database(), multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    for _ in range(clients):
        here, there = spawn.Pipe()
        spawn.Process(target=our_client, args=(address, events // clients, there), daemon=True).start()
        there.close()
        here.recv()
        pipes.append(here)
    start = time.perf_counter()
    for pipe in pipes:
        pipe.send(None)
    done = sum(pipe.recv() for pipe in pipes)
    return float(done) / (time.perf_counter() - start)


@dataclass(frozen=True, slots=True)
class Size:
    """What one part of an installation needs."""

    part: str
    needs: int
    of: str
    because: str


def plan(
    *,
    recipients: int,
    hours: float,
    alerts: float,
    incidents_share: float,
    figures: Mapping[str, float],
) -> Sequence[Size]:
    """Sizes for a campaign to so many recipients within so many hours, and so many alerts a second at the same time.

    `figures` are rates of one worker on one core and bytes, by the names in `FIGURES`. A part is filled to 70 %.
    """
    full = 0.7

    def workers(load: float, figure: str) -> int:
        return math.ceil(load / (figures[figure] * full))

    a_second = recipients / (hours * 3600)
    incidents = alerts * incidents_share
    deliveries = recipients * figures["bytes_per_recipient"] / 1e9
    events = (recipients / figures["recipients_per_event"] + alerts * 86_400 * incidents_share * 20) * 600 / 1e9
    return (
        Size("intake", workers(alerts, "alerts"), "workers", f"{alerts:,.0f} alerts/s"),
        Size("alert topic", 2 * workers(alerts, "alerts"), "partitions", "twice the workers, to grow"),
        Size("playbooks", workers(incidents, "derivations"), "workers", f"{incidents:,.1f} new incidents/s"),
        Size("notifier", workers(a_second, "recipients"), "workers", f"{a_second:,.0f} recipients/s"),
        Size("databases", max(1, workers(alerts, "alerts_database")), "installations", "the alerts' commits"),
        Size("deliveries", math.ceil(deliveries), "GB", f"{recipients:,} recipients"),
        Size("record, a day", math.ceil(events), "GB", "batch events, and 20 events an incident"),
    )


def compared(run: Callable[[int], float], cores: int) -> list[tuple[int, float, float]]:
    """Workers, rate measured, rate the model says."""
    found = {workers: run(workers) for workers in CHECKED}
    work = fitted(found, cores)
    return [(workers, found[workers], rate(work, workers, cores)) for workers in CHECKED]


def main() -> int:
    """Measure and compare, or plan."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    given = parser.parse_args()
    cores = os.cpu_count() or 1
    print(f"PostgreSQL, commands a second, {cores} cores\n\n{'processes':>10}{'measured':>12}{'model':>12}")
    for workers, seen, said in compared(lambda workers: measured(workers, given.events), cores):
        print(f"{workers:>10}{seen:>12,.0f}{said:>12,.0f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
