"""Commands and processes load what they need: nobody waits for the channels, the database or Kafka to say `--help`."""

from __future__ import annotations

import getpass
import subprocess
import sys
from pathlib import Path

import pytest

import playbooks.law.book
from incidents.record.segments import SIZE
from playbooks.law.book import LawBook
from playbooks.law.law import Law, load_law
from tocsin.cli import output, record
from tocsin.cli.output import who_runs_this

ROOT = Path(__file__).parents[2]
NOT_FOR_HELP = ("aiohttp", "alembic", "cel", "eventsourcing", "httpx", "kafka", "sqlalchemy", "yaml")
NOT_FOR_LAW = ("aiohttp", "alembic", "eventsourcing", "fastapi", "httpx", "kafka", "sqlalchemy", "uvicorn")
NOT_FOR_A_PROCESS = ("apprise", "kafka", "opentelemetry.sdk", "psycopg", "pyarrow", "twilio.rest.api", "typst")
"""Without Kafka, traces, instant messages, Parquet, on a file."""


def loaded(program: str) -> set[str]:
    """The modules that are there after it ran."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\nprint(*sys.modules, file=sys.stderr)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


def command(*arguments: str) -> str:
    return f"""
from tocsin.cli.main import app
try:
    app({list(arguments)!r})
except SystemExit as ended:
    assert not ended.code, ended.code
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "without"),
    [
        (command("--help"), NOT_FOR_HELP),
        (command("incident", "--help"), NOT_FOR_HELP),
        (command("duties", "--facts", "{facts}"), NOT_FOR_LAW),
        ("import tocsin.server", NOT_FOR_A_PROCESS),
    ],
    ids=["help", "help of a group", "duties", "a process"],
)
def test_what_is_not_needed_is_not_loaded(program: str, without: tuple[str, ...], tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    facts.write_text("{}", "utf-8")

    assert not loaded(program.replace("{facts}", str(facts))) & set(without)


def test_the_law_that_comes_along_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[Path, ...]] = []

    def counted(*folders: Path) -> Law:
        read.append(folders)
        return load_law(*folders)

    monkeypatch.setattr(playbooks.law.book, "load_law", counted)
    book = LawBook()
    assert read == []
    assert book.law is book.law
    assert read == [()]


def test_law_of_ones_own_is_read_at_once_because_it_may_be_faulty(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("nonsense: true\n", "utf-8")
    with pytest.raises(Exception, match=r"own\.yaml"):
        LawBook(tmp_path)


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 10001"), OSError("no username set")])
def test_a_user_without_a_name_has_a_number(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", unknown)
    monkeypatch.setattr(output.os, "getuid", lambda: 10001)

    assert who_runs_this() == "uid-10001"


def test_what_the_command_line_says_of_the_record_is_true() -> None:
    """Written there as a number, because loading the record to say it would take most of a second."""
    assert record.divide.__wrapped__.__defaults__ == (SIZE,)
