"""A process that folds, for tests that kill it: `python -m tests.projections.folding_process URL BATCH [rebuild]`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from incidents.clock import ManualClock
from incidents.record import open_record
from incidents.record.database import open_engine
from projections.catalogue import all_projections
from projections.runner import Runner
from tocsin.services import registry as every_event


def main(url: str, batch: str, what: str = "drain") -> None:
    """Fold to the end, with a line on standard output before each step."""
    registry = every_event()
    clock = ManualClock(datetime(2026, 11, 20, tzinfo=UTC))
    with open_record(url, registry) as record:
        runner = Runner(record, open_engine(url), all_projections(), clock, batch=int(batch))
        if what == "rebuild":
            runner.rebuild(progress=lambda *_: print("step", flush=True))
            return
        print("step", flush=True)
        while runner.run_once():
            print("step", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
