"""The rows of finished campaigns: written to a file, kept as long as they must be, taken away once and on record."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, Table, func, insert, select, update

from incidents.clock import ManualClock
from incidents.errors import Conflict, InvalidInput, NotFound
from incidents.record import Record, Registry, open_record
from incidents.record.database import open_engine, reading, writing
from notifier.campaigns.events import EVENTS
from notifier.deliveries import counters, retention
from notifier.deliveries.early import keep_early
from notifier.deliveries.moves import new_delivery
from notifier.deliveries.partitions import Partitions
from notifier.deliveries.retention import DeliveryRows
from notifier.deliveries.rows_events import EVENTS as ROWS_EVENTS
from notifier.deliveries.tables import (
    campaign_recipients,
    campaign_rows,
    deliveries,
    delivery_batches,
    delivery_log,
    sendings,
)
from notifier.letters.tables import letter_items
from tests.notifier.batch_desk import Desk, people, send_all
from tests.notifier.house import create_tables
from tests.servers import BACKENDS, emptied_database

MONTH = timedelta(days=30)
WORKING = (deliveries, campaign_recipients, delivery_batches)


class House:
    """Two campaigns, both sent to the end."""

    def __init__(self, engine: Engine, record: Record, clock: ManualClock) -> None:
        self.engine, self.record, self.clock = engine, record, clock
        self.desk = Desk(engine, clock, people(25))
        self.campaign = self.send()
        self.desk.start()
        self.other = self.send()

    def send(self) -> UUID:
        book = self.desk.book()
        while batch := book.claim(drill=False, channel="email"):
            send_all(book, batch, self.clock)
        return self.desk.campaign_id

    def finish(self, campaign_id: UUID) -> None:
        """As the relay and the finisher leave it."""
        with writing(self.engine) as connection:
            connection.execute(delivery_log.delete().where(delivery_log.c.campaign_id == campaign_id))
            connection.execute(
                update(sendings)
                .where(sendings.c.campaign_id == campaign_id)
                .values(finished_at=self.clock.now(), open=0)
            )

    def rows(self, **options: Any) -> DeliveryRows:
        partitions = Partitions(self.engine, threshold=0)
        return DeliveryRows(self.engine, self.record, self.clock, partitions, **{"keep": MONTH, **options})

    def left(self, campaign_id: UUID) -> dict[str, int]:
        with reading(self.engine) as connection:
            return {
                table.name: connection.execute(
                    select(func.count()).select_from(table).where(table.c.campaign_id == campaign_id)
                ).scalar_one()
                for table in WORKING
            }

    def recorded(self) -> list[Any]:
        return [one.event for one in self.record.read(0, 100, kinds=("delivery.rows-removed",))]


@pytest.fixture(params=BACKENDS)
def house(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[House]:
    with emptied_database(request.param, tmp_path) as url:
        engine = open_engine(url)
        create_tables(engine)
        with open_record(url, Registry([*EVENTS, *ROWS_EVENTS])) as record:
            yield House(engine, record, clock)
        engine.dispose()


ALL = {"deliveries": 25, "campaign_recipients": 25, "delivery_batches": 3}
NONE = dict.fromkeys(ALL, 0)


def test_rows_stay_while_there_is_a_reason_and_it_is_said(house: House, tmp_path: Path) -> None:
    rows, campaign = house.rows(), house.campaign

    def refused(reason: str) -> None:
        with pytest.raises(Conflict, match=reason):
            rows.remove(campaign, actor="user:lan", reason="over")
        assert reason in (next(one.keeps for one in rows.standing() if one.campaign_id == campaign) or "")

    refused("not finished")
    with pytest.raises(Conflict, match="not finished"):
        rows.export(campaign, tmp_path / "rows.gz")
    with writing(house.engine) as connection:
        connection.execute(update(sendings).values(finished_at=house.clock.now()))
    refused("not every move is on record")
    house.finish(campaign)
    some = select(deliveries.c.delivery_id).where(deliveries.c.campaign_id == campaign).limit(1).scalar_subquery()
    with writing(house.engine) as connection:
        connection.execute(update(deliveries).where(deliveries.c.delivery_id == some).values(phase="waiting"))
    refused("receipts are still awaited")
    with writing(house.engine) as connection:
        connection.execute(update(deliveries).values(phase="done"))
    refused("30 days")
    house.clock.advance(MONTH)
    refused("not written to a file")
    rows.export(campaign, tmp_path / "rows.gz")
    person = select(campaign_recipients.c.recipient_id).where(campaign_recipients.c.campaign_id == campaign)
    with writing(house.engine) as connection:
        letter = {"recipient_id": connection.execute(person).scalars().first(), "batch_id": uuid4(), "position": 1}
        connection.execute(insert(letter_items).values(campaign_id=campaign, **letter))
    refused("neither handed over nor given up")
    with writing(house.engine) as connection:
        sent = new_delivery(campaign, letter["recipient_id"], "letter", 0, house.clock.now())
        connection.execute(insert(deliveries).values(**{**sent, "phase": "done"}))
    assert next(one.keeps for one in rows.standing() if one.campaign_id == campaign) is None
    with writing(house.engine) as connection:
        connection.execute(deliveries.delete().where(deliveries.c.channel == "letter"))
    assert house.left(campaign) == ALL
    with pytest.raises(NotFound):
        rows.remove(uuid4(), actor="user:lan", reason="over")


def test_an_export_holds_every_row_and_nothing_about_workers(house: House, tmp_path: Path) -> None:
    house.finish(house.campaign)
    path = tmp_path / "rows.ndjson.gz"
    made = house.rows().export(house.campaign, path)

    assert made.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_mode & 0o077 == 0
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert Counter(line["kind"] for line in lines) == {"campaign": 1, "recipient": 25, "delivery": 25, "end": 1}
    assert lines[0]["campaign_id"] == str(house.campaign)
    assert (lines[-1]["rows"], made.rows) == (50, 50)
    persons = {line["recipient_id"]: line for line in lines if line["kind"] == "recipient"}
    attempts = {line["recipient_id"]: line for line in lines if line["kind"] == "delivery"}
    assert persons.keys() == attempts.keys() == {str(member.recipient_id) for member in house.desk.audience.people}
    references = {str(row.recipient_id): row.reference for row in _persons(house)}
    assert {one: line["reference"] for one, line in persons.items()} == references
    assert {line["state"] for line in attempts.values()} == {"accepted"}
    assert not any("lease" in name for line in attempts.values() for name in line)
    with pytest.raises(Conflict, match="there already"):
        house.rows().export(house.campaign, path)
    assert list(tmp_path.glob("*.part")) == []


def _persons(house: House) -> list[Any]:
    with reading(house.engine) as connection:
        mine = campaign_recipients.c.campaign_id == house.campaign
        return list(connection.execute(select(campaign_recipients).where(mine)))


def test_an_export_goes_on_from_page_to_page(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_PAGE", 7)
    house.finish(house.campaign)
    assert house.rows().export(house.campaign, tmp_path / "rows.gz").rows == 50


def test_what_is_removed_is_gone_once_and_on_record(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 10)
    house.finish(house.campaign)
    told = counters(house.engine, house.campaign)
    exported = house.rows().export(house.campaign, tmp_path / "rows.gz")
    house.clock.advance(MONTH)
    for _ in range(2):
        house.rows().remove(house.campaign, actor="user:lan", reason="retention is over")

    assert house.left(house.campaign) == NONE
    assert house.left(house.other) == ALL, "nobody else's"
    (event,) = house.recorded()
    assert (event.actor, event.campaign_id, event.reason) == ("user:lan", house.campaign, "retention is over")
    assert (event.persons, event.attempts, event.export_digest) == (25, 25, exported.digest)
    assert counters(house.engine, house.campaign) == told, "how many were told is still known"
    (one,) = [one for one in house.rows().standing() if one.campaign_id == house.campaign]
    assert (one.removed_at, one.keeps) == (house.clock.now(), "they are removed already")
    with pytest.raises(Conflict, match="removed"):
        house.rows().export(house.campaign, tmp_path / "again.gz")


def test_a_receipt_that_comes_later_finds_nothing_and_is_not_kept_for_ever(house: House) -> None:
    house.finish(house.campaign)
    with reading(house.engine) as connection:
        late = connection.execute(
            select(deliveries.c.delivery_id).where(deliveries.c.campaign_id == house.campaign)
        ).first()
    assert late is not None
    house.rows(keep=None).remove(house.campaign, actor="user:lan", reason="over", without_export=True)
    book = house.desk.book()._book
    with book.transaction() as moves:
        assert book.receive(moves, late.delivery_id, "m@harbour.example", "delivered", None) is None
        assert not keep_early(
            moves, provider_id="SM1", status="sent", delivery_id=late.delivery_id, campaign_id=house.campaign, code=None
        )


def test_upkeep_removes_what_was_kept_long_enough_and_nothing_else(house: House, tmp_path: Path) -> None:
    house.finish(house.campaign)
    house.clock.advance(MONTH / 2)
    house.finish(house.other)
    house.clock.advance(MONTH / 2)
    assert house.rows(keep=None).look_after() == 0, "without a time nothing is removed by itself"
    assert house.rows().look_after() == 0, "nobody wrote it to a file"
    house.rows().export(house.campaign, tmp_path / "rows.gz")
    assert house.rows().look_after(lambda: False) == 0
    assert house.rows().look_after() == 1
    assert (house.left(house.campaign), house.left(house.other)) == (NONE, ALL)
    house.clock.advance(MONTH / 2)
    assert house.rows(export_first=False).look_after() == 1
    assert house.left(house.other) == NONE
    first, second = house.recorded()
    assert (first.actor, first.cause[:6]) == ("system:upkeep", "timer:")
    assert "30 days" in first.reason
    assert (first.export_digest is None, second.export_digest) == (False, None)
    assert house.rows().look_after() == 0


@pytest.mark.parametrize("at", ["after-asking", "half-deleted", "before-noting"])
def test_a_removal_that_a_kill_broke_off_goes_on(house: House, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    class Killed(BaseException):
        pass

    def dies(*_: Any) -> None:
        raise Killed

    empty, note = DeliveryRows._empty, DeliveryRows._note

    def half(rows: DeliveryRows, table: Table, of: UUID) -> None:
        dies() if table is campaign_recipients else empty(rows, table, of)

    def unnoted(rows: DeliveryRows, of: UUID, **values: Any) -> None:
        dies() if "removed_at" in values else note(rows, of, **values)

    name, fault = {
        "after-asking": ("_go_on", dies),
        "half-deleted": ("_empty", half),
        "before-noting": ("_note", unnoted),
    }[at]
    house.finish(house.campaign)
    with monkeypatch.context() as patch:
        patch.setattr(DeliveryRows, name, fault)
        with pytest.raises(Killed):
            house.rows(keep=None).remove(house.campaign, actor="user:lan", reason="over", without_export=True)

    assert house.rows(keep=None).look_after() == 1, "asked for is asked for, also without a time of its own"
    assert house.left(house.campaign) == NONE
    (event,) = house.recorded()
    assert (event.actor, event.persons, event.attempts) == ("user:lan", 25, 25), "as it was before"
    assert house.rows(keep=None).look_after() == 0


def test_tables_that_are_in_use_put_upkeep_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: Any) -> None:
        raise Conflict("The tables of deliveries were in use all the time.")

    house.finish(house.campaign)
    house.clock.advance(MONTH)
    rows = house.rows(export_first=False)
    with monkeypatch.context() as patch:
        patch.setattr(Partitions, "drop", busy)
        assert rows.look_after() == 0
    assert house.left(house.campaign) == ALL
    assert rows.look_after() == 1
    assert house.left(house.campaign) == NONE


def test_the_reason_that_stays_on_record_names_no_contact(house: House) -> None:
    house.finish(house.campaign)
    rows = house.rows(keep=None)
    with pytest.raises(InvalidInput, match="email address"):
        rows.remove(house.campaign, actor="user:lan", reason="li.na@example.com asked", without_export=True)
    assert rows.standing()[-1].removed_at is None
    assert sum(house.left(house.campaign).values()) > 0


def test_a_row_of_a_campaign_that_was_never_started_is_none(house: House) -> None:
    with writing(house.engine) as connection:
        connection.execute(insert(campaign_rows).values(campaign_id=uuid4()))
    assert len(house.rows().standing()) == 2
