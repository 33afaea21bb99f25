"""The watchdog: its heartbeat goes out only while all clocks are proven to run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import ValidationError
from sqlalchemy import delete, update
from typer.testing import CliRunner

from incidents.clock import ManualClock
from incidents.record.database import writing
from projections.deadlines.tables import deadline_duties
from tests.conftest import NIGHT, ContextMaker
from tests.tocsin.conftest import MASTER_KEY, PROFILE
from tests.tocsin.test_background import incident_id, settle  # noqa: F401 - the fixtures
from tocsin.alarms import Alarms
from tocsin.background import Background, automation_of
from tocsin.cli.main import app
from tocsin.services import Services
from tocsin.settings import Settings
from tocsin.settings_warnings import WatchdogSettings
from tocsin.watchdog import Watchdog
from tocsin.wiring import open_services

URL = "https://heartbeat.example.com/ping/secret-token"


class Outside:
    """Who listens for the heartbeat, and how it answers."""

    def __init__(self) -> None:
        self.beats: list[str] = []
        self.answer: Callable[[], httpx.Response] = lambda: httpx.Response(200)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.beats.append(str(request.url))
        return self.answer()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        database_url=f"sqlite:///{tmp_path / 'watched.sqlite'}",
        organisation_file=tmp_path / "organisation.toml",
        vault={"master_keys": f"k1:{MASTER_KEY}"},
        watchdog={"heartbeat_url": URL, "every_minutes": 5},
    )


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def minutes() -> list[float]:
    """The watchdog's own time, in minutes; a test moves it."""
    return [0.0]


@pytest.fixture
def watchdog(services: Services, outside: Outside, minutes: list[float]) -> Watchdog:
    return Watchdog(
        services,
        automation_of(services),
        Background(services).followers,
        transport=httpx.MockTransport(outside),
        pause=lambda _seconds: None,
        monotonic=lambda: minutes[0] * 60,
    )


def well(services: Services) -> float:
    value: float = services.metrics.watchdog_well._value.get()
    return value


def whats(watchdog: Watchdog) -> set[str]:
    return {fault.what for fault in watchdog.look().faults}


def test_all_well_beats_every_few_minutes(
    services: Services,
    watchdog: Watchdog,
    outside: Outside,
    minutes: list[float],
    incident_id: UUID,  # noqa: F811
) -> None:
    head = services.record.head()
    for now in (1, 5, 6, 9, 10):
        minutes[0] = now
        watchdog.turn()

    assert outside.beats == [URL, URL]
    assert well(services) == 1
    assert services.record.head() == head, "it records nothing"
    report = watchdog.look()
    assert (report.incidents, report.well) == (1, True)
    assert report.duties > 1


def test_a_standing_automation_silences_the_heartbeat(
    services: Services,
    watchdog: Watchdog,
    outside: Outside,
    minutes: list[float],
    incident_id: UUID,  # noqa: F811
    analyst: ContextMaker,
    logs: list[Any],
) -> None:
    services.incidents.state_facts(incident_id, analyst(), {"countries": ["DE", "SG"], "persons_affected": 900_000})
    services.projections.drain()
    minutes[0] = 5
    watchdog.turn()

    assert outside.beats == []
    assert well(services) == 0
    faults = [entry for entry in logs if entry["event"] == "watchdog.fault"]
    assert any(entry["where"] == "follower automation" for entry in faults)
    assert any(entry["what"].startswith("follows from facts and law of now") for entry in faults)
    assert all(entry["log_level"] == "error" for entry in faults)


def test_a_clock_that_nobody_called_out_is_a_fault(
    services: Services,
    watchdog: Watchdog,
    incident_id: UUID,  # noqa: F811
    clock: ManualClock,
    settle: Callable[[], None],  # noqa: F811
) -> None:
    clock.move_to(NIGHT + timedelta(hours=73))
    assert whats(watchdog) == {"presses or is missed, and was not called out"}

    Alarms(services.engine, services.duties, services.runs, clock, uuid4).run_once()
    settle()
    assert whats(watchdog) == set()


def test_deadlines_shown_otherwise_than_recorded_are_faults(
    services: Services,
    watchdog: Watchdog,
    incident_id: UUID,  # noqa: F811
) -> None:
    column = deadline_duties.c
    with writing(services.engine) as connection:
        connection.execute(
            update(deadline_duties).where(column.strict_due.is_not(None)).values(strict_due=NIGHT + timedelta(days=9))
        )
    assert whats(watchdog) == {"is shown with another deadline than is on record"}
    with writing(services.engine) as connection:
        connection.execute(delete(deadline_duties))
    assert whats(watchdog) == {"is open on record but not among the deadlines shown"}


def test_a_read_model_that_stands_still_is_a_fault(
    services: Services,
    watchdog: Watchdog,
    incident_id: UUID,  # noqa: F811
    analyst: ContextMaker,
) -> None:
    services.incidents.add_note(incident_id, analyst(), "Called the hoster.")
    assert {fault.where.split()[0] for fault in watchdog.look().faults} == {"projection"}


def test_what_is_gone_at_the_second_look_is_no_fault(
    services: Services,
    incident_id: UUID,  # noqa: F811
    analyst: ContextMaker,
    settle: Callable[[], None],  # noqa: F811
) -> None:
    followers = Background(services).followers
    watchdog = Watchdog(services, automation_of(services), followers, pause=lambda _seconds: settle())
    services.incidents.state_facts(incident_id, analyst(), {"persons_affected": 900_000})

    assert watchdog.look().well


@pytest.mark.parametrize("answer", [500, 301, "away"])
def test_a_heartbeat_that_is_not_taken_is_logged_without_its_address(
    watchdog: Watchdog, outside: Outside, minutes: list[float], answer: int | str, logs: list[Any]
) -> None:
    def respond() -> httpx.Response:
        if isinstance(answer, int):
            return httpx.Response(answer, headers={"Location": "https://inside.example.com/"})
        raise httpx.ConnectError(f"cannot reach {URL}")

    outside.answer = respond
    minutes[0] = 5
    watchdog.turn()

    assert outside.beats == [URL], "no redirect is followed"
    assert any(entry["event"].startswith("watchdog.heartbeat-") for entry in logs)
    assert "secret-token" not in str(logs)


@pytest.mark.parametrize("url", ["http://heartbeat.example.com/", "file:///etc/passwd", "https://", "beat"])
def test_the_heartbeat_goes_over_https_only(url: str) -> None:
    with pytest.raises(ValidationError, match="https"):
        WatchdogSettings(heartbeat_url=url)


def test_the_command_looks_once(
    tmp_path: Path, clock: ManualClock, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "organisation.toml").write_text('name = "Lantern Bank"\nroles = ["controller"]\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOCSIN_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("TOCSIN_VAULT__MASTER_KEYS", f"k1:{MASTER_KEY}")
    monkeypatch.setattr("tocsin.watchdog.SECOND_LOOK", 0.0)
    fresh = CliRunner().invoke(app, ["watchdog", "--json"])
    assert (fresh.exit_code, json.loads(fresh.output)["well"]) == (0, True), fresh.output

    with open_services(settings, clock=clock, profile=PROFILE) as services:
        services.incidents.report(uuid4(), ContextMaker(clock, "user:lan")(), title="Bulk export")
    behind = CliRunner().invoke(app, ["watchdog", "--json"])

    assert behind.exit_code == 1
    assert "follower automation" in {fault["where"] for fault in json.loads(behind.output)["faults"]}


def test_of_several_processes_only_the_one_whose_turn_it_is_looks_and_beats(
    services: Services,
    outside: Outside,
    incident_id: UUID,  # noqa: F811
) -> None:
    def of(*holds: bool) -> Watchdog:
        answers = list(holds)
        return Watchdog(
            services,
            automation_of(services),
            Background(services).followers,
            transport=httpx.MockTransport(outside),
            pause=lambda _seconds: None,
            holds=lambda: answers.pop(0),
            monotonic=lambda: 0.0,
        )

    def turn(watchdog: Watchdog) -> None:
        watchdog._next = 0.0
        watchdog.turn()

    turn(of(True, True))
    assert (outside.beats, well(services)) == ([URL], 1)
    turn(of(False))
    assert (outside.beats, well(services)) == ([URL], 0), "it shows nothing that another may know better"
    turn(of(True, False))
    assert outside.beats == [URL], "it stood still while it looked: what it saw is old"
