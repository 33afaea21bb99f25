"""Promise 2: after a whole night, no name, number or address of an affected person is in an event, a log line, a
metric, or any table outside the vault (where they are encrypted)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import httpx
import pytest

from tests.faults.test_kill_the_story import all_settled, ended
from tests.world import Tocsin, wait_for, world_and_tocsin
from tocsin.story.people import people

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A finished night: its database file, its log, its metrics."""
    folder = tmp_path_factory.mktemp("night")
    with world_and_tocsin(folder) as (world, tocsin):
        tocsin.start()
        keys = tocsin.announced()["keys"]
        wait_for(lambda: ended(tocsin), "the night to end")
        wait_for(lambda: all_settled(world), "the last receipts")
        metrics = httpx.get(f"{tocsin.url}/metrics", headers={"Authorization": f"Bearer {keys['demo-auditor']}"})
        assert metrics.status_code == 200
        return database_of(tocsin), tocsin.log(), metrics.text


def database_of(tocsin: Tocsin) -> Path:
    return tocsin.folder / "tocsin.sqlite"


def traces() -> dict[str, str]:
    """What must not be found: every name, every number with and without plus, every address."""
    found: dict[str, str] = {}
    for person in people():
        found[person.name] = "name"
        if person.phone:
            found[person.phone.removeprefix("+")] = "number"
        if person.email:
            found[person.email] = "address"
    return found


def assert_clean(text: str, where: str) -> None:
    leaked = sorted({kind for trace, kind in traces().items() if trace in text})
    assert not leaked, f"{where} holds a {leaked[0]} of an affected person"


def test_no_event_names_an_affected_person(night: tuple[Path, str, str]) -> None:
    with sqlite3.connect(night[0]) as connection:
        rows = connection.execute("SELECT topic, state FROM stored_events").fetchall()

    assert len(rows) > 100
    for topic, state in rows:
        assert_clean(state.decode(), f"an event {topic}")


def test_no_log_line_names_an_affected_person(night: tuple[Path, str, str]) -> None:
    assert "story.scene" in night[1]
    assert_clean(night[1], "the log")


def test_no_metric_names_an_affected_person(night: tuple[Path, str, str]) -> None:
    assert "tocsin_requests_total" in night[2]
    assert_clean(night[2], "the metrics")


def test_no_byte_of_the_database_names_an_affected_person(night: tuple[Path, str, str]) -> None:
    """The vault is in this file too: what is in there must be unreadable without the master key."""
    for suffix in ("", "-wal"):
        path = night[0].with_name(night[0].name + suffix)
        if path.exists():
            assert_clean(path.read_bytes().decode("utf-8", "replace"), f"the file {path.name}")
