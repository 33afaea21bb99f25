"""The workers of a process: they survive failures, say why they fail, wake, and are measured."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert

from incidents.clock import ManualClock
from incidents.errors import FieldFault
from incidents.record.database import writing
from notifier.deliveries.tables import sendings
from tests.conftest import NIGHT, ContextMaker
from tests.world import PATIENCE, wait_for
from tocsin.access.answers import Answer
from tocsin.background import Background
from tocsin.observability.metrics import Metrics
from tocsin.roles import EVERYTHING, Role
from tocsin.services import Services
from tocsin.workers import AsyncWorker, Paced, RepeatingWorker, Workers


class Telling:
    """A worker that fails and says why."""

    failures = 3

    def __init__(self, name: str) -> None:
        self.name = name

    def fault(self) -> str | None:
        return "Kafka does not take events: KafkaConnectionError"

    def run(self, stop: threading.Event) -> None:
        stop.wait()

    def wake(self) -> None:
        pass


def test_a_worker_survives_a_failure_and_is_counted(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.workers.BACK_OFF_SECONDS", 0.01)
    succeeded = threading.Event()
    failures = iter([True, True, False])

    def work() -> int:
        if next(failures, False):
            raise OSError("disk full")
        succeeded.set()
        return 0

    metrics = Metrics()
    workers = Workers([RepeatingWorker("shaky", work, metrics, poll_seconds=0.01)], services.record)
    workers.start()
    assert succeeded.wait(PATIENCE)
    assert workers.dead() == []
    assert workers.stop(PATIENCE)

    assert metrics.worker_faults.labels("shaky")._value.get() == 2


def test_a_worker_that_fails_again_and_again_is_named(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.workers.BACK_OFF_SECONDS", 0.001)
    enough = threading.Event()
    turns: list[int] = []

    def work() -> int:
        turns.append(1)
        if len(turns) > 5:
            enough.set()
        raise OSError("disk full")

    workers = Workers([RepeatingWorker("stuck", work, Metrics())], services.record)
    workers.start()
    assert enough.wait(PATIENCE)

    assert workers.failing() == ["stuck"]
    assert workers.stop(PATIENCE)


def test_projections_that_fail_again_and_again_are_named(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    background = Background(services)
    assert background.workers.failing() == []

    monkeypatch.setattr(services.projections, "failures", 3)

    assert background.workers.failing() == ["projections"]
    assert "projections" in (background.fault() or "")


def test_a_worker_that_says_why_it_fails_is_quoted(services: Services) -> None:
    """Where nothing else is done that makes the process unfit; behind a door it is a note, and the door stays open."""
    relay, door = Background(services, [Role.RELAY], process="relay-1"), Background(services, EVERYTHING)
    for background in (relay, door):
        background.workers = Workers([Telling("event-relay")], services.record)
        background.workers.start()
    said = "Kafka does not take events: KafkaConnectionError"

    assert relay.fault() == f"these workers fail again and again, see the log: event-relay ({said})"
    assert relay.notes() == []
    assert door.fault() is None
    assert door.notes() == [FieldFault("event-relay", said)]
    for background in (relay, door):
        assert background.workers.stop(PATIENCE)


def test_who_sends_is_fit_without_hints_and_says_so(services: Services) -> None:
    background = Background(services, [Role.NOTIFIER], process="notifier-1")
    background.workers = Workers([Telling("delivery-hints")], services.record)
    background.workers.start()

    assert background.fault() is None
    assert [note.field for note in background.notes()] == ["delivery-hints"]
    assert background.workers.stop(PATIENCE)


def test_asynchronous_work_runs_on_the_fast_loop(services: Services) -> None:
    seen: list[str] = []
    done = threading.Event()

    async def work() -> int:
        seen.append(type(asyncio.get_running_loop()).__module__.partition(".")[0])
        done.set()
        return 0

    async def nothing() -> None:
        pass

    workers = Workers([AsyncWorker("a", work, services.metrics, begin=nothing, close=nothing)], services.record)
    workers.start()
    assert done.wait(PATIENCE)
    assert workers.stop(PATIENCE)
    assert seen[0] == "uvloop"


def test_paced_work_is_not_done_at_every_wake() -> None:
    now, done = [100.0], []

    def work() -> int:
        done.append(now[0])
        return 1

    paced = Paced(work, 60, monotonic=lambda: now[0])
    for now[0] in (100.0, 101.0, 159.0, 160.0, 161.0):
        assert paced() == 0

    assert done == [100.0, 160.0]


def test_people_are_counted_by_outcome_over_all_campaigns(services: Services) -> None:
    background = Background(services)
    background.gauges.measure()
    assert services.metrics.registry.get_sample_value("tocsin_recipients", {"outcome": "reached"}) is None

    blank = {"incident_id": UUID(int=1), "audience_id": UUID(int=2), "started_reference": "x", "policy": "x"}
    with writing(services.engine) as connection:
        for number, reached in ((3, 5), (4, 7)):
            row = blank | {"campaign_id": UUID(int=number), "started_at": NIGHT, "drill": False, "reached": reached}
            connection.execute(insert(sendings).values(row))
    background.gauges.measure()

    assert services.metrics.registry.get_sample_value("tocsin_recipients", {"outcome": "reached"}) == 12
    assert services.metrics.registry.get_sample_value("tocsin_recipients", {"outcome": "failed"}) == 0


def test_old_answers_are_forgotten_while_the_service_runs(services: Services, clock: ManualClock) -> None:
    services.answers.remember("key", "old", b"digest", Answer(201, "{}", {}))
    clock.advance(timedelta(days=8))
    services.answers.remember("key", "new", b"digest", Answer(201, "{}", {}))
    background = Background(services)
    stop = threading.Event()
    worker = next(worker for worker in background.workers if worker.name == "memory")
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        while services.answers.recall("key", "old", b"digest") is not None:
            assert thread.is_alive()
    finally:
        stop.set()
        worker.wake()
        thread.join(PATIENCE)

    assert services.answers.recall("key", "new", b"digest") is not None


def test_a_commit_wakes_the_workers(services: Services, analyst: ContextMaker) -> None:
    turns: list[int] = []
    woken = threading.Event()

    def work() -> int:
        turns.append(1)
        if len(turns) > 1:
            woken.set()
        return 0

    workers = Workers([RepeatingWorker("sleepy", work, Metrics(), poll_seconds=3600)], services.record)
    workers.start()
    wait_for(lambda: turns or None, "the first turn")
    services.incidents.report(uuid4(), analyst(), title="Wake up")

    assert woken.wait(PATIENCE)
    assert workers.stop(PATIENCE)
