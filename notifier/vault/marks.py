"""Marks of contacts: keyed hashes that an import knows repeats by, and that a person is looked up by afterwards.

Without a master key nobody can tell whose they are, or test a guess. They go when the person is erased.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal
from uuid import UUID

from sqlalchemy import Boolean, Connection, Integer, LargeBinary, Uuid, column, delete, select, table

from notifier.vault.contact import Contact
from notifier.vault.keys import MasterKeys

PURPOSE = "audience-folding"
"""What the key of the marks is derived for."""

_marks = table(
    "audience_marks",
    column("audience_id", Uuid),
    column("mark", LargeBinary),
    column("position", Integer),
    column("is_phone", Boolean),
)
_members = table(
    "audience_members", column("audience_id", Uuid), column("position", Integer), column("recipient_id", Uuid)
)


Kind = Literal["phone", "email", "im", "address"]


def mark_of(key: bytes, kind: Kind, address: str) -> bytes:
    """The mark of a contact: a keyed hash of 16 bytes, in which the case of an email address does not count."""
    value = f"e{address.lower()}" if kind == "email" else f"{kind[0]}{address}"
    return blake2b(value.encode(), key=key, digest_size=16).digest()


def standing_in(name: str, im: str | None, postal: str | None) -> tuple[Kind, str] | None:
    """What tells a person by who has neither telephone nor email. At one postal address there may be many."""
    if im:
        return "im", im
    return ("address", f"{name}\n{postal}".casefold()) if postal else None


def marks_of(keys: MasterKeys, kind: Kind, address: str) -> list[bytes]:
    """The marks that a contact may have, by the master key that was the current one when it was imported."""
    return [mark_of(key, kind, address) for key in (keys.derive(PURPOSE), *keys.derive_earlier(PURPOSE))]


def forget_person(connection: Connection, keys: MasterKeys, recipient_id: UUID, contact: Contact) -> None:
    """Remove the marks of a person who is being erased."""
    marks = [
        *(marks_of(keys, "phone", contact.phone) if contact.phone else ()),
        *(marks_of(keys, "email", contact.email) if contact.email else ()),
    ]
    if not marks and (rest := standing_in(contact.name, contact.im, contact.postal)):
        marks = marks_of(keys, *rest)
    place = connection.execute(
        select(_members.c.audience_id, _members.c.position).where(_members.c.recipient_id == recipient_id)
    ).first()
    if place is not None and marks:
        connection.execute(
            delete(_marks).where(
                _marks.c.audience_id == place.audience_id,
                _marks.c.mark.in_(marks),
                _marks.c.position == place.position,
            )
        )
