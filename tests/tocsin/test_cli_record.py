"""`tocsin record`: dividing old events off, as an operator does it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from eventsourcing.persistence import Tracking
from typer.testing import CliRunner, Result

from incidents.clock import ManualClock
from incidents.incident.incident import Incident
from incidents.record import Context, Record, open_record
from incidents.record.database import open_engine
from incidents.record.segments import Segments
from tests.servers import fresh_database
from tests.tocsin.test_settings import elsewhere  # noqa: F401 - the fixture
from tocsin.cli.main import app
from tocsin.services import registry

pytestmark = pytest.mark.slow


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["record", *arguments])


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    with fresh_database("postgresql", tmp_path, migrated=True) as url:
        monkeypatch.setenv("TOCSIN_DATABASE_URL", url)
        with open_record(url, registry()) as opened:
            yield opened


def report(record: Record, clock: ManualClock, count: int) -> None:
    context = Context.of_command("user:lan", clock)
    record.commit(*(Incident.report(uuid4(), context, title="Lost laptop") for _ in range(count)))


def test_divide_list_detach_attach(record: Record, clock: ManualClock) -> None:
    report(record, clock, 10)
    assert "one table" in run("segments").output

    assert run("divide").exit_code == 0

    (first, *_) = json.loads(run("segments", "--json").output)
    assert first["newest"].startswith("2026-11-20 01:00:00")
    assert "still written to" in run("detach", "tocsin_events_1").stderr
    assert run("divide", "--size", "10").exit_code == 2, "too small to be meant"


def test_who_has_not_read_it_is_named(record: Record, clock: ManualClock) -> None:
    engine = open_engine(os.environ["TOCSIN_DATABASE_URL"])
    report(record, clock, 100)
    Segments(engine).divide(60)
    report(record, clock, 100)
    engine.dispose()
    assert json.loads(run("segments", "--json").output)[0]["end"] <= record.head()
    record.process_recorder.insert_tracking(Tracking("automation", 5))

    refused = run("detach", "tocsin_events_1")
    assert refused.exit_code == 1
    assert "automation" in refused.stderr

    taken = run("detach", "tocsin_events_1", "--but-for", "automation")
    assert taken.exit_code == 0, taken.stderr
    assert "pg_dump" in taken.output
    assert run("attach", "tocsin_events_1").exit_code == 0
    assert len(record.read(0, 1000)) == 200


def test_on_sqlite_it_says_that_there_is_nothing_to_divide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh_database("sqlite", tmp_path) as url:
        monkeypatch.setenv("TOCSIN_DATABASE_URL", url)
        refused = run("segments")
    assert refused.exit_code == 2
    assert "PostgreSQL" in refused.stderr
