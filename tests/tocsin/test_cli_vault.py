"""`tocsin vault`: everything sealed anew after a rotation, and people erased for good."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner, Result

from incidents.record import Context
from incidents.record.database import writing
from notifier.deliveries.tables import campaign_recipients
from notifier.vault import Contact
from playbooks.parties.contacts import ContactPoint
from playbooks.parties.events import Direction, PartyDescription
from tests.tocsin.conftest import MASTER_KEY, Door, problem
from tests.tocsin.test_settings import elsewhere  # noqa: F401 - the fixture
from tocsin.cli.main import app
from tocsin.services import Services
from tocsin.settings import load_settings
from tocsin.wiring import open_services

NEW_KEY = base64.b64encode(bytes(range(50, 82))).decode()
OLD, BOTH, NEW = f"k1:{MASTER_KEY}", f"k1:{MASTER_KEY}\nk2:{NEW_KEY}", f"k2:{NEW_KEY}"
ANN = Contact(name="Ann Lý", phone="+447700900123", email="ann@example.com")
DESK = ContactPoint(name="Desk", email="desk@cloud.example")
REFERENCE = "7K3M9-QX2AB"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["vault", *arguments])


def hold(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setenv("TOCSIN_VAULT__MASTER_KEYS", keys)


@pytest.fixture
def installed(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    CliRunner().invoke(app, ["init"])
    (elsewhere / "tocsin.toml").unlink()
    hold(monkeypatch, OLD)
    return elsewhere


def told(services: Services, recipient: UUID, reference: str = REFERENCE) -> None:
    """The recipient has been planned for a notice with that reference."""
    with writing(services.engine) as connection:
        connection.execute(
            insert(campaign_recipients).values(
                campaign_id=uuid4(),
                recipient_id=recipient,
                position=1,
                language="en",
                channels="sms",
                reference=reference,
                outcome="open",
            )
        )


def test_after_a_rotation_everything_is_sealed_anew_and_the_old_key_may_go(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    party, point = uuid4(), uuid4()
    with open_services(load_settings()) as services:
        people = services.vault.add([ANN, Contact(name="Bo"), Contact(name="Gone")])
        services.vault.erase(people[2])
        services.parties.register(
            party,
            Context.of_command("user:lan", services.clock),
            PartyDescription(name="Cloud", direction=Direction.UPSTREAM),
        )
        services.parties._contacts.store(party, point, DESK)
    hold(monkeypatch, BOTH)

    first = run("rewrap", "--json")
    again = run("rewrap", "--json")
    words = run("rewrap")

    assert json.loads(first.stdout) == {"current": "k2", "people": 2, "party_contacts": 1, "earlier": ["k1"]}
    assert json.loads(again.stdout) == {"current": "k2", "people": 0, "party_contacts": 0, "earlier": ["k1"]}
    assert "sealed under k1 any more" in words.stdout
    assert "Ann" not in first.output + words.output
    hold(monkeypatch, NEW)
    with open_services(load_settings()) as services:
        assert services.vault.read(people[0]) == ANN
        assert services.parties.contacts_behind() == 0


@pytest.mark.usefixtures("installed")
def test_people_are_erased_by_id_and_by_the_reference_of_their_notice() -> None:
    with open_services(load_settings()) as services:
        ann, bo, cy = services.vault.add([ANN, Contact(name="Bo"), Contact(name="Cy")])
        told(services, bo)
        head = services.record.head()

    first = run("erase", str(ann), "7k3m9 qx2ab", "--json")
    again = run("erase", str(ann))

    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout) == [
        {"given": str(ann), "recipient_id": str(ann), "result": "erased"},
        {"given": "7k3m9 qx2ab", "recipient_id": str(bo), "result": "erased"},
    ]
    assert (again.exit_code, again.stdout) == (0, f"{ann}: was erased before\n")
    with open_services(load_settings()) as services:
        assert [services.vault.read(one).erased for one in (ann, bo, cy)] == [True, True, False]
        assert services.record.head() == head


@pytest.mark.usefixtures("installed")
def test_whoever_is_unknown_is_said_and_the_others_are_erased() -> None:
    with open_services(load_settings()) as services:
        (ann,) = services.vault.add([ANN])

    result = run("erase", str(uuid4()), "AAAAA-AAAAA", str(ann))

    assert result.exit_code == 1
    assert [line.rpartition(": ")[2] for line in result.stdout.splitlines()] == ["unknown", "unknown", "erased"]


@pytest.mark.usefixtures("installed")
def test_a_reference_of_two_people_erases_neither() -> None:
    with open_services(load_settings()) as services:
        people = services.vault.add([ANN, Contact(name="Bo")])
        for one in people:
            told(services, one)

    assert run("erase", REFERENCE).exit_code == 1
    with open_services(load_settings()) as services:
        assert not any(services.vault.read(one).erased for one in people)


@pytest.mark.slow
def test_an_admin_erases_over_http(door: Door) -> None:
    (ann,) = door.services.vault.add([ANN])

    assert door.ask("DELETE", f"/v1/recipients/{ann}", by="admin").status_code == 204
    assert door.ask("DELETE", f"/v1/recipients/{ann}", by="admin").status_code == 204
    assert door.services.vault.read(ann).erased
    problem(door.ask("DELETE", f"/v1/recipients/{uuid4()}", by="admin"), 404, "not-found")
    problem(door.ask("DELETE", f"/v1/recipients/{ann}", by="approver"), 403, "forbidden")
