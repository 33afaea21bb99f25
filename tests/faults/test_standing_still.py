"""A process that is stopped for longer than its leases last, and goes on: what it writes late is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from incidents.clock import SystemClock
from incidents.record.database import open_engine
from incidents.record.leases import Leases
from incidents.record.partitioned import Divisions
from playbooks.automation import NAME as AUTOMATION
from tests.faults.installation import LEASE_SECONDS, Installation, Process, installation
from tests.faults.night import Night, crowd
from tests.servers import fresh_database
from tests.world import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EVERYTHING = ("playbooks", "projections", "notifier")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Installation]:
    """One API and two that do all the work; the API runs, the first of the two works alone."""
    with fresh_database("postgresql", tmp_path) as url, installation(tmp_path / "house", url, slow_by=0.3) as house:
        house.add("api", "api").start()
        house.add("first", *EVERYTHING).start()
        house.add("second", *EVERYTHING)
        house.ready("api", "first")
        yield house


def holders(house: Installation, *, live: bool = True) -> dict[str, str]:
    """Who holds what, members left out."""
    engine = open_engine(house.database_url)
    try:
        rows = Leases(engine, "test", timedelta(seconds=1)).rows("")
        return {name: row.holder for name, row in rows.items() if row.live is live and "/member/" not in name}
    finally:
        engine.dispose()


def held_by(house: Installation, process: Process) -> set[str]:
    return {name for name, holder in holders(house).items() if f"-{process.pid}-" in holder}


def test_a_stopped_worker_is_replaced_and_its_late_writes_change_nothing(house: Installation) -> None:
    night = Night(house, crowd(60))
    first, second = house.processes["first"], house.processes["second"]
    wait_for(lambda: held_by(house, first) or None, "the first to hold everything")
    night.declare()
    night.approve()
    night.wait_until_told(0.2)

    first.pause()
    second.start()
    house.ready("second")
    wait_for(lambda: True if not held_by(house, first) else None, "the first one's leases to run out")
    wait_for(
        lambda: True if len(held_by(house, second)) == len(holders(house)) > 10 else None, "the second to take all"
    )
    night.waive_one_duty()
    night.wait_until_told(0.99)
    first.go_on()

    night.check()
    assert first.is_running()
    house.ready("first")
    share = wait_for(lambda: held_by(house, first) or None, "the first to get its share again")
    assert len(share) < len(holders(house)), "it got a share, and not everything"


def test_who_was_stopped_knows_at_once_that_it_holds_nothing(house: Installation) -> None:
    """Every worker of a process that goes on asks before it acts; a lease that ran out meanwhile is not trusted."""
    first = house.processes["first"]
    wait_for(lambda: held_by(house, first) or None, "the first to hold everything")

    first.pause()
    time.sleep(LEASE_SECONDS * 2)  # the time that is the matter of this test
    engine = open_engine(house.database_url)
    taken = Leases(engine, "test", timedelta(seconds=60)).acquire(holders(house, live=False))
    first.go_on()

    night = Night(house)
    night.declare()
    with house.record() as record:
        following = [*Divisions(engine, record, SystemClock()).of(AUTOMATION).names(), "campaign-bridge"]
        before = [record.position_of(name) for name in following]
        time.sleep(2)  # in which it would have worked: every commit wakes it
        assert [record.position_of(name) for name in following] == before, "followed without a lease"
    assert first.is_running()
    Leases(engine, "test", timedelta(seconds=60)).release(taken)
    engine.dispose()
    night.approve()
    night.check()
