"""Contact points of contract parties: sealed on the way in, opened for whoever must write to the party.

Values are encrypted with AES-256-GCM (NIST SP 800-38D) under a key derived (HKDF-SHA256, RFC 5869) from a master key;
the associated data names the row, so that a ciphertext moved to another row does not open. Events hold only a salted
digest, so that the record proves what was stated without telling it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, Self
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field, model_validator
from sqlalchemy import Engine, bindparam, delete, func, insert, select, update

from incidents.clock import Clock
from incidents.errors import TocsinError
from incidents.record.database import reading, writing
from incidents.record.event import Model
from playbooks.parties.tables import party_contacts

NONCE_BYTES = 12
SALT_BYTES = 32
MAX_IN_ONE_QUERY = 500
CHANNELS = ("email", "phone", "fax", "address")


class Keys(Protocol):
    """Named master keys of 32 bytes; `get` raises `InvalidInput` for an id that the settings do not hold."""

    @property
    def current(self) -> str: ...

    def get(self, key_id: str) -> bytes: ...


class ContactDamaged(TocsinError):
    """A sealed contact does not open: it was altered, moved, or sealed by another key of the same id."""

    code = "vault-damaged"
    title = "A contact cannot be opened"


def _email(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError as fault:
        raise ValueError("is not an e-mail address") from fault


Line = Annotated[str, Field(min_length=1, max_length=300)]
Number = Annotated[str, Field(pattern=r"^[+0-9][0-9 ()./-]{2,39}$")]


class ContactPoint(Model):
    """How a function of a party is reached. Fields stay out of `repr`, so that no stray log line carries them."""

    name: Line = Field(repr=False)
    """The function, such as `Security duty desk`."""
    email: Annotated[Line, AfterValidator(_email)] | None = Field(None, repr=False)
    phone: Number | None = Field(None, repr=False)
    fax: Number | None = Field(None, repr=False)
    address: Line | None = Field(None, repr=False)
    """Postal address."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not self.channels:
            raise ValueError(f"a contact needs at least one of {', '.join(CHANNELS)}")
        return self

    @property
    def channels(self) -> tuple[str, ...]:
        """The kinds of address that it has."""
        return tuple(name for name in CHANNELS if getattr(self, name) is not None)


@dataclass(frozen=True, slots=True)
class SealedPoint:
    """What the record may know of a stored contact point."""

    point: UUID
    digest: str
    channels: tuple[str, ...]


class PartyContacts:
    """The table of contact points."""

    def __init__(self, engine: Engine, keys: Keys, clock: Clock) -> None:
        self._engine = engine
        self._keys = keys
        self._clock = clock

    def store(self, party: UUID, contact: UUID, value: ContactPoint) -> SealedPoint:
        """Seal a new version under a new id. A row that no event names in the end is of no effect; `discard` it."""
        point, plain = uuid4(), os.urandom(SALT_BYTES) + value.model_dump_json().encode()
        with writing(self._engine) as connection:
            connection.execute(
                insert(party_contacts).values(
                    point_id=point,
                    contact_id=contact,
                    party_id=party,
                    key_id=self._keys.current,
                    sealed=self._seal(point, plain),
                    stored_at=self._clock.now(),
                )
            )
        return SealedPoint(point, hashlib.sha256(plain).hexdigest(), value.channels)

    def discard(self, point: UUID) -> None:
        """Remove a row that came into no event."""
        with writing(self._engine) as connection:
            connection.execute(delete(party_contacts).where(party_contacts.c.point_id == point))

    def read(self, points: Iterable[tuple[UUID, str]]) -> dict[UUID, ContactPoint | None]:
        """Open versions by id and digest as recorded; None stands for an erased one.

        ContactDamaged when a row is missing, does not open, or does not hold what the record says was stated.
        """
        wanted = dict(points)
        ids = list(wanted)
        found: dict[UUID, ContactPoint | None] = {}
        with reading(self._engine) as connection:
            for start in range(0, len(ids), MAX_IN_ONE_QUERY):
                page = ids[start : start + MAX_IN_ONE_QUERY]
                for row in connection.execute(select(party_contacts).where(party_contacts.c.point_id.in_(page))):
                    found[row.point_id] = self._open(row, wanted[row.point_id])
        if missing := set(ids) - found.keys():
            raise ContactDamaged(f"The contact point {min(missing)} is on record, but not in the table.")
        return found

    def erase(self, contact: UUID) -> int:
        """Delete the values of all versions of a contact. Returns how many there were.

        Copies in database backups stay readable until the backups expire.
        """
        with writing(self._engine) as connection:
            return connection.execute(
                update(party_contacts)
                .where(party_contacts.c.contact_id == contact, party_contacts.c.erased_at.is_(None))
                .values(sealed=None, erased_at=self._clock.now())
            ).rowcount

    def behind(self) -> int:
        """How many rows are not sealed under the current master key."""
        table = party_contacts
        with reading(self._engine) as connection:
            return connection.execute(
                select(func.count())
                .select_from(table)
                .where(table.c.key_id != self._keys.current, table.c.sealed.is_not(None))
            ).scalar_one()

    def rewrap(self, limit: int = 500) -> int:
        """Rotation: seal up to `limit` rows anew under the current master key. Returns how many; repeat until 0."""
        table = party_contacts
        with writing(self._engine) as connection:
            rows = connection.execute(
                select(table)
                .where(table.c.key_id != self._keys.current, table.c.sealed.is_not(None))
                .limit(limit)
                .with_for_update()
            ).all()
            changes = [
                {"point": row.point_id, "key": self._keys.current, "text": self._seal(row.point_id, self._plain(row))}
                for row in rows
            ]
            if changes:
                connection.execute(
                    update(table)
                    .where(table.c.point_id == bindparam("point"))
                    .values(key_id=bindparam("key"), sealed=bindparam("text")),
                    changes,
                )
        return len(changes)

    def _cipher(self, key_id: str) -> AESGCM:
        own = HKDF(SHA256(), 32, salt=None, info=b"tocsin/party-contacts/1").derive(self._keys.get(key_id))
        return AESGCM(own)

    def _seal(self, point: UUID, plain: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher(self._keys.current).encrypt(nonce, plain, point.bytes)

    def _plain(self, row: Any) -> bytes:
        try:
            return self._cipher(row.key_id).decrypt(
                row.sealed[:NONCE_BYTES], row.sealed[NONCE_BYTES:], row.point_id.bytes
            )
        except InvalidTag:
            raise ContactDamaged(
                f"The contact point {row.point_id} does not open with master key {row.key_id}."
            ) from None

    def _open(self, row: Any, digest: str) -> ContactPoint | None:
        if row.sealed is None:
            return None
        plain = self._plain(row)
        if hashlib.sha256(plain).hexdigest() != digest:
            raise ContactDamaged(f"The contact point {row.point_id} is not the one that was recorded.")
        return ContactPoint.model_validate_json(plain[SALT_BYTES:])
