"""A contract party and the history of its contacts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self
from uuid import UUID

from incidents.errors import Conflict, IllegalTransition, NotFound
from incidents.record import Aggregate, Context, folds
from playbooks.parties.contacts import SealedPoint
from playbooks.parties.events import (
    ContactChanged,
    ContactConfirmed,
    ContactErased,
    ContactStated,
    PartyDescription,
    PartyRegistered,
    PartyRetired,
)


@dataclass(frozen=True, slots=True)
class ContactVersion:
    """One address that a contact had: who stated and who confirmed it, and when. Instants are of the world."""

    point: UUID
    digest: str
    channels: tuple[str, ...]
    stated_by: str
    stated_at: datetime
    reason: str = ""
    """Why it was changed to this; empty for the first."""
    confirmed_by: str | None = None
    confirmed_at: datetime | None = None
    how: str = ""


@dataclass(frozen=True, slots=True)
class ContactHistory:
    """A contact with all its versions, oldest first."""

    contact: UUID
    purpose: str
    versions: tuple[ContactVersion, ...]
    erased_at: datetime | None = None

    @property
    def latest(self) -> ContactVersion:
        """The version stated last."""
        return self.versions[-1]

    @property
    def current(self) -> ContactVersion | None:
        """The version that counts: the last confirmed one. None where none is confirmed, or all is erased."""
        if self.erased_at is not None:
            return None
        return next((one for one in reversed(self.versions) if one.confirmed_at is not None), None)


class Party(Aggregate):
    """One contract party."""

    description: PartyDescription

    def __init__(self, party_id: UUID) -> None:
        super().__init__(party_id)
        self.contacts: dict[UUID, ContactHistory] = {}
        self.retired_because: str | None = None

    @classmethod
    def register(cls, party_id: UUID, context: Context, description: PartyDescription) -> Self:
        """Take a party into the register. The first event of its stream."""
        party = cls(party_id)
        party.emit(PartyRegistered, context, party=description)
        return party

    def contact(self, contact: UUID) -> ContactHistory:
        """The history of one contact. NotFound when the party has no such contact."""
        if contact not in self.contacts:
            raise NotFound(f"The party has no contact {contact}.", field="contact")
        return self.contacts[contact]

    def current(self, purpose: str | None = None) -> tuple[ContactHistory, ...]:
        """Contacts with a confirmed address, for one purpose or for all; the one confirmed last comes first."""
        found = [
            (version.confirmed_at, one)
            for one in self.contacts.values()
            if (version := one.current) is not None and purpose in {None, one.purpose}
        ]
        return tuple(one for _, one in sorted(found, key=lambda pair: str(pair[0]), reverse=True))

    def state_contact(self, context: Context, contact: UUID, purpose: str, point: SealedPoint) -> None:
        """Name a new contact."""
        self._in_use()
        self.emit(
            ContactStated,
            context,
            contact=contact,
            purpose=purpose,
            point=point.point,
            digest=point.digest,
            channels=point.channels,
        )

    def change_contact(self, context: Context, contact: UUID, point: SealedPoint, reason: str) -> None:
        """Say that a contact has another address now."""
        self._in_use()
        history = self._alive(contact)
        self.emit(
            ContactChanged,
            context,
            contact=contact,
            purpose=history.purpose,
            point=point.point,
            digest=point.digest,
            channels=point.channels,
            reason=reason,
        )

    def confirm_contact(self, context: Context, contact: UUID, point: UUID, how: str) -> None:
        """Confirm the address `point` of a contact. Conflict when it was changed since."""
        self._in_use()
        history = self._alive(contact)
        latest = history.latest
        if latest.point != point:
            raise Conflict(
                "The contact was changed since; look at the new address before you confirm it.", field="point"
            )
        if latest.confirmed_at is None:
            self.emit(
                ContactConfirmed,
                context,
                contact=contact,
                purpose=history.purpose,
                point=point,
                digest=latest.digest,
                how=how,
            )

    def erase_contact(self, context: Context, contact: UUID, reason: str) -> None:
        """Record that all addresses of a contact are erased."""
        history = self._alive(contact)
        self.emit(ContactErased, context, contact=contact, purpose=history.purpose, reason=reason)

    def retire(self, context: Context, reason: str) -> None:
        """No contract with it is left."""
        self._in_use()
        self.emit(PartyRetired, context, name=self.description.name, reason=reason)

    def _in_use(self) -> None:
        if self.retired_because is not None:
            raise IllegalTransition("The party is retired. Register it anew if there is a contract again.")

    def _alive(self, contact: UUID) -> ContactHistory:
        history = self.contact(contact)
        if history.erased_at is not None:
            raise IllegalTransition("The contact was erased. State a new one.")
        return history

    @folds(PartyRegistered)
    def _registered(self, event: PartyRegistered) -> None:
        self.description = event.party

    @folds(ContactStated)
    def _stated(self, event: ContactStated) -> None:
        self.contacts[event.contact] = ContactHistory(event.contact, event.purpose, (_version(event),))

    @folds(ContactChanged)
    def _changed(self, event: ContactChanged) -> None:
        history = self.contacts[event.contact]
        self.contacts[event.contact] = replace(history, versions=(*history.versions, _version(event)))

    @folds(ContactConfirmed)
    def _confirmed(self, event: ContactConfirmed) -> None:
        history = self.contacts[event.contact]
        versions = tuple(
            replace(one, confirmed_by=event.actor, confirmed_at=event.happened_at, how=event.how)
            if one.point == event.point
            else one
            for one in history.versions
        )
        self.contacts[event.contact] = replace(history, versions=versions)

    @folds(ContactErased)
    def _erased(self, event: ContactErased) -> None:
        self.contacts[event.contact] = replace(self.contacts[event.contact], erased_at=event.happened_at)

    @folds(PartyRetired)
    def _retired(self, event: PartyRetired) -> None:
        self.retired_because = event.reason


def _version(event: ContactStated | ContactChanged) -> ContactVersion:
    return ContactVersion(
        point=event.point,
        digest=event.digest,
        channels=event.channels,
        stated_by=event.actor,
        stated_at=event.happened_at,
        reason=event.reason if isinstance(event, ContactChanged) else "",
    )
