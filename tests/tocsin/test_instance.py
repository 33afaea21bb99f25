"""Who may open a database file: one process alone, or many that share it; a killed one holds nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from incidents.errors import TocsinError
from tests.tocsin.test_settings import elsewhere  # noqa: F401 - the fixture
from tocsin.cli.main import app
from tocsin.demo import MARKER
from tocsin.instance import AlreadyRunning, one_of_many, only_instance
from tocsin.server import listening

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tocsin.sqlite'}"


@pytest.fixture
def alone(database: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the database alone."""
    yield from started("alone", database)


@pytest.fixture
def shared(database: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that shares the database."""
    yield from started("shared", database)


def started(how: str, database: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.tocsin.serving_process", how, database]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def taken(database: str) -> bool | None:
    """True once the lock can be had."""
    try:
        with only_instance(database):
            return True
    except AlreadyRunning:
        return None


def test_beside_one_that_is_alone_nobody_runs_and_after_a_kill_the_next_starts(
    database: str, alone: subprocess.Popen[str]
) -> None:
    with pytest.raises(AlreadyRunning, match="Another Tocsin runs on this database"), only_instance(database):
        pass
    with pytest.raises(AlreadyRunning), one_of_many(database):
        pass

    alone.kill()
    alone.wait()

    assert taken(database), "at once: the system releases the lock with the process"


def test_those_who_share_keep_out_only_who_wants_it_alone(database: str, shared: subprocess.Popen[str]) -> None:
    with one_of_many(database), one_of_many(database):
        assert taken(database) is None
    assert taken(database) is None

    shared.kill()
    shared.wait()

    assert taken(database)


def test_after_a_good_end_the_next_may_run_and_other_databases_are_free(database: str, tmp_path: Path) -> None:
    with only_instance(database), only_instance(f"sqlite:///{tmp_path / 'another.sqlite'}"):
        assert taken(database) is None
    assert taken(database)


def test_a_server_is_for_everybody() -> None:
    address = "postgresql://u:secret@127.0.0.1:9/none"
    with only_instance(address), only_instance(address), one_of_many(address):
        pass


def test_a_child_process_does_not_keep_the_lock(database: str) -> None:
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
