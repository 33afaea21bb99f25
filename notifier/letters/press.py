"""Who puts names and addresses on letters: the press, and that of drills, which knows none (promise 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date

from notifier.deliveries.letters import Letters
from notifier.deliveries.notices import Notice
from notifier.letters.typeset import Letter
from notifier.templates import RenderedEmail
from notifier.vault import Contact

NOBODY = "▮▮▮"


@dataclass(frozen=True, slots=True)
class Addressee:
    """One person of a batch, by what is in the tables."""

    number: int
    recipient_id: UUID
    language: str
    country: str
    reference: str = field(repr=False)

    @property
    def key(self) -> str:
        """What stands at the foot of their letter."""
        return f"{self.number:06d}"


class Press(Protocol):
    """Makes the letters of a batch, without those who cannot be written to."""

    def letters(self, notice: Notice, people: Sequence[Addressee], at: datetime) -> list[Letter]:
        """The letters, in the order of the people. `at`: the day on them."""


class LetterPress:
    """Writes to real people."""

    def __init__(self, words: Letters, *, time_zone: str) -> None:
        self._words = words
        self._zone = ZoneInfo(time_zone)

    def letters(self, notice: Notice, people: Sequence[Addressee], at: datetime) -> list[Letter]:
        contacts = self._words.contacts([one.recipient_id for one in people])
        found = []
        for person in people:
            contact = contacts.get(person.recipient_id)
            if isinstance(contact, Contact) and contact.postal:
                address = (contact.name, *contact.postal.split("\n"))
                found.append(_letter(notice, person, contact.name, address, at, self._zone))
        return found


class DrillPress:
    """Writes to nobody: it has no vault, and every letter is to a row of blocks."""

    def __init__(self, *, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)

    def letters(self, notice: Notice, people: Sequence[Addressee], at: datetime) -> list[Letter]:
        return [_letter(notice, person, NOBODY, (NOBODY, NOBODY), at, self._zone) for person in people]


def _letter(
    notice: Notice, person: Addressee, name: str, address: tuple[str, ...], at: datetime, zone: ZoneInfo
) -> Letter:
    """The words are those of the mail, which were approved."""
    words = notice.write(person.language, "email", name, person.reference)
    if not isinstance(words, RenderedEmail):
        raise TypeError("a letter has the words of the mail")
    day = format_date(at.astimezone(zone).date(), "long", Locale.parse(person.language, sep="-"))
    return Letter(
        key=person.key,
        address=address,
        language=person.language,
        day=day,
        subject=words.subject,
        text=words.text,
    )
