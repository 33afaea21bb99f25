"""The story of First light on one PostgreSQL with many processes: undisturbed, and while one is killed every few
seconds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.installation import Installation, Reaper, installation
from tests.faults.night import Night, crowd
from tests.servers import fresh_database
from tests.world import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEED = 20261122


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Installation]:
    """One API, two of each kind of worker; not started."""
    with fresh_database("postgresql", tmp_path) as url, installation(tmp_path / "house", url, slow_by=0.2) as house:
        house.add("api", "api")
        for number in (1, 2):
            for role in ("playbooks", "projections", "notifier"):
                house.add(f"{role}-{number}", role)
        yield house


def start(house: Installation) -> None:
    for process in house.processes.values():
        process.start()


def test_many_processes_play_one_story(house: Installation) -> None:
    start(house)
    house.ready()
    night = Night(house)

    night.declare()
    night.approve()
    night.waive_one_duty()
    night.check()

    workers = [process for process in house.processes.values() if process.name != "api"]
    assert {process.end() for process in [*workers, house.processes["api"]]} == {0}
    assert "Traceback" not in house.logs()


def test_one_process_is_killed_every_few_seconds(house: Installation) -> None:
    start(house)
    house.ready("api")
    night = Night(house, crowd(150))
    dice = random.Random(SEED)

    with Reaper(list(house.processes.values()), dice, every=(2.0, 4.0)) as reaper:
        night.declare()
        night.approve()
        night.waive_one_duty()
        night.wait_until_told(0.9)
    assert len(reaper.killed) >= 3

    wait_for(lambda: True if all(p.is_running() for p in house.processes.values()) else None, "all to run again")
    night.check()
