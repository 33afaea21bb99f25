"""A database of an earlier version, with a campaign that was half sent when its workers were stopped, goes on."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import inspect, text
from typer.testing import CliRunner

from bench.kill_script import Row, compare
from incidents.record.database import open_engine, reading, writing
from notifier.deliveries import counters
from projections.coverage.coverage import campaign_coverage
from projections.coverage.fold import Coverage
from projections.coverage.tables import NAME
from projections.runner import Runner
from tests.notifier.house import PATIENCE, House, open_house
from tests.notifier.test_kill import Worker
from tests.servers import BACKENDS, fresh_database
from tests.tocsin.test_settings import elsewhere  # noqa: F401 - the fixture
from tocsin.cli.main import app
from tocsin.migrations import run

BEFORE = "0017"
"""The last step of the version that knew neither cancelled campaigns nor the history of a person."""
PEOPLE: list[Row] = [(f"M{number}", "", f"p{number}@example.com", "en", "GB") for number in range(60)]


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_half_sent_campaign_goes_on_after_the_migration(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_database(backend, tmp_path) as url:
        monkeypatch.setenv("TOCSIN_DATABASE_URL", url)
        engine = open_engine(url)
        run.upgrade(engine)
        engine.dispose()
        asyncio.run(_live(tmp_path, url))


async def _live(folder: Path, url: str) -> None:
    async with open_house(folder, worker="door", url=url) as house:
        campaign_id = (await asyncio.to_thread(house.started, PEOPLE)).campaign_id
        worker = Worker(house, house.notifier.receipts._callbacks.public_url, "old")  # type: ignore[union-attr]
        await worker.start(die_at="settled:5")
        assert await worker.died(PATIENCE)
        runner = Runner(house.record, house.database, [Coverage()], house.clock)
        await asyncio.to_thread(runner.drain)

        await asyncio.to_thread(_back_to_the_version_before, house)
        half = await asyncio.to_thread(_told, house, campaign_id)
        assert 0 < half < len(PEOPLE), "it was stopped on the way"
        migrated = await asyncio.to_thread(CliRunner().invoke, app, ["migrate", "--json"])
        assert migrated.exit_code == 0, migrated.output
        assert json.loads(migrated.output)["at"] == BEFORE

        await worker.start()
        try:
            await _finished(house, campaign_id)
        finally:
            await worker.kill()
        report = await asyncio.to_thread(compare, house, campaign_id, PEOPLE)
        # Besides those on the wire, the ones whose answer had come and was not entered yet; nobody who was entered.
        report.on_wire = report.marked
        assert report.marked <= len(PEOPLE) - half
        assert report.sound, report
        assert sum(report.outcomes.values()) == len(PEOPLE)
        await asyncio.to_thread(runner.drain)
        o = campaign_coverage(house.database, campaign_id).outcomes
        assert (o.planned, o.pending, o.accepted) == (len(PEOPLE), 0, len(PEOPLE))


def _back_to_the_version_before(house: House) -> None:
    """Its tables, and a read model whose rows it made."""
    run.downgrade(house.database, BEFORE)
    assert "cancelled_at" not in {column["name"] for column in inspect(house.database).get_columns("sendings")}
    with writing(house.database) as connection:
        connection.execute(text("UPDATE projection_positions SET version = 1 WHERE name = :name"), {"name": NAME})


def _told(house: House, campaign_id: UUID) -> int:
    with reading(house.database) as connection:
        told = text("SELECT count(*) FROM campaign_recipients WHERE outcome <> 'open'")
        return int(connection.execute(told).scalar_one())


async def _finished(house: House, campaign_id: UUID) -> None:
    deadline = time.monotonic() + PATIENCE
    while house.notifier.campaigns.view(campaign_id).status.value != "finished":
        assert time.monotonic() < deadline, counters(house.database, campaign_id)
        await asyncio.sleep(0.1)
