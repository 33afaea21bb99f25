"""The list of addresses not to be written to: no address is in it, it survives erasure and rotation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select

from incidents.clock import ManualClock
from incidents.errors import Conflict, InvalidInput, NotFound
from incidents.record.database import open_engine, reading
from notifier.suppression import SuppressionBook, SuppressionKey, normalised
from notifier.suppression.tables import suppressions
from notifier.vault import MasterKeys
from tests.notifier.house import create_tables

OLD = MasterKeys("old", {"old": bytes(range(32))})
BOTH = MasterKeys("new", {"old": bytes(range(32)), "new": bytes(range(1, 33))})
NEW = MasterKeys("new", {"new": bytes(range(1, 33))})
MAIL, PHONE = "Lan.Anh@mail.example", "+447700900123"


def book(engine: Engine, clock: ManualClock, keys: MasterKeys = OLD) -> SuppressionBook:
    return SuppressionBook(engine, SuppressionKey(engine, keys), clock)


def test_added_asked_lifted(engine: Engine, clock: ManualClock) -> None:
    mine = book(engine, clock)
    added = mine.add(MAIL, reason="manual", by="user:lan", note="asked on the phone")
    assert mine.add(MAIL.lower(), reason="manual", by="user:minh") == added, "what is on it stays as it is"
    assert [one.suppression_id for one in mine.of("  LAN.ANH@Mail.Example ")] == [added.suppression_id]
    person = uuid4()
    assert mine.withheld({person: MAIL}, channel="email", category="x") == {person: "manual"}
    lifted = mine.lift(added.suppression_id, by="user:minh", reason="was somebody else")
    assert (lifted.lifted_by, lifted.lifted_reason) == ("user:minh", "was somebody else")
    assert mine.withheld({person: MAIL}, channel="email", category="x") == {}
    assert mine.of(MAIL) == (lifted,), "history stays"
    with pytest.raises(Conflict):
        mine.lift(added.suppression_id, by="user:minh", reason="again")
    with pytest.raises(NotFound):
        mine.lift(uuid4(), by="user:minh", reason="none")
    assert mine.add(MAIL, reason="manual", by="user:lan").suppression_id != added.suppression_id


def test_no_address_is_kept(engine: Engine, clock: ManualClock) -> None:
    mine = book(engine, clock)
    mine.add(MAIL, reason="hard-bounce", by="system:tocsin", channel="email")
    mine.add(PHONE, reason="stop", by="system:twilio", channel="sms")
    with reading(engine) as connection:
        rows = repr(connection.execute(select(suppressions)).all()).lower()
    assert not any(part in rows for part in ("lan", "mail.example", "7700900123"))


def test_scopes(engine: Engine, clock: ManualClock) -> None:
    mine, ann, bo = book(engine, clock), uuid4(), uuid4()
    people = {ann: MAIL, bo: "bo@mail.example"}
    mine.add(MAIL, reason="unsubscribed", by="system:tocsin", channel="email", category="newsletter")
    assert mine.withheld(people, channel="email", category="newsletter") == {ann: "unsubscribed"}
    assert mine.withheld(people, channel="email", category="incident-notice") == {}, "another category"
    mine.add(PHONE, reason="stop", by="system:twilio", channel="sms")
    assert mine.withheld({ann: PHONE}, channel="sms", category="x") == {ann: "stop"}
    assert mine.withheld({ann: PHONE}, channel="voice", category="x") == {}, "another channel"
    assert mine.withheld({ann: PHONE}, channel="letter", category="x") == {}, "paper has no number"
    assert mine.counts() == {"hard-bounce": 0, "complaint": 0, "stop": 1, "unsubscribed": 1, "manual": 0}


def test_an_override_does_not_raise_the_dead(engine: Engine, clock: ManualClock) -> None:
    mine, ann, bo = book(engine, clock), uuid4(), uuid4()
    mine.add(MAIL, reason="complaint", by="x", channel="email")
    mine.add("bo@mail.example", reason="hard-bounce", by="x", channel="email")
    mine.add("bo@mail.example", reason="manual", by="x")
    people = {ann: MAIL, bo: "bo@mail.example"}
    assert mine.withheld(people, channel="email", category="x") == {ann: "complaint", bo: "hard-bounce"}
    assert mine.withheld(people, channel="email", category="x", overridden=True) == {bo: "hard-bounce"}


def test_the_list_outlives_every_master_key(engine: Engine, clock: ManualClock) -> None:
    person = uuid4()
    book(engine, clock, OLD).add(MAIL, reason="manual", by="x")
    assert book(engine, clock, BOTH).withheld({person: MAIL}, channel="email", category="x")
    assert book(engine, clock, NEW).withheld({person: MAIL}, channel="email", category="x"), "the old one has left"
    assert not SuppressionKey(engine, NEW).rewrap()


def test_a_key_that_is_missing_is_named(engine: Engine, clock: ManualClock) -> None:
    book(engine, clock, OLD).add(MAIL, reason="manual", by="x")
    with pytest.raises(InvalidInput, match="old"):
        book(engine, clock, NEW).of(MAIL)


def test_digests_depend_on_the_key(tmp_path: Path, clock: ManualClock) -> None:
    digests = set()
    for name in ("one", "two"):
        engine = open_engine(f"sqlite:///{tmp_path / name}.sqlite")
        create_tables(engine)
        digests.add(SuppressionKey(engine, OLD).digest("email", MAIL))
        engine.dispose()
    assert len(digests) == 2, "another installation's list tells nothing about ours"


def test_many_at_once_learn_the_same(engine: Engine, clock: ManualClock) -> None:
    books = [book(engine, clock) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda one: one.add(MAIL, reason="hard-bounce", by="x", channel="email"), books))
    assert len({one.suppression_id for one in added}) == 1
    assert len(books[0].newest()) == 1


@pytest.mark.parametrize("address", ["", "lan", "07700 900123", "a@b@c.example", "x" * 300 + "@mail.example", "+0123"])
def test_what_is_no_address_is_refused(engine: Engine, clock: ManualClock, address: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        book(engine, clock).add(address, reason="manual", by="user:lan")
    assert refused.value.errors[0].field == "address"
    assert not address or address not in refused.value.detail


def test_an_address_is_taken_as_people_write_it() -> None:
    assert normalised("+44 7700 900-123") == ("phone", PHONE)
    assert normalised("Lan@MÜNCHEN.example")[1] == normalised("lan@xn--mnchen-3ya.example")[1]


def test_a_channel_that_has_no_such_address_is_refused(engine: Engine, clock: ManualClock) -> None:
    with pytest.raises(InvalidInput, match="sms"):
        book(engine, clock).add(MAIL, reason="manual", by="x", channel="sms")


def test_notes_hold_no_contacts(engine: Engine, clock: ManualClock) -> None:
    with pytest.raises(InvalidInput):
        book(engine, clock).add(MAIL, reason="manual", by="x", note=f"call {PHONE}")


def test_thousands_are_asked_at_once(engine: Engine, clock: ManualClock) -> None:
    mine = book(engine, clock)
    people = {uuid4(): f"p{number}@mail.example" for number in range(2_500)}
    dead = dict(list(people.items())[::100])
    for address in dead.values():
        mine.add(address, reason="hard-bounce", by="x", channel="email")
    assert mine.withheld(people, channel="email", category="x").keys() == dead.keys()
