"""How many workers a load needs: a small model of what they share, held against what was measured.

Every path of Tocsin is workers that take turns between their own computing and a part that only one can do at a time
(the record's lock and the flush of its commit). That is a closed network of two stations, the cores and the lock, and
has an exact solution (mean value analysis, Reiser and Lavenberg 1980; several cores after Seidmann 1987). Its two
numbers per path are measured with one worker alone: the seconds that the machine's cores were busy for one unit of
work, and what is left of its time, which is waiting for what all share. The rates of two, four and eight workers are
then predicted and compared with measured ones. Run it on a machine that does nothing else.

`python -m bench.scale` measures and compares; `--plan` sizes an installation by the figures that are given with it.
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
from pathlib import Path

from bench.postgres import fresh_database, our_client

CHECKED = (1, 2, 4, 8)
"""Numbers of workers that are measured; the model knows the first."""
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


@dataclass(frozen=True, slots=True)
class Measured:
    """Units a second of so many workers, and the seconds that all cores together were busy for each."""

    rate: float
    busy: float


def work_of(alone: Measured) -> Work:
    """The two numbers, from one worker alone. What it did not compute, it waited."""
    computing = min(alone.busy, 1 / alone.rate)
    return Work(computing, 1 / alone.rate - computing)


def measured(clients: int, events: int = EVENTS) -> Measured:
    """Commands a second of so many processes on a fresh PostgreSQL: load, decide, save."""
    address, spawn = fresh_database(), multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    for _ in range(clients):
        here, there = spawn.Pipe()
        spawn.Process(target=our_client, args=(address, events // clients, there), daemon=True).start()
        there.close()
        here.recv()
        pipes.append(here)
    start, busy = time.perf_counter(), _busy()
    for pipe in pipes:
        pipe.send(None)
    done = float(sum(pipe.recv() for pipe in pipes))
    return Measured(done / (time.perf_counter() - start), (_busy() - busy) / done)


def _busy() -> float:
    """Seconds that this machine's cores have computed since it started (proc(5), the first line of /proc/stat)."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text("ascii").partition("\n")[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


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


def compared(run: Callable[[int], Measured], cores: int) -> list[tuple[int, float, float]]:
    """Workers, rate measured, rate the model says."""
    found = {workers: run(workers) for workers in CHECKED}
    work = work_of(found[1])
    return [(workers, found[workers].rate, rate(work, workers, cores)) for workers in CHECKED]


FIGURES = {
    "alerts": 1_000.0,
    "derivations": 50.0,
    "recipients": 2_000.0,
    "alerts_database": 5_000.0,
    "bytes_per_recipient": 1_000.0,
    "recipients_per_event": 500.0,
}
"""Rates of one worker on one core, and bytes: replace them by your own, `--figure NAME=NUMBER`."""


def main() -> int:
    """Measure and compare, or plan."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help="commands of each measurement")
    parser.add_argument("--plan", action="store_true", help="size an installation instead")
    parser.add_argument("--recipients", type=int, default=100_000_000)
    parser.add_argument("--hours", type=float, default=24.0, help="within which all recipients are tried once")
    parser.add_argument("--alerts", type=float, default=50_000.0, help="a second")
    parser.add_argument("--incidents-share", type=float, default=1e-4, help="of alerts that declare an incident")
    parser.add_argument("--figure", action="append", default=[], metavar="NAME=NUMBER", help=", ".join(FIGURES))
    given = parser.parse_args()
    if given.plan:
        _print_plan(given)
        return 0
    cores = os.cpu_count() or 1
    print(f"PostgreSQL, commands a second, {cores} cores\n\n{'processes':>10}{'measured':>12}{'model':>12}")
    for workers, seen, said in compared(lambda workers: measured(workers, given.events), cores):
        print(f"{workers:>10}{seen:>12,.0f}{said:>12,.0f}")
    return 0


def _print_plan(given: argparse.Namespace) -> None:
    figures = {**FIGURES, **{name: float(number) for name, _, number in (one.partition("=") for one in given.figure)}}
    sizes = plan(
        recipients=given.recipients,
        hours=given.hours,
        alerts=given.alerts,
        incidents_share=given.incidents_share,
        figures=figures,
    )
    for size in sizes:
        print(f"{size.part:20}{size.needs:>10,} {size.of:14} {size.because}")


if __name__ == "__main__":
    raise SystemExit(main())
