"""Intake on a database file, and a worker for tests that need another process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from uuid import uuid4

from incidents.alerts.events import EVENTS as ALERT_EVENTS
from incidents.alerts.intake import AlertIntake, IntakeSettings
from incidents.alerts.tables import SqlFindingsStore, findings
from incidents.clock import Clock, ManualClock
from incidents.incident.events import EVENTS as INCIDENT_EVENTS
from incidents.record import Context, Record, Registry, open_record
from incidents.record.database import metadata, open_engine, writing
from tests.conftest import NIGHT


@contextmanager
def intake_on(url: str, record: Record, clock: Clock, settings: IntakeSettings | None = None) -> Iterator[AlertIntake]:
    """An intake whose findings table exists."""
    engine = open_engine(url)
    with writing(engine) as connection:  # many may come here at once
        metadata.create_all(connection, tables=[findings])
    try:
        yield AlertIntake(record, SqlFindingsStore(engine), clock, settings)
    finally:
        engine.dispose()


def siem(clock: Clock) -> Context:
    """The context of one posting of a detector."""
    return Context.of_command("siem:wazuh-1", clock, command_id=uuid4())


def receive_in_process(url: str, raws: list[bytes], barrier: Barrier) -> list[tuple[str, str, str]]:
    """Receive these alerts in a process of its own, starting with the others."""
    clock = ManualClock(NIGHT)
    registry = Registry([*INCIDENT_EVENTS, *ALERT_EVENTS])
    with open_record(url, registry) as record, intake_on(url, record, clock) as intake:
        barrier.wait(timeout=60)
        receipts = [intake.receive("wazuh", raw, siem(clock)) for raw in raws]
    return [(str(r.alert_id), str(r.incident_id), r.outcome) for r in receipts]
