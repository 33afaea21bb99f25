"""The asset register: what it refuses, who answers for an asset, and what linking one does to an incident."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from incidents.assets.asset import Asset, Responsibility, responsible_parties
from incidents.assets.events import EVENTS as ASSET_EVENTS
from incidents.assets.service import AssetService, read_description
from incidents.errors import Conflict, IllegalTransition, InvalidInput, NotFound
from incidents.facts import OrganisationProfile
from incidents.incident.events import EVENTS as INCIDENT_EVENTS
from incidents.incident.events import AssetLinked, FactsStated
from incidents.incident.incident import Incident
from incidents.incident.service import IncidentService
from incidents.record import Record, Registry, open_record
from tests.conftest import ContextMaker

PROFILE = OrganisationProfile.parse({"name": "Lantern Bank", "sectors": ["banking"], "countries": ["CN"]})

PATIENTS: dict[str, Any] = {
    "name": "Patient records",
    "owner": {"name": "Ward administration"},
    "custodian": {"name": "IT operations"},
    "processors": [{"name": "Cloud provider Ltd"}, {"name": "Billing office Ltd"}],
    "classification": "important",
    "data_classes": ["health", "government_id"],
    "persons": 1200,
    "persons_by_country": {"CN": 1000, "VN": 200},
    "countries": ["VN"],
    "sectors": ["health"],
    "system_classes": ["cii"],
}
CARDS: dict[str, Any] = {
    "name": "Payment cards",
    "owner": {"name": "Card centre"},
    "classification": "general",
    "data_classes": ["payment_card"],
    "persons": 50,
    "persons_by_country": {"DE": 50},
    "countries": ["DE"],
}
STAFF: dict[str, Any] = {
    "name": "Staff files",
    "owner": {"name": "Personnel"},
    "classification": "general",
    "data_classes": ["personal"],
}


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    with open_record(f"sqlite:///{tmp_path / 'a.sqlite'}", Registry([*INCIDENT_EVENTS, *ASSET_EVENTS])) as opened:
        yield opened


@pytest.fixture
def assets(record: Record) -> AssetService:
    return AssetService(record, PROFILE)


@pytest.fixture
def incidents(record: Record) -> IncidentService:
    return IncidentService(record)


@pytest.fixture
def incident(incidents: IncidentService, analyst: ContextMaker) -> UUID:
    return incidents.report(uuid4(), analyst(), title="Share open to all").id


def add(assets: AssetService, analyst: ContextMaker, description: dict[str, Any]) -> UUID:
    return assets.register(uuid4(), analyst(), description).id


def test_an_asset_is_registered_revised_and_retired(
    assets: AssetService, record: Record, analyst: ContextMaker
) -> None:
    asset = add(assets, analyst, PATIENTS)

    revised = assets.revise(asset, analyst(), PATIENTS | {"persons": 1300})
    assert revised.description.persons == 1300
    assert record.load(Asset, asset, version=1).description.persons == 1200

    assets.retire(asset, analyst(), reason="Replaced by the new system.")
    assert record.load(Asset, asset).is_retired
    with pytest.raises(IllegalTransition):
        assets.revise(asset, analyst(), PATIENTS)
    with pytest.raises(IllegalTransition):
        assets.retire(asset, analyst(), reason="Again.")


def test_commands_have_one_effect(assets: AssetService, analyst: ContextMaker) -> None:
    asset, command = uuid4(), uuid4()
    assets.register(asset, analyst(command), PATIENTS)
    assert assets.register(asset, analyst(command), PATIENTS).version == 1
    with pytest.raises(Conflict):
        assets.register(asset, analyst(), PATIENTS)

    again = uuid4()
    assets.revise(asset, analyst(again), CARDS)
    assert assets.revise(asset, analyst(again), CARDS).version == 2
    assert assets.revise(asset, analyst(), CARDS).version == 2, "the same description is no revision"
    with pytest.raises(Conflict, match="decided from 1"):
        assets.revise(asset, analyst(), PATIENTS, expected_version=1)


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"name": " "}, "name", "empty"),
        ({"owner": {"name": "Mrs Wang, +86 138 0013 8000"}}, "owner.name", "telephone"),
        ({"custodian": {"name": "wang@example.com"}}, "custodian.name", "email"),
        ({"note": "Ask wang@example.com"}, "note", "email"),
        ({"classification": "secret"}, "classification", "core"),
        ({"data_classes": []}, "data_classes", "at least 1"),
        ({"data_classes": ["helth"]}, "asset", "health"),
        ({"countries": ["UK"]}, "countries.0", "GB"),
        ({"persons": 10}, "asset", "adds up to 1200"),
        ({"data_classes": ["trade_secret"]}, "asset", "no class of personal data"),
        ({"persons": -1}, "persons", "0"),
        ({"colour": "red"}, "colour", "not permitted"),
    ],
)
def test_faults_are_named_and_contacts_never_repeated(change: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_description(PATIENTS | change)

    (fault,) = caught.value.errors
    assert fault.field == field
    assert says in fault.reason
    assert "138" not in str(caught.value)
    assert "wang@" not in str(caught.value)


def test_who_provides_is_responsible_and_who_handles_is_responsible() -> None:
    found = [(p.responsibility, p.role, p.party.name) for p in responsible_parties(read_description(PATIENTS))]

    assert found == [
        (Responsibility.PROVIDER, "owner", "Ward administration"),
        (Responsibility.HANDLER, "custodian", "IT operations"),
        (Responsibility.HANDLER, "processor", "Cloud provider Ltd"),
        (Responsibility.HANDLER, "processor", "Billing office Ltd"),
    ]
    alone = responsible_parties(read_description(CARDS))
    assert [(p.responsibility, p.party.name) for p in alone] == [
        ("provider", "Card centre"),
        ("handler", "Card centre"),
    ]
    assert all(p.reason["en"] and p.reason["zh"] for p in alone)


def test_linking_fills_the_facts_and_says_where_they_come_from(
    assets: AssetService, record: Record, incident: UUID, analyst: ContextMaker
) -> None:
    linked = assets.link(incident, add(assets, analyst, PATIENTS), analyst())

    assert linked.facts == {
        "data_classes": ["government_id", "health", "important_data"],
        "persons_affected": 1200,
        "persons_by_country": {"CN": 1000, "VN": 200},
        "countries": ["CN", "VN"],
        "sectors": ["banking", "health"],
        "system_classes": ["cii"],
    }
    stated = next(event for event in record.stream(incident) if isinstance(event, FactsStated))
    assert "Patient records" in stated.source
    link = next(event for event in record.stream(incident) if isinstance(event, AssetLinked))
    assert set(link.facts) == set(linked.facts)
    assert link.cause == stated.cause


def test_what_people_stated_stays(
    assets: AssetService, incidents: IncidentService, incident: UUID, analyst: ContextMaker
) -> None:
    incidents.state_facts(incident, analyst(), {"data_classes": ["personal"], "persons_affected": 7})

    linked = assets.link(incident, add(assets, analyst, PATIENTS), analyst())

    assert linked.facts["data_classes"] == ["personal"]
    assert linked.facts["persons_affected"] == 7
    assert "persons_by_country" not in linked.facts, "it would contradict the 7 persons"
    (link,) = linked.assets.values()
    assert link.kept == ("data_classes", "persons_affected", "persons_by_country")


def test_several_assets_add_up(assets: AssetService, incident: UUID, analyst: ContextMaker) -> None:
    assets.link(incident, add(assets, analyst, PATIENTS), analyst())
    linked = assets.link(incident, add(assets, analyst, CARDS), analyst())

    assert linked.facts["persons_affected"] == 1250
    assert linked.facts["persons_by_country"] == {"CN": 1000, "DE": 50, "VN": 200}
    assert linked.facts["countries"] == ["CN", "DE", "VN"]
    assert linked.facts["data_classes"] == ["government_id", "health", "important_data", "payment_card"]


def test_persons_that_nobody_counted_make_the_number_unknown(
    assets: AssetService, incident: UUID, analyst: ContextMaker
) -> None:
    assets.link(incident, add(assets, analyst, PATIENTS), analyst())
    linked = assets.link(incident, add(assets, analyst, STAFF), analyst())

    assert "persons_affected" not in linked.facts
    assert "persons_by_country" not in linked.facts
    assert "personal" in linked.facts["data_classes"]


def test_a_value_that_somebody_confirmed_is_theirs(
    assets: AssetService, incidents: IncidentService, incident: UUID, analyst: ContextMaker
) -> None:
    assets.link(incident, add(assets, analyst, PATIENTS), analyst())
    confirmed = incidents.state_facts(incident, analyst(), {"persons_affected": 1200})
    assert "persons_affected" not in confirmed.facts_from_assets

    linked = assets.link(incident, add(assets, analyst, CARDS), analyst())

    assert linked.facts["persons_affected"] == 1200


def test_linking_twice_changes_nothing_until_the_asset_is_revised(
    assets: AssetService, incident: UUID, analyst: ContextMaker
) -> None:
    asset, command = add(assets, analyst, PATIENTS), uuid4()
    version = assets.link(incident, asset, analyst(command)).version

    assert assets.link(incident, asset, analyst(command)).version == version
    assert assets.link(incident, asset, analyst()).version == version

    assets.revise(asset, analyst(), CARDS)
    linked = assets.link(incident, asset, analyst())
    assert linked.facts["persons_affected"] == 50
    assert "system_classes" not in linked.facts, "what only the old description told is taken back"


def test_a_sector_is_not_concluded_from_one_asset(record: Record, incident: UUID, analyst: ContextMaker) -> None:
    assets = AssetService(record, OrganisationProfile.parse({"name": "Nobody said more"}))

    linked = assets.link(incident, add(assets, analyst, PATIENTS), analyst())

    assert "sectors" not in linked.facts
    assert linked.facts["countries"] == ["VN"]


def test_linking_needs_both_and_an_incident_that_is_not_merged(
    assets: AssetService, incidents: IncidentService, record: Record, incident: UUID, analyst: ContextMaker
) -> None:
    asset = add(assets, analyst, PATIENTS)
    with pytest.raises(NotFound):
        assets.link(incident, uuid4(), analyst())
    with pytest.raises(NotFound):
        assets.link(uuid4(), asset, analyst())
    with pytest.raises(Conflict):
        assets.link(incident, asset, analyst(), expected_version=9)

    other = incidents.report(uuid4(), analyst(), title="The same").id
    incidents.merge(incident, analyst(), other)
    with pytest.raises(IllegalTransition):
        assets.link(incident, asset, analyst())
    assert record.load(Incident, incident).assets == {}
