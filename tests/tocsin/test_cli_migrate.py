"""`tocsin migrate`: what it says, what it does, how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text
from typer.testing import CliRunner, Result

from incidents.record.database import open_engine, writing
from tests.servers import BACKENDS, fresh_database
from tests.tocsin.test_settings import elsewhere  # noqa: F401 - the fixture
from tocsin.cli.main import app
from tocsin.migrations import run as migrations
from tocsin.migrations.steps import all_steps, head

DUE, DONE, FAULT, INPUT = 3, 0, 1, 2


@pytest.fixture(params=BACKENDS)
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with fresh_database(request.param, tmp_path) as url:
        monkeypatch.setenv("TOCSIN_DATABASE_URL", url)
        opened = open_engine(url)
        yield opened
        opened.dispose()


def migrate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["migrate", *arguments])


def test_from_nothing_to_the_present_and_again(engine: Engine) -> None:
    first, second = migrate("--json"), migrate()

    assert first.exit_code == DONE, first.output
    told = json.loads(first.output)
    assert [step["step"] for step in told["steps"]] == [step.revision for step in all_steps()]
    assert (told["at"], told["to"], told["done"]) == (None, head(), True)
    assert migrations.is_current(engine)
    assert {"stored_events", "tocsin_events"} & set(inspect(engine).get_table_names()), "the record's tables too"
    assert second.exit_code == DONE
    assert second.output == f"Nothing to do: the schema is at step {head()}.\n"


def test_check_says_what_is_due_and_does_nothing(engine: Engine) -> None:
    migrate("--to", "5")

    due = migrate("--check")

    assert due.exit_code == DUE
    assert "0006 Warnings to our own staff" in due.output
    assert migrations.current(engine) == "0005"
    migrate()
    assert migrate("--check").exit_code == DONE


def test_sql_is_shown_and_taken_back(engine: Engine) -> None:
    migrate("--to", "0005")

    shown = migrate("--sql", "--to", "0006")

    assert shown.exit_code == DONE, shown.output
    assert "CREATE TABLE staff_warnings" in shown.output
    assert migrations.current(engine) == "0005"
    assert "staff_warnings" not in inspect(engine).get_table_names()


def test_back_needs_a_word_of_agreement(engine: Engine) -> None:
    migrate()

    refused = migrate("--to", "0005")
    assert refused.exit_code == FAULT
    assert "--lose-data" in refused.stderr
    assert migrations.is_current(engine)

    assert migrate("--to", "0005", "--lose-data").exit_code == DONE
    assert migrations.current(engine) == "0005"
    assert migrate("--to", "base", "--lose-data").exit_code == DONE
    assert migrations.current(engine) is None


@pytest.mark.parametrize("arguments", [("--to", "0999"), ("--to", "yesterday"), ("--check", "--sql")])
def test_what_makes_no_sense_is_refused(engine: Engine, arguments: tuple[str, ...]) -> None:
    assert migrate(*arguments).exit_code == INPUT
    assert migrations.current(engine) is None


def test_a_newer_database_is_left_alone(engine: Engine) -> None:
    migrate()
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    serves = migrate()
    assert serves.exit_code == DONE
    assert "newer program" in serves.output

    with writing(engine) as connection:
        connection.execute(text("UPDATE schema_support SET oldest_program = '9998'"))
    refused = migrate()
    assert refused.exit_code == FAULT
    assert "9999" in refused.stderr
    assert migrate("--check").exit_code == FAULT
