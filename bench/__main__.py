"""`python -m bench`: every measurement, ours against the bare library, side by side in one run."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from bench import audience, kafka_intake, kafka_relay, lag, notifier, pages, postgres, wire
from bench.law import after_a_change, judging, whole_law
from bench.machine import machine
from bench.rebuild import rebuild
from bench.record import read, save_batches, save_single
from bench.rounds import Comparison, Skipped

MEASUREMENTS: tuple[tuple[Callable[[Path, int, int], Comparison], int, int], ...] = (
    (save_single, 4_000, 50),
    (save_batches, 40_000, 1_000),
    (read, 40_000, 1_000),
    (rebuild, 20_000, 200),
    (whole_law, 200, 4),
    (after_a_change, 3_334, 40),  # the usual three runs: 10,000 incidents
    (judging, 2_000, 40),
    (lag.lag_at_half_rate, 8_000, 200),
    (lag.lag_on_postgresql, 8_000, 200),
    (pages.board_page, 20_000, 200),
    (pages.incident_page, 20_000, 200),
    (pages.deadlines_page, 20_000, 200),
    (pages.board_page_on_postgresql, 20_000, 200),
    (postgres.save_batches, 40_000, 1_000),
    (postgres.commands, 4_000, 80),
    (kafka_relay.publish, 20_000, 400),
    (kafka_intake.on_sqlite, 20_000, 400),
    (kafka_intake.on_postgresql, 20_000, 400),
    (notifier.email_against_sendmail, 15_000, 100),
    (notifier.email_against_send_message, 15_000, 100),
    (wire.sessions_against_sendmail, 15_000, 100),
    (notifier.sms_against_sdk, 4_000, 100),
    (audience.against_no_database, 50_000, 500),
)
"""Each with its number of events, in full and quick."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return 0; with `--strict`, 1 when an aim was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of each side (default 3)")
    parser.add_argument("--quick", action="store_true", help="few events: does it work, not how fast is it")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE too (- for standard output alone)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a ratio is below its aim")
    parser.add_argument(
        "--only",
        metavar="WORD",
        action="append",
        help="measurements whose name, such as bench.pages.board_page, has it; may be given several times",
    )
    given = parser.parse_args(arguments)
    if given.runs < 1:
        parser.error("--runs must be at least 1")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        folder = Path(name)
        facts = machine(folder)
        found, skipped = _measure(folder, given.runs, quick=given.quick, only=given.only or [""])
        wanted = any(word in "bench.notifier.cost" for word in given.only or [""])
        costs = _costs(folder, skipped, quick=given.quick) if wanted else {}
    figures = {
        "machine": facts,
        "runs": given.runs,
        "quick": given.quick,
        "figures": [_plain(one) for one in found],
        "costs": costs,
        "skipped": skipped,
    }
    if given.json == "-":
        print(json.dumps(figures, indent=2))
    else:
        _print(facts, given.runs, found)
        for name, value in costs.items():
            print(f"{name:40} {value:>16,.2f}")
        for line in skipped:
            print(f"skipped: {line}")
        if given.json:
            Path(given.json).write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    return 1 if given.strict and not all(one.reached for one in found) else 0


def _measure(folder: Path, runs: int, *, quick: bool, only: list[str]) -> tuple[list[Comparison], list[str]]:
    found, skipped = list[Comparison](), list[str]()
    for measure, full, few in MEASUREMENTS:
        if not any(word in f"{measure.__module__}.{measure.__name__}" for word in only):
            continue
        try:
            found.append(measure(folder, few if quick else full, runs))
            print(f"{found[-1].name}: {found[-1].ratio:.2f}", file=sys.stderr, flush=True)
        except Skipped as reason:
            skipped.append(f"{measure.__module__}.{measure.__name__}: {reason}")
    return found, skipped


def _costs(folder: Path, skipped: list[str], *, quick: bool) -> dict[str, float]:
    """What sending takes of the machine: figures of one side only, for there is nothing to compare them with."""
    try:
        return {f"email: {name}": value for name, value in notifier.cost(folder, 100 if quick else 15_000).items()}
    except Skipped as reason:
        skipped.append(f"bench.notifier.cost: {reason}")
        return {}


def _plain(one: Comparison) -> dict[str, Any]:
    return {
        "name": one.name,
        "unit": "events/s",
        "ours": {"median": round(one.ours.median), "spread": round(one.ours.spread, 3), "runs": list(one.ours.rates)},
        "bare": {"median": round(one.bare.median), "spread": round(one.bare.spread, 3), "runs": list(one.bare.rates)},
        "ratio": round(one.ratio, 2),
        "aim": one.aim,
        "reached": one.reached,
    }


def _print(facts: dict[str, str], runs: int, found: list[Comparison]) -> None:
    print("  ".join(f"{name}: {value}" for name, value in facts.items()))
    print(
        f"\nEvents per second, median of {runs} runs, turn by turn; +- is the widest run's distance from the median.\n"
    )
    print(f"{'':32} {'ours':>16} {'bare':>16} {'ratio':>7} {'aim':>5}")
    for one in found:
        ours = f"{one.ours.median:,.0f} +-{one.ours.spread:.0%}"
        bare = f"{one.bare.median:,.0f} +-{one.bare.spread:.0%}"
        mark = "" if one.reached else "  below the aim"
        print(f"{one.name:32} {ours:>16} {bare:>16} {one.ratio:>7.2f} {one.aim:>5}{mark}")


if __name__ == "__main__":
    raise SystemExit(main())
