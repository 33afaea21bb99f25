"""How many workers a load needs: measure, hold the model against it, plan, and write it down.

    python -m bench.scale                      # commands and mails by 1, 2, 4, 8 processes, and what the model says
    python -m bench.scale --save               # keep that in figures.json
    python -m bench.scale --take FILE          # and figures of `python -m bench --json FILE`
    python -m bench.scale --plan               # size an installation; `--figure NAME=NUMBER` replaces a figure
    python -m bench.scale --docs               # write the tables of docs/scale.md anew

The model is in `bench.model`, the sizes in `bench.sizing`. Measure on a machine that does nothing else: the seconds
that its cores were busy are taken from the whole machine. Exit code 1 when the model is off by more than a quarter
somewhere, on a machine that was quiet.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench import sending
from bench.model import Checked, Measured, check, is_good
from bench.postgres import fresh_database, our_client
from bench.sending import busy_seconds
from bench.sizing import FILE, Prices, Size, Wanted, cost, plan, read_figures, table

WORKERS = (1, 2, 4, 8)
"""Numbers of processes that are measured; the model knows the first."""
EVENTS = 3_000
QUIET = 1.0
"""Load average up to which a machine counts as doing nothing else."""
DOCS = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
TAKEN: Mapping[str, tuple[str, Callable[[dict[str, Any]], float]]] = {
    "alerts_a_process": ("Kafka to incidents on PostgreSQL", lambda one: one["ours"]["median"]),
    "alert_events_a_database": ("PostgreSQL: save, 1000 events a batch", lambda one: one["ours"]["median"]),
    "commands_by_eight": ("PostgreSQL: commands, 8 processes", lambda one: one["ours"]["median"]),
    "folds_of_a_model": ("rebuild of two read models", lambda one: one["ours"]["median"]),
    "texts_a_process": ("sms: against the SDK's client", lambda one: one["ours"]["median"]),
    "mails_on_sqlite": ("email: against sendmail, bytes ready", lambda one: one["ours"]["median"]),
    "imported_people": ("import: against no database", lambda one: one["ours"]["median"]),
}
"""Figures that a run of all measurements gives, and how."""


def commands(clients: int, events: int = EVENTS) -> Measured:
    """Commands a second of so many processes on a fresh PostgreSQL: load, decide, save."""
    address, spawn = fresh_database(), multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    for _ in range(clients):
        here, there = spawn.Pipe()
        spawn.Process(target=our_client, args=(address, events // clients, there), daemon=True).start()
        there.close()
        here.recv()
        pipes.append(here)
    start, busy = time.perf_counter(), busy_seconds()
    for pipe in pipes:
        pipe.send(None)
    done = float(sum(pipe.recv() for pipe in pipes))
    return Measured(done / (time.perf_counter() - start), (busy_seconds() - busy) / done)


PATHS: Mapping[str, tuple[str, Callable[[int, int], Measured]]] = {
    "commands": ("commands a second", commands),
    "mails": ("recipients a second", sending.measured),
}


def run_paths(workers: Sequence[int], size: int, run: Mapping[str, Any] = PATHS) -> dict[str, dict[int, Measured]]:
    """Every path by every number of processes."""
    return {name: {number: measure(number, size) for number in workers} for name, (_, measure) in run.items()}


def saved_paths(path: Path = FILE) -> tuple[dict[str, dict[int, Measured]], int, float]:
    """What `--save` kept: every path by numbers of processes, the cores, and the load before."""
    kept = json.loads(path.read_text("utf-8"))["paths"]
    found = {
        name: {int(number): Measured(**one) for number, one in runs.items()} for name, runs in kept["measured"].items()
    }
    return found, kept["cores"], kept["load"]


def save(found: Mapping[str, Mapping[int, Measured]], load: float, path: Path = FILE) -> None:
    """Keep the paths, and what one process does by itself as figures."""
    kept = json.loads(path.read_text("utf-8"))
    kept["paths"] = {
        "cores": os.cpu_count(),
        "load": round(load, 1),
        "on": datetime.now(UTC).date().isoformat(),
        "measured": {
            name: {str(by): {"rate": round(one.rate, 1), "busy": round(one.busy, 6)} for by, one in runs.items()}
            for name, runs in found.items()
        },
    }
    for name, figure in (("mails", "recipients_a_process"), ("commands", "commands_a_process")):
        if name in found:
            kept["figures"][figure] |= {"value": round(found[name][1].rate), "load": round(load, 1)}
    path.write_text(json.dumps(kept, indent=2) + "\n", "utf-8")


def take(report: Path, path: Path = FILE) -> list[str]:
    """Take figures from a run of all measurements. Returns the names of those that it had."""
    given, kept = json.loads(report.read_text("utf-8")), json.loads(path.read_text("utf-8"))
    by_name, taken = {one["name"]: one for one in given["figures"]}, []
    for figure, (name, value) in TAKEN.items():
        if name in by_name:
            load = float(given["machine"].get("load", 0))
            kept["figures"][figure] |= {"value": round(value(by_name[name])), "load": load}
            taken.append(figure)
    path.write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
    return taken


def sections() -> dict[str, str]:
    """The generated parts of docs/scale.md."""
    figures = read_figures()
    values = {name: figure.value for name, figure in figures.items()}
    wanted = Wanted()
    sizes = plan(wanted, values)
    return {
        "figures": table(
            ("figure", "", "measured by", "load"),
            [
                (one.about, f"{one.value:,.10g} {one.unit}", f"`{one.command}`", f"{one.load:g}")
                for one in figures.values()
            ],
        ),
        "model": _model_table(),
        "plan": table(("part", "needs", "", "because"), [_row(size) for size in sizes]),
        "cost": table(("", "dollars", "", "for"), [_row(size) for size in cost(wanted, sizes, Prices())]),
    }


def write_docs(path: Path = DOCS) -> None:
    """Put the generated parts in their places."""
    text = path.read_text("utf-8")
    for name, section in sections().items():
        before, rest = text.split(f"<!-- made by bench.scale: {name} -->", 1)
        _, after = rest.split("<!-- end -->", 1)
        text = f"{before}<!-- made by bench.scale: {name} -->\n\n{section}\n\n<!-- end -->{after}"
    path.write_text(text, "utf-8")


def _model_table() -> str:
    found, cores, load = saved_paths()
    rows = [
        (PATHS[name][0], one.workers, f"{one.measured:,.0f}", f"{one.model:,.0f}", f"{one.off:+.0%}")
        for name, runs in found.items()
        for one in check(runs, cores)
    ]
    made = table(("", "processes", "measured", "model", "off"), rows)
    if load <= QUIET:
        return made
    return (
        f"{made}\n\nTaken on {cores} cores whose load average was {load:g} before: other programs had most of them, so "
        "this shows the form of the table and says nothing about the model."
    )


def _row(size: Size) -> tuple[str, str, str, str]:
    return size.part, f"{size.needs:,}", size.of, size.because


def main() -> int:
    """Measure and compare, plan, or write."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help="commands, and mails, of each measurement")
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS))
    parser.add_argument("--save", action="store_true", help="keep what is measured in figures.json")
    parser.add_argument("--take", type=Path, metavar="FILE", help="take figures of `python -m bench --json FILE`")
    parser.add_argument("--docs", action="store_true", help="write the tables of docs/scale.md; alone: measure nothing")
    parser.add_argument("--plan", action="store_true", help="size an installation instead")
    for name, value in asdict(Wanted()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--figure", action="append", default=[], metavar="NAME=NUMBER", help="instead of the measured")
    given = parser.parse_args()
    if given.take:
        print(f"taken: {', '.join(take(given.take))}")
    good = True
    if given.plan:
        _print_plan(given)
    elif given.save or not (given.take or given.docs):
        good = _measure(given)
    if given.docs:
        write_docs()
    return 0 if good else 1


def _measure(given: argparse.Namespace) -> bool:
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    found = run_paths(given.workers, given.events)
    good = True
    for name, runs in found.items():
        checked: list[Checked] = check(runs, cores)
        good = good and is_good(checked)
        print(f"\n{PATHS[name][0]}, PostgreSQL, {cores} cores, load before {load:.1f}\n")
        print(f"{'processes':>10}{'measured':>12}{'model':>12}{'off':>8}")
        for one in checked:
            print(f"{one.workers:>10}{one.measured:>12,.0f}{one.model:>12,.0f}{one.off:>+8.0%}")
    if given.save:
        save(found, load)
    return good or load > QUIET


def _print_plan(given: argparse.Namespace) -> None:
    measured = {name: figure.value for name, figure in read_figures().items()}
    replaced = {name: float(number) for name, _, number in (one.partition("=") for one in given.figure)}
    if unknown := replaced.keys() - measured.keys():
        raise SystemExit(f"There is no figure {', '.join(sorted(unknown))}; there are {', '.join(measured)}.")
    wanted = Wanted(**{name: getattr(given, name) for name in asdict(Wanted())})
    sizes = plan(wanted, {**measured, **replaced})
    for size in (*sizes, *cost(wanted, sizes, Prices())):
        print(f"{size.part:20}{size.needs:>12,} {size.of:16} {size.because}")


if __name__ == "__main__":
    raise SystemExit(main())
