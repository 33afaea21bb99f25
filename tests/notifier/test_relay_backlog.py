"""A backlog of outcomes, as after a night in which nothing was copied to the record: taken in parts, in order."""

from __future__ import annotations

import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest

from incidents.clock import ManualClock
from incidents.record import Registry, open_record
from incidents.record.database import open_engine
from notifier.campaigns.events import EVENTS, DeliveriesRecorded
from notifier.deliveries import DeliveryRelay
from notifier.deliveries.tables import delivery_log
from tests.notifier.batch_desk import Desk, people, send_all
from tests.notifier.house import create_tables

PEOPLE, AT_ONCE = 10_000, 100
MOST_BYTES = 800_000


@pytest.mark.slow
def test_a_backlog_is_copied_in_order_and_never_read_as_a_whole(tmp_path: Path, clock: ManualClock) -> None:
    url = f"sqlite:///{tmp_path / 'backlog.sqlite'}"
    engine = open_engine(url)
    create_tables(engine)
    desk = Desk(engine, clock, people(PEOPLE), size=AT_ONCE)
    book = desk.book()
    while batch := book.claim(drill=False, channel="email"):
        send_all(book, batch, clock)
    backlog = sum(len(row.moves) for row in desk.rows(delivery_log))
    waiting = desk.logged()
    with closing(open_record(url, Registry(EVENTS))) as record:
        relay = DeliveryRelay(engine, record, clock, moves_per_event=AT_ONCE)
        relay.run_once()
        tracemalloc.start()
        while relay.run_once():
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        told = [
            move
            for recorded in record.read(0, 10_000)
            if isinstance(recorded.event, DeliveriesRecorded)
            for move in recorded.event.moves
        ]
    assert len(told) == waiting == 2 * PEOPLE, "each was claimed and accepted"
    assert backlog > 1_200_000, "there is so much that reading it all would be seen"
    assert peak < MOST_BYTES, f"{peak} bytes to copy a part of {backlog}"
    assert desk.rows(delivery_log) == []
    engine.dispose()
