"""A process that folds, for tests that kill it: `python -m tests.projections.folding_process URL BATCH [rebuild]`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from incidents.alerts.events import EVENTS as ALERT_EVENTS
from incidents.assets.events import EVENTS as ASSET_EVENTS
from incidents.clock import ManualClock
from incidents.incident.events import EVENTS as INCIDENT_EVENTS
from incidents.record import Registry, open_record
from incidents.record.database import open_engine
from notifier.campaigns.events import EVENTS as CAMPAIGN_EVENTS
from playbooks.duties.events import EVENTS as DUTY_EVENTS
from playbooks.filings.events import EVENTS as FILING_EVENTS
from playbooks.parties.events import EVENTS as PARTY_EVENTS
from playbooks.runs.events import EVENTS as RUN_EVENTS
from projections.catalogue import all_projections
from projections.runner import Runner


def main(url: str, batch: str, what: str = "drain") -> None:
    """Fold to the end, with a line on standard output before each step."""
    registry = Registry(
        [
            *INCIDENT_EVENTS,
            *ALERT_EVENTS,
            *ASSET_EVENTS,
            *DUTY_EVENTS,
            *FILING_EVENTS,
            *RUN_EVENTS,
            *PARTY_EVENTS,
            *CAMPAIGN_EVENTS,
        ]
    )
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
