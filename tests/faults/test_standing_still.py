"""A process that is stopped for longer than its leases last, and goes on: what it writes late is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from incidents.clock import SystemClock
from incidents.record.bulk import COPY_MARK
from incidents.record.database import open_engine
from incidents.record.leases import Leases
from incidents.record.partitioned import Divisions
from notifier.deliveries.tables import campaign_recipients, delivery_batches
from playbooks.automation import NAME as AUTOMATION
from tests.faults.installation import LEASE_SECONDS, Installation, Process, installation
from tests.faults.night import NOT_TOLD, Night, crowd
from tests.faults.proxy import Proxy
from tests.servers import fresh_database, kafka
from tests.world import Told, wait_for
from tocsin.story.people import BOUNCING

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EVERYTHING = ("playbooks", "projections", "notifier", "relay")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Installation]:
    """One API and two that do all the work; the API runs, the first of the two works alone."""
    with (
        fresh_database("postgresql", tmp_path) as url,
        installation(tmp_path / "house", url, slow_by=0.3, bootstrap=kafka()) as house,
    ):
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
    engine = open_engine(house.database_url)
    with house.record() as record:
        following = [*Divisions(engine, record, SystemClock()).of(AUTOMATION).names(), "campaign-bridge"]
    # What it would get only when it goes on would be its own by right.
    wanted = {f"playbooks/{name}" for name in following}
    wait_for(lambda: True if wanted <= held_by(house, first) else None, "the first to hold all that follows events")

    first.pause()
    time.sleep(LEASE_SECONDS * 2)  # the time that is the matter of this test
    # Given back at the end: meanwhile it is nobody else's, however long a slow machine takes to look.
    taken = Leases(engine, "test", timedelta(hours=1)).acquire(holders(house, live=False))
    first.go_on()

    night = Night(house)
    night.declare()
    with house.record() as record:
        before = [record.position_of(name) for name in following]
        time.sleep(2)  # in which it would have worked: every commit wakes it
        assert [record.position_of(name) for name in following] == before, "followed without a lease"
    assert first.is_running()
    Leases(engine, "test", timedelta(seconds=60)).release(taken)
    engine.dispose()
    night.approve()
    night.check()


def test_what_a_notifier_writes_late_is_refused(tmp_path: Path) -> None:
    """It stops with messages on the wire; another takes its batch over and tells the rest. When it goes on it has
    answers of the provider in hand for a batch that is not its own any more."""
    with (
        fresh_database("postgresql", tmp_path) as url,
        installation(tmp_path / "house", url, slow_by=0.1, bootstrap=kafka()) as house,
    ):
        house.add("api", "api").start()
        house.add("rest", "playbooks", "projections", "relay").start()
        first, second = house.add("first", "notifier"), house.add("second", "notifier")
        first.start()
        house.ready("api", "rest", "first")
        night = Night(house)
        assert house.provider is not None
        night.declare()
        house.provider.silent()
        night.approve()
        wait_for(lambda: texts_are_on_the_wire(house) or None, "texts to be on the wire")
        first.pause()
        house.provider.speak()

        second.start()
        wait_for(lambda: "batch.taken-over" in second.log() or None, "the second to take the batch over")
        night.check(comes_back=False)
        told, rows = told_for_good(house), deliveries_of(house)
        first.go_on()
        wait_for(lambda: "batch.lost" in first.log() or None, "the first to be refused")
        house.ready("first")

        night.check(comes_back=False)
        assert told_for_good(house) == told, "it sent nothing more"
        assert deliveries_of(house) == rows, "it changed nothing"


def test_a_notifier_that_stands_still_in_the_middle_of_a_copy_holds_up_nobody(tmp_path: Path) -> None:
    """The server waits for its rows without end, and keeps locked what it has locked: its batch among it."""
    with (
        fresh_database("postgresql", tmp_path) as url,
        installation(tmp_path / "house", url, slow_by=0.1, bootstrap=kafka()) as house,
        Proxy.before(url) as proxy,
    ):
        house.add("api", "api").start()
        house.add("rest", "playbooks", "projections", "relay").start()
        first, second = house.add("first", "notifier", database_url=proxy.through(url)), house.add("second", "notifier")
        first.start()
        house.ready("api", "rest", "first")
        night = Night(house)
        night.declare()
        proxy.silent_after(f"COPY {COPY_MARK} campaign_recipients".encode())
        night.approve()
        wait_for(lambda: proxy.is_silent or None, "the first to enter what became of a batch")
        second.start()
        night.check(comes_back=False)
        assert "database.standstill-ended" in second.log()


def texts_are_on_the_wire(house: Installation) -> bool:
    """Whether a batch of texts is held and some of its people may be written to."""
    marked = (delivery_batches.c.channel == "sms") & (delivery_batches.c.wire_to >= delivery_batches.c.first)
    engine = open_engine(house.database_url)
    try:
        with engine.connect() as connection:
            return connection.execute(select(delivery_batches.c.number).where(marked)).first() is not None
    finally:
        engine.dispose()


def told_for_good(house: Installation) -> dict[str, Told]:
    """What arrived where somebody is. A mail to nobody may come back when the first goes on: it is the one that
    listens."""
    return {to: seen for to, seen in house.world.told().items() if not to.startswith(BOUNCING)}


def deliveries_of(house: Installation) -> list[tuple[object, ...]]:
    """What the tables say of every person and of every batch."""
    engine = open_engine(house.database_url)
    try:
        with engine.connect() as connection:
            people = select(campaign_recipients.c.recipient_id, campaign_recipients.c.outcome)
            batches = select(delivery_batches.c.number, delivery_batches.c.fence, delivery_batches.c.state)
            rows = [tuple(map(str, row)) for wanted in (people, batches) for row in connection.execute(wanted)]
            # What came back tells that nobody got what may have been sent: one way of not being told, or another.
            return sorted(tuple("not told" if word in NOT_TOLD else word for word in row) for row in rows)
    finally:
        engine.dispose()
