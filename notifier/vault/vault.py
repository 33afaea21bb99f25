"""Keeping contacts: sealed on the way in, opened only to send, erased by deleting one key.

Every person has an AES-256-GCM key (NIST SP 800-38D) of their own, wrapped by a master key. The associated data
of both layers names the recipient, so that a ciphertext moved to another row does not open. Random 96-bit nonces
are safe here: a person's key seals a handful of contacts at most, and a master key wraps far fewer than 2^32.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID, uuid4

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine, bindparam, delete, func, select, update

from incidents.clock import Clock
from incidents.errors import NotFound, TocsinError
from incidents.record.bulk import BulkInsert
from incidents.record.database import reading, writing
from notifier.vault.contact import Contact, ErasedContact
from notifier.vault.keys import MasterKeys
from notifier.vault.marks import forget_person
from notifier.vault.tables import vault_contacts

log = structlog.get_logger(__name__)

NONCE_BYTES = 12
MAX_IN_ONE_QUERY = 500
"""Ids in one IN list: far below SQLite's limit of 32,766 parameters."""


JOURNAL_WAIT_MS = 2_000

_OPENED = tuple(vault_contacts.c[name] for name in ("recipient_id", "key_id", "wrapped_key", "sealed"))
"""What it takes to open a contact."""
_SEALED = ("key_id", "wrapped_key", "sealed")
_INSERT = BulkInsert(vault_contacts, ("recipient_id", "stored_at", *_SEALED))


class VaultDamaged(TocsinError):
    """A sealed contact does not open: it was altered, moved, or wrapped by another key of the same id."""

    code = "vault-damaged"
    title = "A contact cannot be opened"


class Vault:
    """Contacts by recipient id. Methods that take a connection join the caller's transaction."""

    def __init__(self, engine: Engine, keys: MasterKeys, clock: Clock) -> None:
        self._engine = engine
        self._keys = keys
        self._clock = clock
        self._masters: dict[str, AESGCM] = {}

    @property
    def keys(self) -> MasterKeys:
        return self._keys

    def add(self, contacts: Sequence[Contact], connection: Connection | None = None) -> list[UUID]:
        """Seal contacts under new random ids; the ids come back in the same order."""
        ids = [uuid4() for _ in contacts]
        self.put(dict(zip(ids, contacts, strict=True)), connection)
        return ids

    def put(self, contacts: Mapping[UUID, Contact], connection: Connection | None = None) -> None:
        """Seal contacts under ids of the caller's choice, which must be new."""
        if not contacts:
            return
        if connection is None:
            with writing(self._engine) as own:
                self.put(contacts, own)
            return
        now = self._clock.now()
        # In the order that the database keeps them in, so that those of one import are added side by side.
        ids = sorted(contacts, key=attrgetter("int"))
        sealed = ((rid, now, self._seal(rid, contacts[rid])) for rid in ids)
        _INSERT(connection, [(rid, at, *(found[name] for name in _SEALED)) for rid, at, found in sealed])

    def replace(self, recipient_id: UUID, contact: Contact, connection: Connection) -> None:
        """Seal a person's contact anew, under a new key. The erased stay erased."""
        connection.execute(
            update(vault_contacts)
            .where(vault_contacts.c.recipient_id == recipient_id, vault_contacts.c.wrapped_key.is_not(None))
            .values(self._seal(recipient_id, contact))
        )

    def read(self, recipient_id: UUID) -> Contact | ErasedContact:
        """One person. NotFound when the vault never held this id."""
        found = self.read_many([recipient_id])
        if recipient_id not in found:
            raise NotFound(f"The vault holds no recipient {recipient_id}.", field="recipient_id")
        return found[recipient_id]

    def read_many(
        self, recipient_ids: Iterable[UUID], connection: Connection | None = None
    ) -> dict[UUID, Contact | ErasedContact]:
        """Open many contacts. Ids the vault never held are left out; the erased come as masks."""
        if connection is None:
            with reading(self._engine) as own:
                return self.read_many(recipient_ids, own)
        wanted = list(recipient_ids)
        found: dict[UUID, Contact | ErasedContact] = {}
        for start in range(0, len(wanted), MAX_IN_ONE_QUERY):
            page = wanted[start : start + MAX_IN_ONE_QUERY]
            for row in connection.execute(select(*_OPENED).where(vault_contacts.c.recipient_id.in_(page))):
                found[row.recipient_id] = self._open(row)
        return found

    def erase(self, recipient_id: UUID, connection: Connection | None = None) -> bool:
        """Delete the person's key and ciphertext: nobody, key holder included, can read the contact again.

        Returns False when the person was erased before. NotFound when the vault never held this id. Copies in
        database backups stay readable until the backups expire; rotate the master key to cut that short.
        """
        if connection is None:
            with writing(self._engine) as own:
                done = self.erase(recipient_id, own)
            if self._engine.dialect.name == "sqlite":
                _empty_journal(self._engine)
            return done
        if connection.dialect.name == "sqlite":
            # Otherwise the deleted key stays in the file's free space, where it could be found.
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
        self._forget_marks(recipient_id, connection)
        changed = connection.execute(
            update(vault_contacts)
            .where(vault_contacts.c.recipient_id == recipient_id, vault_contacts.c.erased_at.is_(None))
            .values(wrapped_key=None, sealed=None, erased_at=self._clock.now())
        )
        if changed.rowcount == 1:
            log.info("vault.erased", recipient=str(recipient_id))
            return True
        known = connection.execute(
            select(vault_contacts.c.recipient_id).where(vault_contacts.c.recipient_id == recipient_id)
        ).first()
        if known is None:
            raise NotFound(f"The vault holds no recipient {recipient_id}.", field="recipient_id")
        return False

    def _forget_marks(self, recipient_id: UUID, connection: Connection) -> None:
        """Nobody is to be found by the address of a person who was erased."""
        row = connection.execute(select(*_OPENED).where(vault_contacts.c.recipient_id == recipient_id)).first()
        if row is None:
            return
        try:
            contact = self._open(row)
        except TocsinError as error:  # a contact that nobody can open is erased all the same
            log.error("vault.marks-not-found", recipient=str(recipient_id), reason=error.code)
            return
        if isinstance(contact, Contact):
            forget_person(connection, self._keys, recipient_id, contact)

    def erased(self) -> Iterator[UUID]:
        """The ids of all who were erased, oldest first."""
        wanted = select(vault_contacts.c.recipient_id).where(vault_contacts.c.erased_at.is_not(None))
        with reading(self._engine) as connection:
            rows = connection.execute(
                wanted.order_by(vault_contacts.c.erased_at, vault_contacts.c.recipient_id),
                execution_options={"yield_per": MAX_IN_ONE_QUERY},
            )
            yield from rows.scalars()

    def forget(self, recipient_ids: Sequence[UUID], connection: Connection) -> None:
        """Remove rows of an import that never finished: nothing refers to them. Those on record are erased."""
        for start in range(0, len(recipient_ids), MAX_IN_ONE_QUERY):
            page = recipient_ids[start : start + MAX_IN_ONE_QUERY]
            connection.execute(delete(vault_contacts).where(vault_contacts.c.recipient_id.in_(page)))

    def behind(self) -> int:
        """How many persons' keys are not wrapped under the current master key."""
        table = vault_contacts
        with reading(self._engine) as connection:
            return connection.execute(
                select(func.count())
                .select_from(table)
                .where(table.c.key_id != self._keys.current, table.c.wrapped_key.is_not(None))
            ).scalar_one()

    def rewrap(self, limit: int = 500) -> int:
        """Rotation: wrap up to `limit` persons' keys anew under the current master key. Returns how many; repeat
        until 0, then the old key may leave the key file."""
        table = vault_contacts
        with writing(self._engine) as connection:
            rows = connection.execute(
                select(table.c.recipient_id, table.c.key_id, table.c.wrapped_key)
                .where(table.c.key_id != self._keys.current, table.c.wrapped_key.is_not(None))
                .limit(limit)
                .with_for_update()
            ).all()
            changes = [
                {
                    "rid": row.recipient_id,
                    "key": self._keys.current,
                    "wrapped": self._wrap(row.recipient_id, self._unwrap(row)),
                }
                for row in rows
            ]
            if changes:
                connection.execute(
                    update(table)
                    .where(table.c.recipient_id == bindparam("rid"))
                    .values(key_id=bindparam("key"), wrapped_key=bindparam("wrapped")),
                    changes,
                )
        return len(changes)

    def _seal(self, recipient_id: UUID, contact: Contact) -> dict[str, Any]:
        own_key = AESGCM.generate_key(bit_length=256)
        nonce = os.urandom(NONCE_BYTES)
        plain = contact.model_dump_json(exclude_defaults=True).encode()
        return {
            "key_id": self._keys.current,
            "wrapped_key": self._wrap(recipient_id, own_key),
            "sealed": nonce + AESGCM(own_key).encrypt(nonce, plain, _bound("contact", recipient_id)),
        }

    def _wrap(self, recipient_id: UUID, own_key: bytes) -> bytes:
        master, nonce = self._master(self._keys.current), os.urandom(NONCE_BYTES)
        return nonce + master.encrypt(nonce, own_key, _bound("key", recipient_id))

    def _master(self, key_id: str) -> AESGCM:
        """The cipher of a master key, made once for the millions that it wraps."""
        found = self._masters.get(key_id)
        if found is None:
            found = self._masters[key_id] = AESGCM(self._keys.get(key_id))
        return found

    def _unwrap(self, row: Any) -> bytes:
        master, wrapped = self._master(row.key_id), row.wrapped_key
        try:
            return master.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _bound("key", row.recipient_id))
        except InvalidTag:
            raise VaultDamaged(
                f"The key of recipient {row.recipient_id} does not open with master key {row.key_id}."
            ) from None

    def _open(self, row: Any) -> Contact | ErasedContact:
        if row.wrapped_key is None or row.sealed is None:
            return ErasedContact(recipient_id=row.recipient_id)
        own_key, sealed = self._unwrap(row), row.sealed
        try:
            plain = AESGCM(own_key).decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound("contact", row.recipient_id)
            )
        except InvalidTag:
            raise VaultDamaged(f"The contact of recipient {row.recipient_id} was altered.") from None
        return Contact.model_validate_json(plain)


def _empty_journal(engine: Engine) -> None:
    """Write SQLite's journal, which holds pages of before, back and cut it, unless a reader holds that up."""
    connection = engine.raw_connection()  # not inside a transaction, which a checkpoint would wait for
    connection.detach()
    try:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={JOURNAL_WAIT_MS}")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.close()
    finally:
        connection.close()


def _bound(what: str, recipient_id: UUID) -> bytes:
    """Associated data: which layer, and whose."""
    return b"tocsin/vault/1/" + what.encode() + b"/" + recipient_id.bytes
