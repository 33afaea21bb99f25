"""Batches of alerts: what is remembered between them is little, and makes no difference to what is decided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from incidents.alerts.batch import BatchIntake
from incidents.alerts.decision import Decider, IntakeSettings, Receipt
from incidents.alerts.tables import findings
from incidents.clock import ManualClock
from incidents.incident.incident import Incident
from incidents.record import Record, Registry, open_record
from incidents.record.database import open_engine
from incidents.record.transaction import transaction
from tests.conftest import NIGHT
from tests.incidents.alerts.intake_harness import siem
from tests.incidents.alerts.samples import wazuh_bytes

BATCHES, AT_ONCE, CAUSES = 6, 10, 7


@pytest.fixture
def place(tmp_path: Path, registry: Registry) -> Iterator[tuple[Record, Engine]]:
    url = f"sqlite:///{tmp_path / 'batches.sqlite'}"
    engine = open_engine(url)
    findings.create(engine)
    with open_record(url, registry) as record:
        yield record, engine
    engine.dispose()


def taken(intake: BatchIntake, place: tuple[Record, Engine]) -> Iterator[list[Receipt]]:
    """What becomes of each batch: alerts of seven causes, one after the other."""
    record, engine = place
    clock = ManualClock(NIGHT)
    for batch in range(BATCHES):
        numbers = range(batch * AT_ONCE, (batch + 1) * AT_ONCE)
        raw = [wazuh_bytes(id=f"1795103267.{n}", data__srcip=f"203.0.113.{n % CAUSES}") for n in numbers]
        alerts = [intake.prepare("wazuh", one) for one in raw]
        with transaction(record, engine) as work:
            receipts = intake.take(alerts, [siem(clock) for _ in alerts], work)
        yield receipts


@pytest.mark.parametrize(("incidents", "alerts"), [(2_000, 25_000), (3, 25_000), (2_000, 12), (0, 0)])
def test_what_is_remembered_keeps_within_its_limits_and_changes_nothing(
    place: tuple[Record, Engine], incidents: int, alerts: int
) -> None:
    intake = BatchIntake(Decider(IntakeSettings()), kept_incidents=incidents, kept_alerts=alerts)
    receipts: list[Receipt] = []
    for batch in taken(intake, place):
        receipts += batch
        kept = list(intake._kept.values())
        assert len(kept) <= min(incidents, CAUSES)
        assert sum(len(one.alerts) for one in kept) <= alerts
        assert kept or not (incidents and alerts)

    outcomes = [receipt.outcome for receipt in receipts]
    assert outcomes == ["declared"] * CAUSES + ["linked"] * (BATCHES * AT_ONCE - CAUSES)
    by_cause = {receipt.incident_id for receipt in receipts}
    assert len(by_cause) == CAUSES
    loaded = [place[0].load(Incident, one) for one in by_cause if one is not None]
    assert sum(len(one.alerts) for one in loaded) == BATCHES * AT_ONCE
