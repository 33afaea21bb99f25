"""The command line without a server: what it prints, what it writes, how it fails."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.playbooks.law.test_adding import example
from tests.tocsin.test_settings import elsewhere  # noqa: F401 - the fixture
from tocsin.cli.main import app

FACTS = """
event_kinds: [personal_data_breach]
data_classes: [personal]
roles: [controller]
countries: [DE]
aware_at: 2026-06-12T16:20:00+02:00
risk_to_persons: risk
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def facts(tmp_path: Path) -> str:
    path = tmp_path / "facts.yaml"
    path.write_text(FACTS)
    return str(path)


def test_duties_answers_without_a_server(facts: str) -> None:
    result = run("duties", "--facts", facts, "--at", "2026-06-12T18:00:00+02:00", "--json")

    assert result.exit_code == 0, result.output
    (gdpr,) = [duty for duty in json.loads(result.output) if duty["rule"] == "eu-gdpr-33-1-authority"]
    assert set(gdpr) >= {
        "rule", "instrument", "article", "jurisdiction", "recipient", "stage", "status", "clock", "strict_due",
        "legal_end", "time_zone", "contents", "why",
    }  # fmt: skip
    assert gdpr["status"] == "due"
    assert gdpr["clock"]["event"] == "aware"
    # Worked example 1 of Regulation 1182/71: 72 hours, and the hour of the event does not count.
    assert gdpr["strict_due"].startswith("2026-06-15T16:20:00+02:00")
    assert gdpr["legal_end"].startswith("2026-06-15T17:00:00+02:00")


def test_duties_for_people_is_a_table(facts: str) -> None:
    result = run("duties", "--facts", facts, "--at", "2026-06-12T18:00:00+02:00")

    assert result.exit_code == 0
    assert "not legal advice" in result.output


def test_grade_names_what_is_met_and_what_is_open(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(
        json.dumps({"data_classes": ["personal"], "data_events": ["leaked"], "persons_affected": 1_000_000})
    )

    answer = json.loads(run("grade", "--scheme", "cn-2025", "--facts", str(path), "--json").output)

    assert answer["level"] == "relatively_major"
    assert [c["criterion"] for c in answer["met"]] == ["personal-info-relatively-major"]
    assert answer["open"]


@pytest.mark.parametrize("what", ["facts", "organisation", "playbook", "settings"])
def test_schemas_are_json_schema(what: str) -> None:
    schema = json.loads(run("schema", what).output)

    assert schema["type"] == "object"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("persons_afected: 3", "persons_affected"),
        ("aware_at: 2026-06-12T16:20:00", "zone"),
        ("persons_affected: many", "persons_affected"),
        ("[", "YAML"),
    ],
)
def test_bad_facts_are_one_line_that_names_the_fault(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text(text)

    result = run("duties", "--facts", str(path))

    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("tocsin: ")


def test_an_instant_without_zone_is_refused(facts: str) -> None:
    result = run("duties", "--facts", facts, "--at", "2026-06-12T18:00:00")

    assert result.exit_code == 2
    assert "no zone" in result.stderr


@pytest.mark.usefixtures("elsewhere")
def test_init_writes_what_config_check_can_read(tmp_path: Path) -> None:
    assert run("init").exit_code == 0
    key = tmp_path / "secrets" / "master.keys"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600

    checked = run("config", "check", "--json")

    faults = {fault["field"] for fault in json.loads(checked.output)["faults"]}
    assert faults == {"sms.mode"}, "only the channel is left to choose"
    assert checked.exit_code == 1


@pytest.mark.usefixtures("elsewhere")
def test_init_never_replaces_a_key(tmp_path: Path) -> None:
    run("init")
    key = (tmp_path / "secrets" / "master.keys").read_text()

    assert run("init").exit_code == 2
    assert run("init", "--force").exit_code == 2
    assert (tmp_path / "secrets" / "master.keys").read_text() == key


@pytest.mark.usefixtures("elsewhere")
def test_serve_refuses_unsafe_settings() -> None:
    run("init")

    result = run("serve")

    assert result.exit_code == 2
    assert "not safe" in result.stderr
    assert "sms.mode" in result.stderr


@pytest.mark.usefixtures("elsewhere")
def test_the_demo_deletes_no_folder_that_is_not_its_own(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep me")

    result = run("demo", "--folder", str(precious), "--fresh")

    assert result.exit_code == 2
    assert (precious / "file").read_text() == "keep me"


@pytest.mark.usefixtures("elsewhere")
def test_keys_are_made_listed_and_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    run("init")
    made = json.loads(run("keys", "create", "lan", "--role", "analyst", "--json").output)
    assert made["key"].startswith("tocsin_")

    assert run("keys", "revoke", made["key_id"]).exit_code == 0
    (listed,) = json.loads(run("keys", "list", "--json").output)

    assert listed["revoked_at"] is not None
    assert made["key"] not in json.dumps(listed)


def test_a_command_to_a_service_that_is_not_there_says_so() -> None:
    result = run("deadlines", "--url", "http://127.0.0.1:9", "--key", "tocsin_0_0")

    assert result.exit_code == 1
    assert "does not answer" in result.stderr


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("facts.service_outage_minutes >= 60", "facts.outage >= 60", 21, "there is no fact"),
        ("facts.service_outage_minutes >= 60", "facts.service_outage_minutes >= (60", 21, "not CEL"),
        ("in_force_from: 2026-01-01", "in_force_from: 2026-02-30", 9, "outside expected range"),
        ("in_force_from: 2026-01-01", "in_force_from: 2026-01-01\n  in_force_to: 2025-12-31", 10, "lies before"),
        ("clock: {event: aware}", "clock: {after: [acme-tell-customer-4h]}", 27, "no other rule"),
        ("id: acme-hosting-contract", "id: eu-gdpr", 3, "defined twice"),
    ],
)
def test_a_faulty_pack_stops_the_start_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, line: int, says: str
) -> None:
    assert run("init", str(tmp_path / "set")).exit_code == 0
    law = tmp_path / "law"
    law.mkdir()
    assert old in example()
    (law / "acme.yaml").write_text(example().replace(old, new), encoding="utf-8")
    monkeypatch.chdir(tmp_path / "set")
    monkeypatch.setenv("TOCSIN_LAW_FOLDER", str(law))
    channel = {"MODE": "smtp", "HOST": "mail.example", "SENDER": "desk@lantern.example"}
    for name, value in channel.items():
        monkeypatch.setenv(f"TOCSIN_SMTP__{name}", value)

    checked, served = run("config", "check"), run("serve")

    for result in (checked, served):
        assert result.exit_code != 0
        assert f"law/acme.yaml:{line}" in result.output
        assert says in result.output
