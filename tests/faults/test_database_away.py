"""The database server stops for a while, or falls silent: in the middle of a campaign and of commands."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tests.faults.installation import installation
from tests.faults.night import Night, crowd
from tests.faults.postgres import own_postgres
from tests.faults.proxy import Proxy
from tests.servers import fresh_database, kafka
from tests.world import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

AWAY_SECONDS = float(os.environ.get("TOCSIN_TEST_AWAY_SECONDS", "30"))


def test_the_server_stops_in_the_middle_of_a_campaign_and_of_commands(tmp_path: Path) -> None:
    with (
        own_postgres() as server,
        installation(tmp_path / "house", server.url, slow_by=0.3, bootstrap=kafka()) as house,
    ):
        house.add("api", "api").start()
        for number in (1, 2):
            house.add(f"worker-{number}", "playbooks", "projections", "notifier", "relay").start()
        house.ready()
        night = Night(house, crowd(60))
        night.declare()
        night.approve()
        night.wait_until_told(0.2)

        server.stop("immediate")
        command = threading.Thread(target=night.waive_one_duty)
        command.start()
        time.sleep(AWAY_SECONDS)  # how long it is away
        assert all(process.is_running() for process in house.processes.values())
        assert house.processes["api"].readiness() != (200, '{"status":"ready"}')
        server.start()
        command.join(120)
        assert not command.is_alive()

        night.check()
        house.ready()


def test_a_connection_that_hangs_is_given_up(tmp_path: Path) -> None:
    """A worker's network falls silent: packets are taken, no answer comes, nothing breaks. Its work goes to another,
    and when the network speaks again it works too."""
    with (
        fresh_database("postgresql", tmp_path) as url,
        installation(tmp_path / "house", url, slow_by=0.3, bootstrap=kafka()) as house,
        Proxy.before(url) as proxy,
    ):
        house.add("api", "api").start()
        near = house.add("near", "playbooks", "projections", "notifier", "relay")
        far = house.add("far", "playbooks", "projections", "notifier", "relay", database_url=proxy.through(url))
        far.start()
        house.ready("api", "far")
        near.start()
        house.ready("near")
        night = Night(house, crowd(60))
        night.declare()
        night.approve()
        night.wait_until_told(0.2)

        proxy.silent()
        wait_for(
            lambda: True if "wait timeout expired" in far.log() or "timeout" in far.log() else None,
            "the hanging connections to be given up",
        )
        night.waive_one_duty()
        night.wait_until_told(0.99)
        proxy.speak()

        house.ready("far")
        night.check()
