"""What a worker answers to those who look after it, and what it waits for at its start."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from incidents.errors import FieldFault, InvalidInput
from incidents.record.database import open_engine
from tests.world import PATIENCE
from tocsin.cli.main import app
from tocsin.migrations.run import head as newest
from tocsin.migrations.run import upgrade
from tocsin.probes import ProbeServer, create_probes
from tocsin.readiness import of_database
from tocsin.roles import EVERYTHING, Role, process_name
from tocsin.server import listening, run_worker
from tocsin.settings import Settings
from tocsin.waiting import NotYet, Stopped, Waiting, schema_is_there


def test_it_lives_and_says_why_it_is_not_ready() -> None:
    faults: list[FieldFault] = []
    notes: list[FieldFault] = []
    sockets = listening("127.0.0.1", 0)
    base = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    get, post = partial(httpx.get, timeout=PATIENCE), partial(httpx.post, timeout=PATIENCE)

    with ProbeServer(create_probes(lambda: faults, lambda: b"measured 1\n", notes=lambda: notes), sockets):
        assert get(f"{base}/healthz").status_code == 200
        assert get(f"{base}/readyz").json() == {"status": "ready"}
        assert get(f"{base}/metrics").text == "measured 1\n"
        notes.append(FieldFault("event-relay", "Kafka is away"))
        noted = get(f"{base}/readyz")
        faults.append(FieldFault("workers", "sender fails"))
        answer = get(f"{base}/readyz")

    assert noted.status_code == 200
    assert noted.json() == {"status": "ready", "notes": [{"part": "event-relay", "reason": "Kafka is away"}]}
    assert answer.status_code == 503
    assert answer.json()["reasons"] == [{"part": "workers", "reason": "sender fails"}]
    with ProbeServer(create_probes(list, lambda: b""), sockets):
        assert get(f"{base}/readyz").status_code == 200, "the sockets stay the caller's"
        assert post(f"{base}/v1/alerts/ocsf", json={}).status_code == 404
    with ProbeServer(create_probes(list, lambda: b"", before_the_door=True), sockets):
        answer = post(f"{base}/v1/alerts/ocsf", json={})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), "to be sent again, not given up"
    for one in sockets:
        one.close()


def failing(times: int, error: Exception) -> Callable[[], str]:
    left = [error] * times

    def attempt() -> str:
        if left:
            raise left.pop()
        return "there"

    return attempt


@pytest.mark.parametrize(
    "error", [NotYet("the schema is old"), OperationalError("x", {}, Exception("connection refused")), OSError("gone")]
)
def test_what_is_not_there_yet_is_waited_for(error: Exception) -> None:
    waiting = Waiting(threading.Event(), pause=0)

    assert waiting.until(failing(3, error)) == "there"
    assert waiting.reason is None


def test_a_mistake_is_not_waited_out() -> None:
    with pytest.raises(InvalidInput):
        Waiting(threading.Event(), pause=0).until(failing(1, InvalidInput("no key")))


def test_while_it_waits_it_can_be_told_to_end_and_says_why_it_waits() -> None:
    stop = threading.Event()
    waiting = Waiting(stop)
    stop.set()

    with pytest.raises(Stopped):
        waiting.until(failing(1, OperationalError("SELECT secret", {}, Exception("connection refused\nmore"))))
    assert waiting.reason == "the database does not answer: connection refused"


def test_the_schema_must_be_there_and_may_be_newer_within_limits(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'a.sqlite'}")
    with pytest.raises(NotYet, match=str(newest())):
        schema_is_there(engine)
    assert [fault.field for fault in of_database(engine)] == ["database"]

    upgrade(engine)

    schema_is_there(engine)
    assert of_database(engine) == []


def test_a_name_never_comes_again_and_fits_the_rows() -> None:
    names = {process_name({Role.NOTIFIER}) for _ in range(50)}

    assert len(names) == 50
    assert all(name.startswith("notifier-") and len(name) <= 64 for name in names)
    assert process_name(EVERYTHING).startswith("serve-")
    assert process_name({Role.NOTIFIER, Role.PLAYBOOKS}).startswith("worker-")


def test_kafkas_roles_need_kafka(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'a.sqlite'}")

    with pytest.raises(InvalidInput, match="intake and relay need Kafka"):
        run_worker(settings, [Role.RELAY, Role.INTAKE])


def test_roles_are_checked_by_the_command_line() -> None:
    for wrong in (["worker"], ["worker", "cook"], ["worker", "api"]):
        assert CliRunner().invoke(app, wrong).exit_code == 2
