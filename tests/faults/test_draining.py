"""A process that is told to end: it begins nothing new, finishes what is on the wire, gives back what it held."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.installation import LEASE_SECONDS, installation
from tests.faults.night import Night, crowd
from tests.faults.test_standing_still import held_by
from tests.servers import fresh_database, kafka
from tests.world import PATIENCE, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_told_to_end_in_the_middle_of_a_campaign(tmp_path: Path) -> None:
    with (
        fresh_database("postgresql", tmp_path) as url,
        installation(tmp_path / "house", url, slow_by=0.3, bootstrap=kafka()) as house,
    ):
        house.add("api", "api").start()
        rest = house.add("rest", "playbooks", "projections", "relay")
        rest.start()
        workers = {"probe_port": 0, "lease_seconds": LEASE_SECONDS, "drain_seconds": int(PATIENCE)}
        first = house.add("first", "notifier", workers=workers)
        first.start()
        house.ready("api", "rest", "first")
        night = Night(house, crowd(60))
        night.declare()
        night.approve()
        night.wait_until_told(0.2)

        assert first.end(2 * PATIENCE) == 0
        assert '"drained": true' in first.log(), "by itself, and not for want of time"
        assert held_by(house, first) == set(), "leases are given back, not left to run out"
        before = len(house.world.told())
        second = house.add("second", "notifier")
        second.start()
        wait_for(lambda: True if len(house.world.told()) > before else None, "the second to go on")
        night.check()

        with house.record() as record:
            assert night.marked_in(record) == set(), "nobody is left in doubt by an end in good order"
        assert rest.end() == 0
        assert house.processes["api"].end() == 0


def test_told_to_end_while_it_waits(tmp_path: Path) -> None:
    """A process whose database is not there ends as well as any other."""
    with fresh_database("postgresql", tmp_path) as url, installation(tmp_path / "house", url) as house:
        nowhere = house.add("nowhere", "playbooks", database_url="postgresql://tocsin@127.0.0.1:9/nowhere")
        nowhere.start()
        wait_for(lambda: True if "does not answer" in nowhere.log() else None, "it to say what it waits for")
        assert nowhere.end() == 0
