"""From what is known of a person (an address, the code in their notice) to their random ids, without opening the vault.

Every import marks its people by keyed hashes of their contacts, to fold repeats by. The marks stay, and are what an
address is looked up by: nobody can tell from the database whose they are, and an erased person has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine, exists, select

from incidents.errors import NotFound
from incidents.record.database import reading
from notifier.audience.tables import audience_marks, audience_members, audiences
from notifier.deliveries.lookup import recipient_of
from notifier.suppression.digests import normalised
from notifier.vault import MasterKeys
from notifier.vault.marks import marks_of
from notifier.vault.tables import vault_contacts

MOST_UNMARKED = 1_000


@dataclass(frozen=True, slots=True)
class Found:
    """Who an address or code belongs to: one random id for each audience the person is in, and those audiences."""

    recipients: dict[UUID, UUID]
    """Audience by recipient."""


class Finder:
    """Looks people up."""

    def __init__(self, engine: Engine, keys: MasterKeys) -> None:
        self._engine = engine
        self._keys = keys

    def by_address(self, address: str) -> Found:
        """Everybody reached by this address, in every audience imported under a master key that is still there.
        InvalidInput for what is no address."""
        kind, tidy = normalised(address)
        marks, table, members = marks_of(self._keys, kind, tidy), audience_marks.c, audience_members.c
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(members.recipient_id, members.audience_id)
                .select_from(audiences)  # there are few, and the index of marks begins with them
                .join(audience_marks, (table.audience_id == audiences.c.audience_id) & table.mark.in_(marks))
                .join(
                    audience_members,
                    (members.audience_id == table.audience_id) & (members.position == table.position),
                )
                .where(table.is_phone.is_(kind == "phone"), audiences.c.status == "ready")
            ).all()
        return Found({row.recipient_id: row.audience_id for row in rows})

    def unmarked(self) -> tuple[UUID, ...]:
        """Audiences that an address is not looked up in, because they were imported before marks were kept: they have
        people who are not erased, and no marks. (Those imported under a master key that is gone cannot be told.)"""
        members, contacts = audience_members.c, vault_contacts.c
        known = (
            exists()
            .where(members.audience_id == audiences.c.audience_id)
            .where(contacts.recipient_id == members.recipient_id, contacts.erased_at.is_(None))
        )
        with reading(self._engine) as connection:
            found = connection.execute(
                select(audiences.c.audience_id)
                .where(
                    audiences.c.status == "ready",
                    known,
                    ~exists().where(audience_marks.c.audience_id == audiences.c.audience_id),
                )
                .order_by(audiences.c.audience_id)
                .limit(MOST_UNMARKED)
            ).scalars()
            return tuple(found)

    def by_reference(self, reference: str) -> Found:
        """The person whose notice has this code printed in it; NotFound when there is none."""
        return self.by_recipient(recipient_of(self._engine, reference))

    def by_recipient(self, recipient_id: UUID) -> Found:
        """The person of a random id; NotFound when no audience holds it."""
        members = audience_members.c
        with reading(self._engine) as connection:
            audience = connection.execute(
                select(members.audience_id).where(members.recipient_id == recipient_id)
            ).scalar()
        if audience is None:
            raise NotFound(f"No audience holds recipient {recipient_id}.", field="recipient")
        return Found({recipient_id: audience})
