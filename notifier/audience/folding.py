"""Folding rows that repeat a person, so that nobody is told twice.

Two rows are one person when they share a phone or an email and contradict each other in neither. A shared phone
with two different emails is a family, not a duplicate: both stay. Memory holds keyed hashes, not contacts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any
from uuid import UUID

from notifier.audience.row import Person


@dataclass(frozen=True, slots=True)
class Member:
    """One recipient of an audience, without contact data."""

    position: int
    recipient_id: UUID
    language: str
    country: str
    has_sms: bool
    has_email: bool

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(name for name, has in (("sms", self.has_sms), ("email", self.has_email)) if has)

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class _Seen:
    member: Member
    phone: bytes | None
    email: bytes | None


class Folding:
    """Remembers whom an import has admitted."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._seen: dict[bytes, list[_Seen]] = {}
        self.admitted = 0
        self.folded = 0

    def same_person(self, person: Person) -> Member | None:
        """The member this row repeats, or None."""
        found = self._find(person)
        return found.member if found else None

    def admit(self, person: Person, recipient_id: UUID) -> Member:
        """Take a new person in; positions count from 1."""
        self.admitted += 1
        member = Member(
            self.admitted,
            recipient_id,
            person.language,
            person.country,
            bool(person.phone),
            bool(person.email),
        )
        phone, email = self._marks(person)
        seen = _Seen(member, phone, email)
        for mark in filter(None, (phone, email)):
            self._seen.setdefault(mark, []).append(seen)
        return member

    def fold(self, known: Member, person: Person) -> Member:
        """Join a repeated row to the member it repeats; returns the member as it is now."""
        self.folded += 1
        seen = self._find(person)
        if seen is None or seen.member != known:
            raise ValueError("fold takes what same_person returned")
        phone, email = self._marks(person)
        for mark, missing in ((phone, seen.phone is None), (email, seen.email is None)):
            if mark and missing:
                self._seen.setdefault(mark, []).append(seen)
        seen.phone, seen.email = seen.phone or phone, seen.email or email
        seen.member = replace(known, has_sms=seen.phone is not None, has_email=seen.email is not None)
        return seen.member

    def _find(self, person: Person) -> _Seen | None:
        phone, email = self._marks(person)
        for mark in filter(None, (phone, email)):
            for seen in self._seen.get(mark, ()):
                phone_agrees = phone is None or seen.phone is None or phone == seen.phone
                email_agrees = email is None or seen.email is None or email == seen.email
                if phone_agrees and email_agrees:
                    return seen
        return None

    def _marks(self, person: Person) -> tuple[bytes | None, bytes | None]:
        return (
            self._mark("p", person.phone) if person.phone else None,
            self._mark("e", person.email.lower()) if person.email else None,
        )

    def _mark(self, kind: str, value: str) -> bytes:
        return blake2b(f"{kind}{value}".encode(), key=self._key, digest_size=16).digest()
