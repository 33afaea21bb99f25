"""From what is known of a person (an address, the code in their notice) to their random ids, without opening the vault.

Every import marks its people by keyed hashes of their contacts, to fold repeats by. The marks stay, and are what an
address is looked up by: nobody can tell from the database whose they are, and an erased person has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Engine, exists, select

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


class Peopled:
    """Which audiences without marks have people who are not erased. To find out may mean to walk through all of an
    audience, so each is asked about once in the life of a process: nobody is added to an audience that is ready, and
    where the last are erased meanwhile, it is named as one that is not searched and has nobody to be found."""

    def __init__(self) -> None:
        self._known: dict[UUID, bool] = {}

    def has_people(self, connection: Connection, audience_id: UUID) -> bool:
        """Whether this one has."""
        if audience_id not in self._known:
            members, contacts = audience_members.c, vault_contacts.c
            there = (
                select(members.recipient_id)
                .join(vault_contacts, contacts.recipient_id == members.recipient_id)
                .where(members.audience_id == audience_id, contacts.erased_at.is_(None))
                .limit(1)
            )
            self._known[audience_id] = connection.execute(there).first() is not None
        return self._known[audience_id]


class Finder:
    """Looks people up."""

    def __init__(self, engine: Engine, keys: MasterKeys, peopled: Peopled | None = None) -> None:
        self._engine = engine
        self._keys = keys
        self._peopled = peopled or Peopled()

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
        with reading(self._engine) as connection:
            found = connection.execute(
                select(audiences.c.audience_id)
                .where(
                    audiences.c.status == "ready",
                    ~exists().where(audience_marks.c.audience_id == audiences.c.audience_id),
                )
                .order_by(audiences.c.audience_id)
                .limit(MOST_UNMARKED)
            ).scalars()
            return tuple(one for one in found.all() if self._peopled.has_people(connection, one))

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
