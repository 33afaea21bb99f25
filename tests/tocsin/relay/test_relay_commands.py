"""`tocsin relay`, `tocsin events`, and the schemas over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

from tests.tocsin.conftest import MASTER_KEY, PROFILE, Door, problem
from tests.tocsin.relay.installation import Installation, installation
from tests.tocsin.relay.test_relay import Brokers, drain, relay_of
from tocsin.cli.main import app
from tocsin.relay.schemas import published
from tocsin.services import registry


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def relayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """A record of 27 events, published, 9 more behind them; the settings are in variables."""
    url = f"sqlite:///{tmp_path / 'relay.sqlite'}"
    organisation = tmp_path / "organisation.toml"
    organisation.write_text(f'name = "{PROFILE.name}"\nroles = ["controller"]\ncountries = ["CN"]\n')
    variables = {
        "DATABASE_URL": url,
        "ORGANISATION_FILE": str(organisation),
        "VAULT__MASTER_KEYS": f"k1:{MASTER_KEY}",
        "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "KAFKA__TOPIC_PREFIX": "test",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"TOCSIN_{name}", value)
    monkeypatch.chdir(tmp_path)
    with installation(url, "127.0.0.1:9", "test") as opened:
        opened.grow(3)
        drain(relay_of(opened, Brokers()))
        opened.grow(1)
        yield opened


def test_status_says_how_far_it_is_without_asking_kafka(relayed: Installation) -> None:
    found = run("relay", "status", "--json")

    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    assert (said["topic"], said["position"], said["head"], said["behind"]) == ("test.events", 27, 36, 9)
    assert "test.events" in run("relay", "status").stdout


def test_reset_sends_again_what_comes_after(relayed: Installation) -> None:
    found = run("relay", "reset", "--from", "20", "--json")

    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout) == {"topic": "test.events", "position": 20, "head": 36}
    brokers = Brokers()
    drain(relay_of(relayed, brokers))
    assert len(brokers.committed) == 16


@pytest.mark.parametrize(
    ("after", "says"), [("28", "position 27"), ("-1", "greater than or equal to 0"), (None, "--from")]
)
def test_reset_needs_a_position_that_was_published(relayed: Installation, after: str | None, says: str) -> None:
    found = run("relay", "reset", *(() if after is None else ("--from", after)))

    assert found.exit_code == 2
    assert says in found.stderr
    assert relayed.position == 27


def test_without_kafka_there_is_nothing_to_say(relayed: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOCSIN_KAFKA__BOOTSTRAP_SERVERS")

    found = run("relay", "status")

    assert found.exit_code == 2
    assert "bootstrap_servers" in found.stderr


def test_schemas_are_listed_printed_and_written(tmp_path: Path) -> None:
    wanted = published(registry())

    assert "incident.reported.v1" in run("events", "schemas").stdout
    assert json.loads(run("events", "schemas", "--json").stdout) == wanted
    found = run("events", "schemas", "--out", str(tmp_path / "schemas"))

    assert found.exit_code == 0, found.output
    files = {file.name: json.loads(file.read_text("utf-8")) for file in (tmp_path / "schemas").iterdir()}
    assert files == {f"{name}.schema.json": schema for name, schema in wanted.items()}


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    found = run("events", "schemas", "--out", str(tmp_path / "file" / "schemas"))

    assert found.exit_code == 2
    assert str(tmp_path / "file") in found.stderr


@pytest.mark.slow
def test_the_api_serves_what_dataschema_names(door: Door) -> None:
    listed = door.get("/v1/events/schemas", by="auditor").json()["schemas"]
    names = {entry["name"]: entry["type"] for entry in listed}

    assert names.keys() == published(registry()).keys()
    assert names["incident.reported.v1"] == "tocsin.incident.reported.v1"
    assert names["envelope"] is None
    schema = door.get("/v1/events/schemas/incident.reported.v1").json()
    Draft202012Validator.check_schema(schema)
    assert schema == published(registry())["incident.reported.v1"]


@pytest.mark.slow
def test_a_schema_that_is_not_there(door: Door) -> None:
    problem(door.get("/v1/events/schemas/incident.reported.v9"), 404, "not-found")
