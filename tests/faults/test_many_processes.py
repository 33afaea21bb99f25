"""The story of First light on PostgreSQL and Kafka: in one process, undisturbed, and in many while one is killed every
few seconds. Both end alike."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults.detector import Detector
from tests.faults.installation import Installation, Reaper, installation
from tests.faults.night import Night
from tests.servers import fresh_database, kafka
from tests.world import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEED = 20261122
EVERY = (2.0, 4.0)
"""Seconds between two kills."""
EACH = int(os.environ.get("TOCSIN_TEST_EACH", "1"))
"""Processes of each kind of worker; of notifiers always two."""


@contextmanager
def house(folder: Path) -> Iterator[Installation]:
    """One API, one relay, some of each other kind of worker; started. Alerts come in by Kafka, events go out by it."""
    with (
        fresh_database("postgresql", folder) as url,
        installation(folder / "house", url, slow_by=0.2, bootstrap=kafka(), database_seconds=30) as opened,
    ):
        opened.add("api", "api")
        opened.add("relay", "relay")
        for role in ("playbooks", "projections", "notifier", "intake"):
            for number in range(max(EACH, 2 if role == "notifier" else 1)):
                opened.add(f"{role}-{number}", role)
        for process in opened.processes.values():
            process.start()
        yield opened


def end(opened: Installation) -> None:
    """All end in good order, the relay and the API last."""
    first = [process for name, process in opened.processes.items() if name not in ("api", "relay")]
    assert {process.end() for process in [*first, opened.processes["relay"], opened.processes["api"]]} == {0}


def undisturbed(folder: Path) -> dict[str, Any]:
    """How the night ends in one process, when nothing goes wrong."""
    with (
        fresh_database("postgresql", folder) as url,
        installation(folder / "alone", url, slow_by=0.02, bootstrap=kafka(), database_seconds=30) as opened,
    ):
        opened.add("everything", "all").start()
        opened.ready()
        night = Night(opened)
        with Detector(opened) as detector:
            night.declare(detector)
            night.approve()
            night.waive_one_duty()
            night.wait_until_told(0.9)
        night.check()
        with opened.record() as record:
            detector.check(record)
            ended = night.how_it_ended(record)
        assert night.marked == 0
        assert (ended["campaign"], ended["not told"]) == ("finished", 1)
        assert ended["duties"]
        assert opened.processes["everything"].end() == 0
        assert "Traceback" not in opened.logs()
        return ended


def test_one_process_is_killed_every_few_seconds(tmp_path: Path) -> None:
    expected = undisturbed(tmp_path)
    with house(tmp_path) as opened:
        opened.ready("api")
        night = Night(opened)
        processes = list(opened.processes.values())
        with Reaper(processes, random.Random(SEED), every=EVERY) as reaper, Detector(opened) as detector:
            night.declare(detector)
            night.approve()
            night.waive_one_duty()
            night.wait_until_told(0.9)
            wait_for(reaper.has_killed_all, "each process to have been killed", patience=300)

        wait_for(lambda: True if all(process.is_running() for process in processes) else None, "all to run again")
        night.check()
        with opened.record() as record:
            detector.check(record)
            with suppress(AssertionError):
                wait_for(lambda: night.how_it_ended(record) == expected or None, "the same end")
            assert night.how_it_ended(record) == expected
        opened.ready()
        end(opened)
