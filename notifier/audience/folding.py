"""Folding rows that repeat a person, so that nobody is told twice.

Two rows are one person when they share a phone or an email and contradict each other in neither. A shared phone
with two different emails is a family, not a duplicate: both stay. Where there is neither phone nor email, the
instant message, else name and postal address, stand in for the email. Who was admitted is known by keyed hashes of
their contacts, which lie in the database: an import of millions takes no more memory than one of thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, delete, select

from incidents.record.bulk import BulkInsert
from notifier.audience.row import Person
from notifier.audience.tables import audience_marks
from notifier.vault.marks import mark_of, standing_in

Marks = tuple[bytes | None, bytes | None]
"""Of a person's phone and email, or of what stands in for the email."""
_AT_ONCE = 500
_INSERT_MARKS = BulkInsert(audience_marks, ("audience_id", "mark", "position", "is_phone", "other", "row"))


class Member(NamedTuple):
    """One recipient of an audience, without contact data."""

    position: int
    recipient_id: UUID
    language: str
    country: str
    has_sms: bool
    has_email: bool
    has_im: bool = False
    has_post: bool = False

    @property
    def channels(self) -> tuple[str, ...]:
        known = (("sms", self.has_sms), ("email", self.has_email), ("im", self.has_im), ("letter", self.has_post))
        return tuple(name for name, has in known if has)


@dataclass(slots=True, eq=False)
class Seen:
    """Somebody admitted: their position, the row they first stood in, and the marks of their contacts."""

    position: int
    row: int
    phone: bytes | None
    email: bytes | None


@dataclass(frozen=True, slots=True)
class Fold:
    """A row that repeats somebody. `field` is what they share, `gains` whether it adds a contact."""

    seen: Seen
    field: str
    gains: bool


class Folding:
    """The admitted of one audience, as far as one batch of rows can meet them. `admitted` is how many there were."""

    def __init__(self, key: bytes, audience_id: UUID, admitted: int) -> None:
        self._key = key
        self._audience_id = audience_id
        self._known: dict[bytes, list[Seen]] = {}
        self._stale: list[tuple[bytes, int]] = []
        self._changed: dict[int, Seen] = {}
        self.admitted = admitted

    def prepare(self, people: Sequence[Person], connection: Connection) -> list[Marks]:
        """Load whoever shares a contact with one of these people. Returns the marks of each."""
        table, found = audience_marks, dict[int, Seen]()
        marks = [self._marks(person) for person in people]
        wanted = [mark for both in marks for mark in both if mark]
        for start in range(0, len(wanted), _AT_ONCE):
            rows = connection.execute(
                select(table.c.mark, table.c.position, table.c.is_phone, table.c.other, table.c.row).where(
                    table.c.audience_id == self._audience_id, table.c.mark.in_(wanted[start : start + _AT_ONCE])
                )
            )
            for mark, position, is_phone, other, row in rows:
                phone, email = (mark, other) if is_phone else (other, mark)
                found.setdefault(position, Seen(position, row, phone, email))
        for seen in sorted(found.values(), key=lambda one: one.position):
            self._index(seen)
        return marks

    def take(self, row: int, person: Person, marks: Marks) -> Seen | Fold:
        """Take a row in: somebody new at the next position, or the fold into whom it repeats."""
        phone, email = marks
        seen = self._find(phone, email)
        if seen is None:
            self.admitted += 1
            seen = Seen(self.admitted, row, phone, email)
            self._index(seen)
            self._changed[seen.position] = seen
            return seen
        field = "phone" if phone and phone == seen.phone else "email"
        if not (person.phone or person.email):
            field = "im" if person.im else "address"
        gained = [
            mark for mark, missing in ((phone, seen.phone is None), (email, seen.email is None)) if mark and missing
        ]
        if gained:
            self._stale += [(mark, seen.position) for mark in (seen.phone, seen.email) if mark]
            seen.phone, seen.email = seen.phone or phone, seen.email or email
            for mark in gained:
                self._known.setdefault(mark, []).append(seen)
            self._changed[seen.position] = seen
        return Fold(seen, field, bool(gained))

    def save(self, connection: Connection) -> None:
        """Write the marks of whoever is new or gained a contact."""
        table = audience_marks
        for mark, position in self._stale:
            connection.execute(
                delete(table).where(
                    table.c.audience_id == self._audience_id, table.c.mark == mark, table.c.position == position
                )
            )
        rows = [
            (self._audience_id, mark, seen.position, is_phone, other, seen.row)
            for seen in self._changed.values()
            for mark, other, is_phone in ((seen.phone, seen.email, True), (seen.email, seen.phone, False))
            if mark
        ]
        _INSERT_MARKS(connection, sorted(rows, key=itemgetter(1)))

    def _index(self, seen: Seen) -> None:
        for mark in filter(None, (seen.phone, seen.email)):
            self._known.setdefault(mark, []).append(seen)

    def _find(self, phone: bytes | None, email: bytes | None) -> Seen | None:
        for mark in filter(None, (phone, email)):
            for seen in self._known.get(mark, ()):
                phone_agrees = phone is None or seen.phone is None or phone == seen.phone
                email_agrees = email is None or seen.email is None or email == seen.email
                if phone_agrees and email_agrees:
                    return seen
        return None

    def _marks(self, person: Person) -> Marks:
        marks = (
            mark_of(self._key, "phone", person.phone) if person.phone else None,
            mark_of(self._key, "email", person.email) if person.email else None,
        )
        if marks == (None, None) and (rest := standing_in(person.name, person.im, person.postal)):
            return None, mark_of(self._key, *rest)
        return marks
