"""A process that folds, for tests that kill it: `python -m tests.projections.folding_process URL BATCH [rebuild]`.

It says on standard output that it comes to a step, and takes it once it was given a line on standard input: so it never
comes to its end before somebody kills it, however slow the other is.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from incidents.clock import ManualClock
from incidents.record import open_record
from incidents.record.database import open_engine
from projections.catalogue import all_projections
from projections.runner import Runner
from tocsin.services import registry as every_event


def step(*_at: object) -> None:
    """Say so, and wait to be allowed to."""
    print("step", flush=True)
    sys.stdin.readline()


def main(url: str, batch: str, what: str = "drain") -> None:
    """Fold to the end."""
    registry = every_event()
    clock = ManualClock(datetime(2026, 11, 20, tzinfo=UTC))
    with open_record(url, registry) as record:
        runner = Runner(record, open_engine(url), all_projections(), clock, batch=int(batch))
        if what == "rebuild":
            runner.rebuild(progress=step)
            return
        step()
        while runner.run_once():
            step()


if __name__ == "__main__":
    main(*sys.argv[1:])
