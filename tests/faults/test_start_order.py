"""Processes that start before their database, and before its schema, wait and say so; then they work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.installation import Process, installation
from tests.faults.night import Night
from tests.faults.postgres import own_postgres
from tests.ports import free_port
from tests.servers import fresh_database, kafka
from tests.world import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def waits_for(process: Process, reason: str) -> None:
    wait_for(lambda: True if reason in process.log() else None, f"{process.name} to say what it waits for")
    assert process.is_running()


def test_workers_and_api_start_before_the_schema(tmp_path: Path) -> None:
    with (
        fresh_database("postgresql", tmp_path) as url,
        fresh_database("postgresql", tmp_path) as empty,
        installation(tmp_path / "house", url) as house,
    ):
        worker = house.add("worker", "playbooks", "projections", "notifier", database_url=empty)
        api = house.add("api", "api", database_url=empty)
        worker.start()
        api.start()
        for process in (worker, api):
            waits_for(process, "the schema is not at step")
        status, text = wait_for(api.readiness, "the waiting API to answer probes")
        assert status == 503
        assert "the schema is not at step" in json.loads(text)["reasons"][0]["reason"]

        everything = house.add("everything", "all", database_url=empty, port=free_port())
        everything.start()
        house.ready("worker", "api")
        assert (worker.end(), api.end(), everything.end()) == (0, 0, 0)


def test_everything_starts_before_the_server(tmp_path: Path) -> None:
    with own_postgres() as server, installation(tmp_path / "house", server.url, bootstrap=kafka()) as house:
        server.stop("fast")
        for name, roles in {"api": ["api"], "worker": ["playbooks", "projections", "notifier", "relay"]}.items():
            house.add(name, *roles).start()
        for process in house.processes.values():
            waits_for(process, "the database does not answer")
        server.start()

        house.ready()
        night = Night(house)
        night.declare()
        night.approve()
        night.check()
        assert "Traceback" not in house.logs()
