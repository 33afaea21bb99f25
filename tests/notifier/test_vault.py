"""The vault: nobody reads a contact without the key, nor at all once the person is erased."""

from __future__ import annotations

import base64
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select, update

from incidents.clock import ManualClock
from incidents.errors import InvalidInput, NotFound
from notifier.vault import Contact, ErasedContact, MasterKeys, Vault
from notifier.vault.tables import vault_contacts
from notifier.vault.vault import VaultDamaged

ANN = Contact(name="Ann Lý", phone="+447700900123", email="ann@example.com")
BO = Contact(name="Bo", email="bo@example.com")
OLD, NEW = bytes(range(32)), bytes(range(1, 33))
ON_FILES = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For tests that look into the database's files."""


@pytest.fixture
def vault(engine: Engine, clock: ManualClock) -> Vault:
    return Vault(engine, MasterKeys("old", {"old": OLD}), clock)


def test_contacts_come_back_as_they_went_in(vault: Vault) -> None:
    ids = vault.add([ANN, BO])
    assert vault.read_many([*ids, uuid4()]) == dict(zip(ids, (ANN, BO), strict=True))


def test_more_ids_than_one_query_takes(vault: Vault) -> None:
    ids = vault.add([Contact(name=f"P{i}") for i in range(1203)])
    found = vault.read_many(ids)
    assert [found[rid].name for rid in ids] == [f"P{i}" for i in range(1203)]


@ON_FILES
def test_the_database_file_holds_no_plain_contact(vault: Vault, engine: Engine, database_url: str) -> None:
    vault.add([ANN])
    engine.dispose()
    path = Path(database_url.removeprefix("sqlite:///"))
    content = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    for secret in ("Ann", "447700900123", "ann@example"):
        assert secret.encode() not in content


def test_an_erased_person_is_a_mask_and_the_key_is_gone(vault: Vault, engine: Engine) -> None:
    (ann,) = vault.add([ANN])
    assert vault.erase(ann) is True
    assert vault.erase(ann) is False
    read = vault.read(ann)
    assert read == ErasedContact(recipient_id=ann)
    assert (read.erased, read.phone, read.email) == (True, None, None)
    with engine.connect() as connection:
        row = connection.execute(select(vault_contacts)).one()
    assert (row.wrapped_key, row.sealed) == (None, None)
    with pytest.raises(NotFound):
        vault.erase(uuid4())
    with pytest.raises(NotFound):
        vault.read(uuid4())


@ON_FILES
def test_the_erased_key_is_nowhere_in_the_files(vault: Vault, engine: Engine, database_url: str) -> None:
    """SQLite leaves deleted rows in free space and in its journal; whoever has the master key could open them."""
    ids = vault.add([ANN, BO])
    with engine.connect() as connection:
        gone, kept = (
            connection.execute(select(vault_contacts).where(vault_contacts.c.recipient_id == one)).one() for one in ids
        )

    vault.erase(ids[0])

    path = Path(database_url.removeprefix("sqlite:///"))
    content = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    assert kept.wrapped_key in content
    assert gone.wrapped_key not in content
    assert gone.sealed not in content


def test_a_ciphertext_moved_to_another_person_does_not_open(vault: Vault, engine: Engine) -> None:
    """The associated data names the person: swapping rows cannot redirect a notice."""
    ann, bo = vault.add([ANN, BO])
    with engine.begin() as connection:
        stolen = connection.execute(select(vault_contacts).where(vault_contacts.c.recipient_id == ann)).one()
        connection.execute(
            update(vault_contacts)
            .where(vault_contacts.c.recipient_id == bo)
            .values(wrapped_key=stolen.wrapped_key, sealed=stolen.sealed)
        )
    with pytest.raises(VaultDamaged):
        vault.read(bo)
    assert vault.read(ann) == ANN


@pytest.mark.parametrize("column", ["wrapped_key", "sealed"])
def test_an_altered_byte_is_noticed(vault: Vault, engine: Engine, column: str) -> None:
    (ann,) = vault.add([ANN])
    with engine.begin() as connection:
        value = bytearray(connection.execute(select(vault_contacts.c[column])).scalar_one())
        value[-1] ^= 1
        connection.execute(update(vault_contacts).values({column: bytes(value)}))
    with pytest.raises(VaultDamaged) as caught:
        vault.read(ann)
    assert "Ann" not in str(caught.value)


def test_rotation_rewraps_everybody_and_the_old_key_may_go(vault: Vault, engine: Engine, clock: ManualClock) -> None:
    ids = vault.add([ANN, BO, Contact(name="Gone")])
    vault.erase(ids[2])
    both = Vault(engine, MasterKeys("new", {"old": OLD, "new": NEW}), clock)
    assert both.behind() == 2
    assert both.rewrap(limit=1) == 1
    assert both.behind() == 1
    assert both.read_many(ids[:2]) == {ids[0]: ANN, ids[1]: BO}, "readable half way"
    assert [both.rewrap(), both.rewrap()] == [1, 0]
    only_new = Vault(engine, MasterKeys("new", {"new": NEW}), clock)
    assert only_new.read_many(ids[:2]) == {ids[0]: ANN, ids[1]: BO}
    with pytest.raises(InvalidInput, match="master key new"):
        vault.read(ids[0])


def test_a_wrong_key_of_the_same_name_does_not_open(vault: Vault, engine: Engine, clock: ManualClock) -> None:
    (ann,) = vault.add([ANN])
    with pytest.raises(VaultDamaged):
        Vault(engine, MasterKeys("old", {"old": NEW}), clock).read(ann)


def test_contacts_and_keys_do_not_show_in_repr() -> None:
    shown = repr(ANN) + repr(MasterKeys("old", {"old": OLD}))
    for secret in ("Ann", "+4477", "ann@", repr(OLD)[2:12]):
        assert secret not in shown


def test_of_the_master_keys_the_last_line_is_current() -> None:
    lines = [f"{name}:{base64.b64encode(key).decode()}" for name, key in (("a", OLD), ("b", NEW))]
    keys = MasterKeys.parse("# made by init\n" + "\n".join(lines) + "\n")
    assert (keys.current, keys.get("a"), keys.get("b")) == ("b", OLD, NEW)


@pytest.mark.parametrize("text", ["", "a:%%%", "a:YWJj", f"bad id:{base64.b64encode(OLD).decode()}"])
def test_bad_master_keys_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        MasterKeys.parse(text)
    assert "YWJj" not in caught.value.detail


def test_derived_keys_differ_by_purpose() -> None:
    keys = MasterKeys("old", {"old": OLD})
    assert keys.derive("a") != keys.derive("b")
    assert keys.derive("a") == MasterKeys("old", {"old": OLD}).derive("a")


def test_after_a_rotation_earlier_derived_keys_are_known_for_checking() -> None:
    before, after = MasterKeys("old", {"old": OLD}), MasterKeys("new", {"old": OLD, "new": NEW})
    assert before.derive_earlier("a") == ()
    assert after.derive("a") != before.derive("a")
    assert after.derive_earlier("a") == (before.derive("a"),)
