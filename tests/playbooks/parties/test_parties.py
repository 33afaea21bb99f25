"""Contract parties: a contact counts once it is confirmed, keeps its history, and its address is in no event."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine, select, update

from incidents.clock import ManualClock
from incidents.errors import Conflict, IllegalTransition, InvalidInput, NotFound
from incidents.record import Record
from incidents.record.database import reading, writing
from playbooks.parties.contacts import ContactDamaged, ContactPoint, PartyContacts
from playbooks.parties.events import Direction, PartyDescription
from playbooks.parties.party import Party
from playbooks.parties.service import PartyService
from playbooks.parties.tables import party_contacts
from tests.conftest import ContextMaker

CLOUD = PartyDescription(name="Cloud provider Ltd", direction=Direction.UPSTREAM, roles=("contract.party_b",))
DESK = ContactPoint(name="Security duty desk", email="desk@cloud.example", phone="+86 10 8299 0000")
NEW_DESK = ContactPoint(name="Security duty desk", email="soc@cloud.example")


class TwoKeys:
    """Master keys as the settings hold them."""

    def __init__(self, current: str = "k1") -> None:
        self.current = current
        self._keys = {"k1": bytes(range(32)), "k2": bytes(range(32, 64))}

    def get(self, key_id: str) -> bytes:
        return self._keys[key_id]


@pytest.fixture
def keys() -> TwoKeys:
    return TwoKeys()


@pytest.fixture
def contacts(engine: Engine, keys: TwoKeys, clock: ManualClock) -> PartyContacts:
    return PartyContacts(engine, keys, clock)


@pytest.fixture
def service(record: Record, contacts: PartyContacts) -> PartyService:
    return PartyService(record, contacts)


@pytest.fixture
def cloud(service: PartyService, analyst: ContextMaker) -> UUID:
    return service.register(uuid4(), analyst(), CLOUD).id


def stated(service: PartyService, party: UUID, analyst: ContextMaker, value: ContactPoint = DESK) -> UUID:
    return next(reversed(service.state_contact(party, analyst(), "incidents", value).contacts))


def confirm(service: PartyService, party: UUID, contact: UUID, context: Any) -> Party:
    point = service.party(party).contact(contact).latest.point
    return service.confirm_contact(party, contact, context, point=point, how="Called the number in the contract.")


def rows(engine: Engine) -> list[Any]:
    with reading(engine) as connection:
        return list(connection.execute(select(party_contacts)))


def test_a_contact_counts_once_it_is_confirmed(service: PartyService, cloud: UUID, analyst: ContextMaker) -> None:
    contact = stated(service, cloud, analyst)
    assert service.current_contacts(cloud) == ()

    confirm(service, cloud, contact, analyst())

    (found,) = service.current_contacts(cloud, "incidents")
    assert found.value == DESK
    assert found.version.confirmed_by == "user:lan"
    assert not found.pending
    assert service.current_contacts(cloud, "payments") == ()


def test_a_changed_contact_keeps_the_confirmed_address_until_the_new_one_is_confirmed(
    service: PartyService, cloud: UUID, analyst: ContextMaker, clock: ManualClock
) -> None:
    contact = stated(service, cloud, analyst)
    confirm(service, cloud, contact, analyst())
    confirmed_at = clock.now()

    service.change_contact(cloud, contact, analyst(), NEW_DESK, reason="Letter of 3 November.")

    (before,) = service.current_contacts(cloud)
    assert (before.value, before.pending) == (DESK, True)

    confirm(service, cloud, contact, analyst())

    (after,) = service.current_contacts(cloud)
    assert (after.value, after.pending) == (NEW_DESK, False)
    first, second = service.history(cloud, contact)
    assert (first.value, first.version.confirmed_at, first.version.reason) == (DESK, confirmed_at, "")
    assert (second.value, second.version.reason) == (NEW_DESK, "Letter of 3 November.")


def test_what_was_changed_meanwhile_cannot_be_confirmed_unseen(
    service: PartyService, cloud: UUID, analyst: ContextMaker
) -> None:
    contact = stated(service, cloud, analyst)
    seen = service.party(cloud).contact(contact).latest.point
    service.change_contact(cloud, contact, analyst(), NEW_DESK, reason="They wrote.")

    with pytest.raises(Conflict, match="changed since"):
        service.confirm_contact(cloud, contact, analyst(), point=seen, how="By telephone.")


def test_no_address_is_in_the_record_or_readable_in_the_table(
    service: PartyService, record: Record, engine: Engine, cloud: UUID, analyst: ContextMaker
) -> None:
    contact = stated(service, cloud, analyst)
    service.change_contact(cloud, contact, analyst(), NEW_DESK, reason="They wrote.")
    confirm(service, cloud, contact, analyst())

    recorded = "".join(event.model_dump_json() for event in record.stream(cloud))
    sealed = b"".join(row.sealed for row in rows(engine))
    for secret in ("desk@cloud", "soc@cloud", "8299", "duty desk"):
        assert secret not in recorded
        assert secret.encode() not in sealed
        assert secret not in repr(DESK)


def test_the_same_address_twice_leaves_two_digests(
    service: PartyService, record: Record, cloud: UUID, analyst: ContextMaker
) -> None:
    one, other = stated(service, cloud, analyst), stated(service, cloud, analyst)

    party = record.load(Party, cloud)

    assert party.contact(one).latest.digest != party.contact(other).latest.digest, "a digest must not tell who is who"


def test_commands_have_one_effect(service: PartyService, engine: Engine, cloud: UUID, analyst: ContextMaker) -> None:
    command = uuid4()
    first = service.state_contact(cloud, analyst(command), "incidents", DESK)
    again = service.state_contact(cloud, analyst(command), "incidents", DESK)
    contact = next(iter(first.contacts))

    assert (again.version, list(again.contacts)) == (first.version, [contact])
    assert len(rows(engine)) == 1

    version = confirm(service, cloud, contact, analyst()).version
    assert confirm(service, cloud, contact, analyst()).version == version, "confirmed is confirmed"


def test_refused_commands_leave_no_row(
    service: PartyService, engine: Engine, cloud: UUID, analyst: ContextMaker
) -> None:
    with pytest.raises(NotFound):
        service.change_contact(cloud, uuid4(), analyst(), NEW_DESK, reason="Wrong id.")
    service.retire(cloud, analyst(), reason="Contract ended.")
    with pytest.raises(IllegalTransition):
        service.state_contact(cloud, analyst(), "incidents", DESK)

    assert rows(engine) == []


def test_a_lost_race_leaves_no_row_and_is_repeated(
    service: PartyService, record: Record, engine: Engine, cloud: UUID, analyst: ContextMaker
) -> None:
    contact = stated(service, cloud, analyst)
    real = service._contacts.store

    def overtaken(*arguments: Any) -> Any:
        service._contacts.store = real  # type: ignore[method-assign]
        sealed = real(*arguments)
        other = record.load(Party, cloud)
        other.confirm_contact(analyst(), contact, other.contact(contact).latest.point, "Another was faster.")
        record.commit(other)
        return sealed

    service._contacts.store = overtaken  # type: ignore[method-assign]
    changed = service.change_contact(cloud, contact, analyst(), NEW_DESK, reason="They wrote.")

    assert [one.confirmed_at is not None for one in changed.contact(contact).versions] == [True, False]
    assert {row.point_id for row in rows(engine)} == {one.point for one in changed.contact(contact).versions}


def test_an_erased_contact_is_gone_for_good_but_its_history_stays(
    service: PartyService, engine: Engine, cloud: UUID, analyst: ContextMaker
) -> None:
    contact = stated(service, cloud, analyst)
    confirm(service, cloud, contact, analyst())

    service.erase_contact(cloud, contact, analyst(), reason="They asked us to.")

    assert service.current_contacts(cloud) == ()
    assert [one.value for one in service.history(cloud, contact)] == [None]
    assert [row.sealed for row in rows(engine)] == [None]
    with pytest.raises(IllegalTransition):
        service.change_contact(cloud, contact, analyst(), NEW_DESK, reason="Again.")


def test_a_row_that_was_altered_or_moved_does_not_open(
    service: PartyService, engine: Engine, cloud: UUID, analyst: ContextMaker
) -> None:
    contact, other = stated(service, cloud, analyst), stated(service, cloud, analyst, NEW_DESK)
    of_other = service.party(cloud).contact(other).latest.point
    sealed = next(row.sealed for row in rows(engine) if row.contact_id == contact)
    with writing(engine) as connection:
        connection.execute(update(party_contacts).where(party_contacts.c.point_id == of_other).values(sealed=sealed))

    with pytest.raises(ContactDamaged):
        service.history(cloud, other)


def test_keys_rotate(
    service: PartyService, contacts: PartyContacts, keys: TwoKeys, engine: Engine, cloud: UUID, analyst: ContextMaker
) -> None:
    contact = stated(service, cloud, analyst)
    keys.current = "k2"

    assert contacts.rewrap() == 1
    assert contacts.rewrap() == 0

    assert [row.key_id for row in rows(engine)] == ["k2"]
    assert service.history(cloud, contact)[0].value == DESK


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Desk"},
        {"name": "Desk", "email": "not an address"},
        {"name": "Desk", "phone": "call me"},
        {"name": "", "email": "desk@cloud.example"},
        {"name": "Desk", "email": "desk@cloud.example", "pager": "1"},
    ],
)
def test_contacts_are_checked(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ContactPoint.model_validate(wrong)


def test_names_and_reasons_hold_no_contact_data(service: PartyService, cloud: UUID, analyst: ContextMaker) -> None:
    with pytest.raises(ValidationError, match="email"):
        PartyDescription(name="desk@cloud.example", direction=Direction.BOTH)
    contact = stated(service, cloud, analyst)
    with pytest.raises(InvalidInput) as caught:
        service.change_contact(cloud, contact, analyst(), NEW_DESK, reason="Now +86 138 0013 8000.")
    assert "138" not in caught.value.detail
    with pytest.raises(InvalidInput, match="empty"):
        service.confirm_contact(cloud, contact, analyst(), point=uuid4(), how=" ")


def test_a_masters_key_itself_opens_nothing(
    service: PartyService, engine: Engine, cloud: UUID, analyst: ContextMaker, keys: TwoKeys
) -> None:
    """The key of this table is derived: what is sealed here shares no key with what else the master key wraps."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    stated(service, cloud, analyst)
    (row,) = rows(engine)
    with pytest.raises(InvalidTag):
        AESGCM(keys.get("k1")).decrypt(row.sealed[:12], row.sealed[12:], row.point_id.bytes)
    assert base64.b64encode(row.sealed)
