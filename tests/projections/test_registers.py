"""The lists of assets and of contract parties: what they show, how they are searched, paged and built anew."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from incidents.assets import events as assets_events
from incidents.incident import events as incident
from playbooks.parties import events as parties_events
from projections.assets.assets import AssetEntry, assets
from projections.catalogue import all_projections
from projections.parties.parties import PartyEntry, parties
from projections.runner import Runner
from tests.projections.conftest import Installation
from tests.projections.stories import Teller, whole_story


@pytest.fixture
def teller(installation: Installation) -> Teller:
    return Teller(installation.record, installation.clock)


def show(installation: Installation) -> None:
    Runner(installation.record, installation.engine, all_projections(), installation.clock).drain()


def asset(teller: Teller, name: str, level: str = "general", persons: int | None = None) -> UUID:
    found = uuid4()
    described = assets_events.AssetDescription(
        name=name,
        owner=assets_events.NamedParty(name="Ward administration"),
        classification=assets_events.Classification(level),
        data_classes=("health",),
        persons=persons,
        countries=("CN",),
    )
    teller.tell(found, assets_events.AssetRegistered, asset=described)
    return found


def party(teller: Teller, name: str, direction: str) -> UUID:
    found = uuid4()
    described = parties_events.PartyDescription(
        name=name, direction=parties_events.Direction(direction), roles=("contract.party_a",), place="CN-BJ"
    )
    teller.tell(found, parties_events.PartyRegistered, party=described)
    return found


def names(found: tuple[AssetEntry, ...] | tuple[PartyEntry, ...]) -> list[str]:
    return [entry.name for entry in found]


def test_assets_are_listed_by_name_with_the_incidents_that_concern_them(
    installation: Installation, teller: Teller
) -> None:
    cards, records = asset(teller, "payment cards", persons=50), asset(teller, "Patient records", "core")
    first, second = uuid4(), uuid4()
    for it in (first, first, second):
        teller.tell(it, incident.AssetLinked, asset_id=records, asset_version=1, name="Patient records")
    show(installation)

    found = assets(installation.engine).items

    assert names(found) == ["Patient records", "payment cards"], "capitals do not decide the order"
    assert [(one.asset_id, one.incidents, one.persons) for one in found] == [(records, 2, None), (cards, 0, 50)]
    assert found[0].data_classes == ("health",)
    assert names(assets(installation.engine, classification="core").items) == ["Patient records"]
    assert names(assets(installation.engine, search="CARD").items) == ["payment cards"]
    assert names(assets(installation.engine, search="%").items) == []


def test_a_link_that_comes_in_a_later_batch_counts_once(installation: Installation, teller: Teller) -> None:
    records, it = asset(teller, "Patient records"), uuid4()
    for _ in range(2):
        teller.tell(it, incident.AssetLinked, asset_id=records, asset_version=1, name="Patient records")
        show(installation)

    assert assets(installation.engine).items[0].incidents == 1


def test_retired_things_are_listed_only_when_asked_for(installation: Installation, teller: Teller) -> None:
    old, gone = asset(teller, "Old share"), party(teller, "Gone Ltd", "upstream")
    teller.tell(old, assets_events.AssetRetired, name="Old share", reason="replaced")
    teller.tell(gone, parties_events.PartyRetired, name="Gone Ltd", reason="contract ended")
    show(installation)

    assert assets(installation.engine).items == ()
    assert parties(installation.engine).items == ()
    assert assets(installation.engine, retired=True).items[0].retired
    assert parties(installation.engine, retired=True).items[0].retired


def test_lists_are_paged_without_losing_or_repeating(installation: Installation, teller: Teller) -> None:
    for number in range(5):
        asset(teller, f"Share {number}")
        asset(teller, "Same name")
        party(teller, f"Supplier {number}", "upstream")
    show(installation)

    seen: list[UUID] = []
    cursor = None
    while True:
        page = assets(installation.engine, limit=3, cursor=cursor)
        seen += [entry.asset_id for entry in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert len(seen) == len(set(seen)) == 10

    first = parties(installation.engine, limit=2)
    rest = parties(installation.engine, cursor=first.next_cursor)
    assert names((*first.items, *rest.items)) == [f"Supplier {number}" for number in range(5)]


def test_parties_are_found_by_direction_and_show_how_their_contacts_stand(
    installation: Installation, teller: Teller
) -> None:
    cloud = party(teller, "Cloud Ltd", "upstream")
    party(teller, "Shop", "downstream")
    party(teller, "Group", "both")
    contact, other = uuid4(), uuid4()
    its = {"contact": contact, "purpose": "incidents", "point": uuid4(), "digest": "ab" * 32}
    teller.tell(cloud, parties_events.ContactStated, **its, channels=("email",))
    teller.tell(cloud, parties_events.ContactConfirmed, **its, how="called back")
    teller.tell(cloud, parties_events.ContactStated, **(its | {"contact": other}), channels=("fax",))
    show(installation)

    assert names(parties(installation.engine, direction="upstream").items) == ["Cloud Ltd", "Group"]
    assert names(parties(installation.engine, direction="downstream").items) == ["Group", "Shop"]
    shown = parties(installation.engine, search="cloud").items[0]
    assert {entry.contact: entry.state for entry in shown.contacts} == {contact: "confirmed", other: "stated"}
    assert shown.place == "CN-BJ"


def test_a_whole_story_leaves_both_registers_as_it_tells(installation: Installation, teller: Teller) -> None:
    whole_story(teller)
    show(installation)

    (listed,) = assets(installation.engine, retired=True).items
    assert (listed.persons, listed.incidents, listed.version) == (1300, 1, 3)
    (known,) = parties(installation.engine, retired=True).items
    assert [entry.state for entry in known.contacts] == ["erased"]
