"""`tocsin audience`: a file imported on the server, once; the report; the check."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update
from typer.testing import CliRunner, Result

from incidents.record.database import writing
from notifier.audience.tables import audience_members
from tests.tocsin.conftest import MASTER_KEY
from tests.tocsin.test_settings import elsewhere  # noqa: F401 - the fixture
from tocsin.cli.main import app
from tocsin.settings import load_settings
from tocsin.wiring import open_services

ROWS = (
    '{"name":"Ann","phone":"+447700900123","language":"en","country":"GB"}\n'
    '{"name":"Ann","phone":"+447700900123","email":"ann@example.com","language":"en","country":"GB"}\n'
    '{"name":"Bo","email":"secret-nobody","language":"en","country":"GB"}\n'
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["audience", *arguments])


@pytest.fixture
def file(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    CliRunner().invoke(app, ["init"])
    (elsewhere / "tocsin.toml").unlink()
    monkeypatch.setenv("TOCSIN_VAULT__MASTER_KEYS", f"k1:{MASTER_KEY}")
    path = elsewhere / "people.ndjson"
    path.write_text(ROWS.replace("+447700900123", "+442079460018"), "utf-8")
    return path


def test_the_same_file_is_imported_once_and_reported(file: Path) -> None:
    report = file.with_name("left-out.csv")
    given = ("import", str(file), "--by", "lan", "--json", "--accept-valid", "--report", str(report))
    first = run(*given)
    assert first.exit_code == 0, first.output
    made = json.loads(first.stdout)
    assert (made["rows"], made["recipients"], made["folded"], made["faulty"]) == (3, 1, 1, 1)
    assert made["actor"] == "user:lan"
    assert json.loads(run(*given).stdout)["audience_id"] == made["audience_id"]
    assert json.loads(run(*given, "--again").stdout)["audience_id"] != made["audience_id"]
    assert report.read_text("utf-8").splitlines() == [
        "row,kind,field,reason",
        '3,folded,phone,"repeats row 2, and adds the email"',
        "4,rejected,email,is not an email address",
    ]
    again = file.with_name("again.csv")
    assert run("rows", made["audience_id"], str(again)).exit_code == 0
    assert again.read_bytes() == report.read_bytes()


def test_a_refused_file_leaves_its_report_and_nothing_else(file: Path) -> None:
    report = file.with_name("left-out.csv")
    refused = run("import", str(file), "--by", "lan", "--report", str(report))
    assert refused.exit_code == 2
    assert "secret" not in refused.output + report.read_text("utf-8")
    assert "4,rejected,email" in report.read_text("utf-8")


@pytest.mark.parametrize(("name", "by"), [("people.xlsx", "lan"), ("missing.csv", "lan"), ("people.ndjson", "a b")])
def test_what_cannot_be_imported_is_said(file: Path, name: str, by: str) -> None:
    refused = run("import", str(file.with_name(name)), "--by", by)
    assert (refused.exit_code, refused.output.count("\n")) == (2, 1), refused.output


def test_the_check_finds_a_change(file: Path) -> None:
    made = json.loads(run("import", str(file), "--by", "lan", "--json", "--accept-valid").stdout)
    checked = run("check", made["audience_id"], "--json")
    assert json.loads(checked.stdout) == {
        "audience_id": made["audience_id"],
        "recipients": 1,
        "digest": made["digest"],
    }
    with open_services(load_settings()) as services, writing(services.engine) as connection:
        changed = update(audience_members).where(audience_members.c.audience_id == UUID(made["audience_id"]))
        connection.execute(changed.values(country="CN"))
    differs = run("check", made["audience_id"])
    assert (differs.exit_code, "not what was frozen" in differs.output) == (1, True)
