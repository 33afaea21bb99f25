"""One serving process on a database: a second is refused, and a killed one holds nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from typer.testing import CliRunner

from incidents.errors import TocsinError
from tests.servers import BACKENDS, fresh_database
from tests.tocsin.test_settings import elsewhere  # noqa: F401 - the fixture
from tests.world import wait_for
from tocsin.cli.main import app
from tocsin.demo import MARKER
from tocsin.instance import ADVISORY_KEY, AlreadyRunning, only_instance
from tocsin.server import listening

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=BACKENDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as address:
        yield address


@pytest.fixture
def other(database: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that serves the database."""
    process = started(database)
    assert process.stdout is not None
    assert process.stdout.readline() == "held None\n"
    yield process
    process.kill()
    process.wait()


def started(database: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.tocsin.serving_process", database]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def taken(database: str) -> bool | None:
    """True once the lock can be had."""
    try:
        with only_instance(database) as instance:
            assert instance.fault() is None
            return True
    except AlreadyRunning:
        return None


def test_a_second_one_is_refused_and_after_a_kill_the_next_starts(database: str, other: subprocess.Popen[str]) -> None:
    with pytest.raises(AlreadyRunning, match="Another Tocsin runs on this database"), only_instance(database):
        pass

    other.kill()
    other.wait()

    if database.startswith("sqlite"):
        assert taken(database), "at once: the system releases the lock with the process"
    else:
        wait_for(lambda: taken(database), "the server to notice", patience=10)


def test_after_a_good_end_the_next_may_run_and_other_databases_are_free(database: str, tmp_path: Path) -> None:
    with only_instance(database), only_instance(f"sqlite:///{tmp_path / 'another.sqlite'}"):
        assert taken(database) is None
    assert taken(database)


def test_a_child_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'a.sqlite'}"
    with only_instance(database):
        child = subprocess.Popen(
            [sys.executable, "-c", "print(flush=True); input()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=False,
        )
        assert child.stdout is not None
        child.stdout.readline()
    try:
        assert taken(database)
    finally:
        child.communicate(b"\n")


@pytest.mark.slow
def test_a_lost_connection_is_noticed_and_the_lock_taken_again(tmp_path: Path) -> None:
    with fresh_database("postgresql", tmp_path) as database, only_instance(database) as instance:
        engine = create_engine(make_url(database).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            end = text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            connection.execute(end)
            assert instance.fault() is None, "taken again"
            connection.execute(end)
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_KEY})
            assert "Another Tocsin" in (instance.fault() or ""), "somebody else was faster"
        engine.dispose()
        assert wait_for(lambda: instance.fault() is None or None, "the other to end", patience=10)


def test_a_server_that_is_not_there_is_one_line() -> None:
    with pytest.raises(TocsinError, match="does not answer"), only_instance("postgresql://u:secret@127.0.0.1:9/none"):
        pass


def run(*arguments: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stderr.splitlines()


@pytest.mark.usefixtures("elsewhere")
def test_a_second_demo_in_a_folder_says_so_in_a_line_and_deletes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / MARKER).touch()
    (folder / "keys.json").write_text("{}")
    with only_instance(f"sqlite:///{folder / 'tocsin.sqlite'}"):
        code, lines = run("demo", "--folder", str(folder), "--fresh", "--port", "0")

    assert (code, len(lines)) == (1, 1)
    assert "Another Tocsin runs on this database" in lines[0]
    assert (folder / "keys.json").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_a_demo_on_a_taken_port_says_so_in_a_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        command = [sys.executable, "-c", "from tocsin.cli import main; main()", "demo", "--no-story"]
        done = subprocess.run(
            [*command, "--folder", str(tmp_path / "demo"), "--port", str(port)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if '"level": "info"' not in line]
    assert said == [
        f"tocsin: Cannot listen on 127.0.0.1 port {port}: "
        "another program listens there. Stop it, or choose another port."
    ]


def test_a_free_port_is_listened_on_and_a_foreign_address_is_refused() -> None:
    (one,) = listening("127.0.0.1", 0)
    with one, socket.create_connection(one.getsockname()):
        pass
    with pytest.raises(TocsinError, match=r"Cannot listen on 203\.0\.113\.77"):
        listening("203.0.113.77", 0)
