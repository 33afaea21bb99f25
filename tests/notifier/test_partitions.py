"""Partitions of large campaigns on a real PostgreSQL: made beside writers, without looking through what others wrote
under a lock, cleared up after a kill, taken off and dropped as a whole."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, insert, text

from incidents.clock import ManualClock
from incidents.errors import Conflict
from incidents.record.database import open_engine, reading, writing
from notifier.deliveries import partitions as module
from notifier.deliveries.partitions import TABLES, Partitions, partition_of
from notifier.deliveries.tables import campaign_recipients, deliveries, sendings
from tests.notifier.house import create_tables, open_house
from tests.rows import sending_row
from tests.servers import fresh_database

pytestmark = pytest.mark.slow


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with fresh_database("postgresql", tmp_path) as url:
        opened = open_engine(url)
        create_tables(opened)
        yield opened
        opened.dispose()


def parts(engine: Engine, **options: Any) -> Partitions:
    return Partitions(engine, threshold=100, sleep=lambda _: None, **options)


def enter(engine: Engine, clock: ManualClock, campaign_id: UUID, people: int = 3) -> None:
    """Rows as batches enter them."""
    ids = [uuid4() for _ in range(people)]
    person = {"campaign_id": campaign_id, "language": "en", "channels": "email", "outcome": "accepted"}
    attempt: dict[str, Any] = {"campaign_id": campaign_id, "channel": "email", "state": "accepted", "rank": 3}
    attempt |= {"phase": "done", "due_at": clock.now(), "changed_at": clock.now()}
    with writing(engine) as connection:
        connection.execute(
            insert(campaign_recipients),
            [
                {**person, "recipient_id": one, "position": at, "reference": one.hex[:10]}
                for at, one in enumerate(ids, start=1)
            ],
        )
        connection.execute(
            insert(deliveries), [{**attempt, "recipient_id": one, "delivery_id": uuid4()} for one in ids]
        )


def opened(engine: Engine, clock: ManualClock, campaign_id: UUID) -> None:
    with writing(engine) as connection:
        connection.execute(insert(sendings).values(sending_row(campaign_id, clock.now())))


def places(engine: Engine, campaign_id: UUID) -> dict[str, set[str]]:
    """In which tables the rows of a campaign really lie."""
    with reading(engine) as connection:
        return {
            table: set(
                connection.execute(
                    text(f"SELECT DISTINCT tableoid::regclass::text FROM {table} WHERE campaign_id = :c"),
                    {"c": campaign_id},
                ).scalars()
            )
            for table in TABLES
        }


def leftovers(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return list(connection.execute(text("SELECT conname FROM pg_constraint WHERE conname ~ '^apart_'")).scalars())


def test_a_large_campaign_lies_apart_and_a_small_one_does_not(engine: Engine, clock: ManualClock) -> None:
    large, small = uuid4(), uuid4()
    enter(engine, clock, small)

    assert parts(engine).prepare(large, 100)
    assert not parts(engine).prepare(small, 99)
    assert not Partitions(engine, threshold=0).prepare(uuid4(), 10**9)
    enter(engine, clock, large)
    enter(engine, clock, small)

    assert places(engine, large) == {table: {partition_of(table, large)} for table in TABLES}
    assert places(engine, small) == {table: {f"{table}_rest"} for table in TABLES}
    assert leftovers(engine) == []
    with reading(engine) as connection:
        plan = "\n".join(
            connection.execute(text(f"EXPLAIN SELECT * FROM deliveries WHERE campaign_id = '{large}'")).scalars()
        )
    assert "deliveries_rest" not in plan, "a query for the campaign looks nowhere else"
    (own,) = parts(engine).standing()
    assert (own.campaign_id, own.attached) == (large, True)
    assert own.bytes > 0


def test_attaching_does_not_look_through_the_rows_of_others(
    engine: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server says so itself: what it would look for under a lock is implied by a constraint proven before."""
    enter(engine, clock, uuid4())
    said = list[str]()

    def attach(connection: Any, table: str, campaign_id: UUID) -> None:
        connection.connection.driver_connection.add_notice_handler(lambda notice: said.append(notice.message_primary))
        connection.exec_driver_sql("SET LOCAL client_min_messages = debug1")
        real(connection, table, campaign_id)

    real = module._attach
    monkeypatch.setattr(module, "_attach", attach)
    assert parts(engine).prepare(uuid4(), 100)
    for table in TABLES:
        assert any(f'"{table}_rest" is implied by existing constraints' in line for line in said), said


def test_workers_that_prepare_at_once_beside_writers_disturb_nobody(engine: Engine, clock: ManualClock) -> None:
    campaigns, others, failed, stop = [uuid4() for _ in range(3)], uuid4(), list[Exception](), threading.Event()

    def guarded(work: Any) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - looked at below
                failed.append(error)

        return threading.Thread(target=run)

    def write() -> None:
        while not stop.is_set():
            enter(engine, clock, others)

    def prepare() -> None:
        for campaign in campaigns:
            assert parts(engine).prepare(campaign, 1_000)

    writers, makers = [guarded(write) for _ in range(2)], [guarded(prepare) for _ in range(3)]
    for thread in (*writers, *makers):
        thread.start()
    for thread in makers:
        thread.join()
    stop.set()
    for thread in writers:
        thread.join()

    assert failed == []
    assert {own.campaign_id for own in parts(engine).standing() if own.attached} == set(campaigns)
    assert places(engine, others) == {table: {f"{table}_rest"} for table in TABLES}
    assert leftovers(engine) == []


def test_where_the_tables_are_in_use_all_the_time_the_campaign_is_sent_all_the_same(
    engine: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.1)
    campaign = uuid4()
    with reading(engine) as connection:
        connection.execute(text("SELECT * FROM deliveries_rest")).all()  # as a dump does, for hours
        assert not parts(engine, tries=2).prepare(campaign, 100)
    enter(engine, clock, campaign)
    assert places(engine, campaign)["deliveries"] == {"deliveries_rest"}
    assert (parts(engine).standing(), leftovers(engine)) == ([], [])


def test_a_step_that_a_reader_holds_up_is_repeated(
    engine: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once others are kept out of the campaign's place, it must not be sent before it has a place of its own."""
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.1)
    campaign, real = uuid4(), Partitions._prove

    def prove_and_hold(self: Partitions, table: str, campaign_id: UUID) -> None:
        real(self, table, campaign_id)
        if table == TABLES[0]:
            held.execute(text("SELECT 1 FROM deliveries_rest LIMIT 1")).all()

    with engine.connect() as held:
        with monkeypatch.context() as patch:
            patch.setattr(Partitions, "_prove", prove_and_hold)
            with pytest.raises(Conflict, match="in use"):
                parts(engine, tries=2).prepare(campaign, 100)
        held.rollback()
    assert parts(engine).prepare(campaign, 100)
    enter(engine, clock, campaign)
    assert places(engine, campaign)["deliveries"] == {partition_of("deliveries", campaign)}
    assert leftovers(engine) == []


def test_a_kill_between_the_steps_leaves_nothing_in_the_way(engine: Engine, clock: ManualClock) -> None:
    """A process of a version that knows no partitions may open the sending after the kill."""
    campaign, other = uuid4(), uuid4()
    for table in TABLES:
        with writing(engine) as connection:
            assert module._begin(connection, table, campaign)
    assert parts(engine).mend() == 0, "somebody may be at it: the sending is not open"
    opened(engine, clock, campaign)
    assert parts(engine).mend() == len(TABLES)
    enter(engine, clock, campaign)
    assert (parts(engine).standing(), leftovers(engine)) == ([], [])
    assert not parts(engine).prepare(campaign, 100), "its rows may be in the shared place already"

    with writing(engine) as connection:
        assert module._begin(connection, TABLES[0], other)
    assert parts(engine).prepare(other, 100), "or the next try goes on"


def test_what_is_full_is_analyzed_and_what_is_dropped_is_gone(engine: Engine, clock: ManualClock) -> None:
    large, small = uuid4(), uuid4()
    assert parts(engine).prepare(large, 100)
    enter(engine, clock, large, people=150)
    enter(engine, clock, small)

    assert parts(engine).analyze(large)
    assert not parts(engine).analyze(small)
    with reading(engine) as connection:
        known = text("SELECT reltuples FROM pg_class WHERE relname = :name")
        assert connection.execute(known, {"name": partition_of("deliveries", large)}).scalar() == 150

    with writing(engine) as connection:  # a kill after the first of two was taken off
        module._detach(connection, "deliveries", large)
    (own,) = parts(engine).standing()
    assert not own.attached
    assert parts(engine).drop(large)
    assert not parts(engine).drop(large)
    assert parts(engine).standing() == []
    assert places(engine, large) == {table: set() for table in TABLES}
    assert places(engine, small) == {table: {f"{table}_rest"} for table in TABLES}


def test_a_started_campaign_is_sent_out_of_its_own_partition(tmp_path: Path) -> None:
    async def story(url: str) -> None:
        async with open_house(tmp_path, url=url, partition_from=3) as house:
            people = [(f"P{n}", "", f"p{n}@example.com", "en", "GB") for n in range(5)]
            large, small = house.started(people), house.started(people[:2])
            for view in (large, small):
                done = await house.finish(view.campaign_id)
                assert done.outcomes["accepted"] == (5 if view is large else 2)
            own = {table: {partition_of(table, large.campaign_id)} for table in TABLES}
            assert places(house.database, large.campaign_id) == own
            assert places(house.database, small.campaign_id) == {table: {f"{table}_rest"} for table in TABLES}
            assert house.notifier.rows.look_after() == 1, "analyzed"
            assert house.notifier.rows.look_after() == 0

            rows = house.notifier.rows
            rows.remove(large.campaign_id, actor="user:lan", reason="over", without_export=True)
            assert places(house.database, large.campaign_id) == {table: set() for table in TABLES}
            assert len({move.recipient for move in house.moves(large.campaign_id)}) == 5, "all of it is on record"
            (gone,) = [one.event for one in house.record.read(0, 10_000, kinds=("delivery.rows-removed",))]
            assert (gone.persons, gone.attempts, gone.reason) == (5, 5, "over")  # type: ignore[attr-defined]

    with fresh_database("postgresql", tmp_path) as url:
        asyncio.run(story(url))
