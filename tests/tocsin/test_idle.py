"""A process that has nothing to do asks the database little, and is not late for that."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from uuid import uuid4

import pytest
from eventsourcing.sqlite import SQLiteTransaction
from sqlalchemy import event, insert, update

from incidents.clock import ManualClock
from incidents.incident.service import IncidentService
from incidents.record import Record, open_record
from incidents.record.database import writing
from notifier.deliveries import DeliveryEngine
from notifier.deliveries.tables import sendings
from tests.conftest import ContextMaker
from tests.rows import sending_row
from tests.world import PATIENCE, wait_for
from tocsin import background as working
from tocsin.background import Background
from tocsin.head_watch import HeadWatch
from tocsin.roles import EVERYTHING
from tocsin.sender import LOOK_SECONDS, Sender
from tocsin.services import Services, registry

SECONDS = 4.0
TIMES = 5
MOST_A_SECOND = 20
"""Of a process that does everything."""


@contextmanager
def counted(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Everything that the process asks of the database: statements of the tables, transactions of the record."""
    asked: Counter[str] = Counter()

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            asked[statement.rsplit("\nFROM", maxsplit=1)[-1][:80].strip()] += 1

    entered = SQLiteTransaction.__enter__

    def enter(self: SQLiteTransaction) -> Any:
        asked["the record"] += 1
        return entered(self)

    monkeypatch.setattr(SQLiteTransaction, "__enter__", enter)
    event.listen(services.engine, "before_cursor_execute", count)
    yield asked
    event.remove(services.engine, "before_cursor_execute", count)


@pytest.mark.slow
def test_an_idle_process_asks_little(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine asks less, so this cannot fail for want of speed."""
    background = Background(services, EVERYTHING, process="everything-1")
    background.start()
    try:
        wait_for(lambda: background.is_settled() or None, "it to be settled")
        for _ in range(TIMES):
            with counted(services, monkeypatch) as asked:
                threading.Event().wait(SECONDS)
            if asked.total() < MOST_A_SECOND * SECONDS:
                break  # idle; before that, on a slow machine, the start may still have had consequences
    finally:
        assert background.stop(PATIENCE)

    assert asked.total() < MOST_A_SECOND * SECONDS, asked.most_common(20)


@pytest.mark.slow
def test_what_another_process_records_is_followed_though_nobody_wakes_the_followers(
    services: Services, analyst: ContextMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "FOLLOW_SECONDS", 3600.0)
    background = Background(services, EVERYTHING, process="everything-1")
    background.start()
    try:
        wait_for(lambda: background.is_settled() or None, "it to be settled")
        with open_record(services.settings.database_url, registry()) as other:
            IncidentService(other).report(uuid4(), analyst(), title="Recorded elsewhere")
            head = other.head()
        wait_for(lambda: services.projections.wait_for(head, timeout=0) or None, "the read models")
    finally:
        assert background.stop(PATIENCE)


def test_who_follows_is_woken_once_for_what_was_recorded_meanwhile(record: Record, analyst: ContextMaker) -> None:
    woken: list[int] = []
    watch = HeadWatch(record, lambda: woken.append(1))
    watch.look()
    assert woken == [1], "what was there before is looked at too"
    watch.look()
    assert woken == [1]
    for title in ("one", "two"):
        IncidentService(record).report(uuid4(), analyst(), title=title)
    watch.look()
    watch.look()
    assert woken == [1, 1]


class Engine:
    """In place of a delivery engine; counts its turns."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.turns: list[str] = []

    async def run_once(self) -> int:
        self.turns.append("run")
        return 0

    async def rest(self) -> None:
        self.turns.append("rest")


def test_who_sends_works_while_somebody_is_left_and_looks_now_and_then(services: Services, clock: ManualClock) -> None:
    uptime = [100.0]
    engine = Engine()
    sender = Sender(services.engine, cast(DeliveryEngine, engine), services.sending_hold, monotonic=lambda: uptime[0])

    def turns() -> list[str]:
        engine.turns.clear()
        asyncio.run(sender.turn())
        return list(engine.turns)

    assert turns() == ["run"], "the first time, for what another process left"
    assert turns() == []
    uptime[0] += LOOK_SECONDS
    assert turns() == ["run"], "messages of finished campaigns may still be asked for"
    assert turns() == []
    engine.in_flight = 1
    assert turns() == ["run"], "what is on its way is seen to its end"
    engine.in_flight = 0
    campaign = uuid4()
    with writing(services.engine) as connection:
        connection.execute(insert(sendings).values(sending_row(campaign, clock.now())))
    assert turns() == turns() == ["run"], "somebody is left"
    services.sending_hold.hold("restored")
    assert turns() == ["rest"]
    with writing(services.engine) as connection:
        connection.execute(update(sendings).values(finished_at=clock.now()))
    assert turns() == []
