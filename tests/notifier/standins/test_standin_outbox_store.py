"""The outbox keeps what it accepted: durable, bounded, counted, from several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from notifier.standins.outbox_store import NewMessage, OutboxStore
from tests.notifier.standins.standin_harness import NOON


def message(number: int, **changes: Any) -> NewMessage:
    given: dict[str, Any] = {
        "sid": f"SM{number:032x}",
        "channel": "sms",
        "recipient": f"+4477009000{number % 10:02d}",
        "sender": "+15005550006",
        "body": f"body {number}",
        "outcome": "delivered",
        "status": "queued",
        "accepted_at": NOON + timedelta(seconds=number),
    }
    return NewMessage(**(given | changes))


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    outbox = OutboxStore(tmp_path / "outbox.sqlite" if request.param == "file" else None)
    yield outbox
    outbox.close()


def test_what_was_accepted_is_there_for_another_opener_at_once(tmp_path: Path) -> None:
    first = OutboxStore(tmp_path / "outbox.sqlite")
    (kept,) = first.accept([message(1, raw=b"bytes", campaign="c")])
    second = OutboxStore(tmp_path / "outbox.sqlite")
    assert second.messages() == [kept]
    assert second.message(kept.sid) == second.message_by_id(kept.id) == kept
    first.close()
    second.close()


def test_every_filter_narrows(store: OutboxStore) -> None:
    store.accept([message(n) for n in range(5)])
    store.accept([message(9, channel="email", recipient="100%_an@x.example", body="100% sure", campaign="c")])
    assert [m.body for m in store.messages(limit=2)] == ["100% sure", "body 4"]
    assert [m.body for m in store.messages(to="+447700900003")] == ["body 3"]
    assert [m.body for m in store.messages(channel="email")] == ["100% sure"]
    assert [m.body for m in store.messages(body_part="0% s")] == ["100% sure"]
    assert store.messages(body_part="b%y") == []  # wildcards mean themselves
    assert [m.body for m in store.messages(address_part="%_an")] == ["100% sure"]
    assert [m.body for m in store.messages(campaign="c")] == ["100% sure"]
    assert store.messages(status="sent") == []
    assert [m.id for m in store.messages(after_id=4, limit=2)] == [5, 6]
    assert [m.id for m in store.messages(before_id=3)] == [2, 1]


def test_counts_are_by_recipient(store: OutboxStore) -> None:
    store.accept([message(1), message(2), message(11), message(3, channel="email", recipient="an@x.example")])
    assert store.counts() == {"+447700900001": 2, "+447700900002": 1, "an@x.example": 1}
    assert store.counts("email") == {"an@x.example": 1}
    assert store.status_counts() == {("sms", "queued"): 3, ("email", "queued"): 1}


def test_a_state_moves_unless_it_is_final(store: OutboxStore) -> None:
    store.accept([message(1)])
    sid = message(1).sid
    assert store.set_status(sid, "sent", NOON)
    assert store.set_status(sid, "delivered", NOON + timedelta(minutes=1))
    assert not store.set_status(sid, "sent", NOON, unless=frozenset({"delivered"}))
    kept = store.message(sid)
    assert kept is not None
    assert (kept.status, kept.sent_at, kept.updated_at) == ("delivered", NOON, NOON + timedelta(minutes=1))


def test_the_oldest_are_forgotten_beyond_the_bound() -> None:
    store = OutboxStore(max_messages=100)
    for start in range(0, 600, 50):
        store.accept([message(n) for n in range(start, start + 50)])
        store.note_callback(message(start).sid, "sent", 1, "204", NOON)
    found = store.messages(limit=1000)
    assert 100 <= len(found) < 100 + 256
    assert found[0].body == "body 599"
    assert store.callbacks(message(0).sid) == []
    assert store.callbacks(message(550).sid) != []
    store.close()


def test_many_threads_lose_nothing(store: OutboxStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.accept([message(n)]), range(200)))
        tries = list(pool.map(lambda _: store.count_try("sms", "+447700900029"), range(50)))
    assert sum(store.counts().values()) == 200
    assert sorted(tries) == list(range(1, 51))


def test_nothing_personal_is_in_the_representation_of_secret_fields() -> None:
    shown = repr(message(1, raw=b"private", status_callback="https://x.example/?mac=private"))
    assert "private" not in shown
