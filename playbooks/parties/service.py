"""Commands on contract parties, and the two questions asked of them: whom do we reach now, and whom did we before?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from incidents.errors import Conflict, InvalidInput, TocsinError
from incidents.privacy import refuse_contacts
from incidents.record import Context, Record, retrying, stable_id
from playbooks.parties.contacts import ContactPoint, PartyContacts
from playbooks.parties.events import MAX_TEXT, PartyDescription
from playbooks.parties.party import ContactHistory, ContactVersion, Party


@dataclass(frozen=True, slots=True)
class ConfirmedContact:
    """A contact that counts, opened. `pending` tells that a newer address waits for confirmation."""

    contact: UUID
    purpose: str
    value: ContactPoint
    version: ContactVersion
    pending: bool


@dataclass(frozen=True, slots=True)
class OpenedVersion:
    """A version of a contact with its value; None where it was erased."""

    version: ContactVersion
    value: ContactPoint | None


class PartyService:
    """What people can do to the register of parties. Commands are idempotent by the cause in their context."""

    def __init__(self, record: Record, contacts: PartyContacts) -> None:
        self._record = record
        self._contacts = contacts

    def register(self, party_id: UUID, context: Context, description: PartyDescription) -> Party:
        """Take a party into the register."""

        def command() -> Party:
            found = self._record.find(Party, party_id)
            if found is not None:
                if found.has_done(context):
                    return found
                raise Conflict(f"Party {party_id} exists already.", field="id")
            party = Party.register(party_id, context, description)
            self._record.commit(party)
            return party

        return retrying(command)

    def state_contact(self, party_id: UUID, context: Context, purpose: str, value: ContactPoint) -> Party:
        """Name a contact for a purpose. It counts once it is confirmed. Its id is made from the command's."""
        contact = contact_of(context)

        def decide(party: Party) -> UUID:
            sealed = self._contacts.store(party_id, contact, value)
            self._or_discard(sealed.point, lambda: party.state_contact(context, contact, purpose, sealed))
            return sealed.point

        return self._change(party_id, context, decide)

    def change_contact(
        self, party_id: UUID, contact: UUID, context: Context, value: ContactPoint, *, reason: str
    ) -> Party:
        """Give a contact another address. The one confirmed before counts until the new one is confirmed."""
        reason = _text(reason, "reason")

        def decide(party: Party) -> UUID:
            party.contact(contact)
            sealed = self._contacts.store(party_id, contact, value)
            self._or_discard(sealed.point, lambda: party.change_contact(context, contact, sealed, reason))
            return sealed.point

        return self._change(party_id, context, decide)

    def confirm_contact(self, party_id: UUID, contact: UUID, context: Context, *, point: UUID, how: str) -> Party:
        """Confirm that the address `point` is right; `how` says how it was checked. The actor is who confirmed."""
        how = _text(how, "how")
        return self._change(party_id, context, lambda party: party.confirm_contact(context, contact, point, how))

    def erase_contact(self, party_id: UUID, contact: UUID, context: Context, *, reason: str) -> Party:
        """Erase every address that the contact ever had. Its history stays, without the values."""
        reason = _text(reason, "reason")

        def decide(party: Party) -> None:
            party.erase_contact(context, contact, reason)
            # Before the event is saved: what the record calls erased must be gone, whenever the process is killed.
            self._contacts.erase(contact)

        return self._change(party_id, context, decide)

    def retire(self, party_id: UUID, context: Context, *, reason: str) -> Party:
        """No contract with it is left."""
        reason = _text(reason, "reason")
        return self._change(party_id, context, lambda party: party.retire(context, reason))

    def party(self, party_id: UUID) -> Party:
        """The party as recorded. NotFound when there is none."""
        return self._record.load(Party, party_id)

    def current_contacts(self, party_id: UUID, purpose: str | None = None) -> tuple[ConfirmedContact, ...]:
        """The confirmed contacts of a party, for one purpose or for all, the one confirmed last first."""
        found = [(one, one.current) for one in self.party(party_id).current(purpose)]
        opened = self._contacts.read((version.point, version.digest) for _, version in found if version is not None)
        return tuple(
            ConfirmedContact(one.contact, one.purpose, value, version, pending=one.latest != version)
            for one, version in found
            if version is not None and (value := opened[version.point]) is not None
        )

    def contacts_behind(self) -> int:
        """How many stored addresses are not sealed under the current master key."""
        return self._contacts.behind()

    def rewrap_contacts(self, limit: int = 500) -> int:
        """Seal up to `limit` stored addresses anew under the current master key. Repeat until 0."""
        return self._contacts.rewrap(limit)

    def history(self, party_id: UUID, contact: UUID) -> tuple[OpenedVersion, ...]:
        """All versions of a contact, oldest first."""
        versions = self.party(party_id).contact(contact).versions
        opened = self._contacts.read((version.point, version.digest) for version in versions)
        return tuple(OpenedVersion(version, opened[version.point]) for version in versions)

    def _change(self, party_id: UUID, context: Context, decide: Callable[[Party], UUID | None]) -> Party:
        def command() -> Party:
            party = self._record.load(Party, party_id)
            if party.has_done(context):
                return party
            stored = decide(party)
            if stored is None:
                self._record.commit(party)
            else:
                self._or_discard(stored, lambda: self._record.commit(party))
            return party

        return retrying(command)

    def _or_discard(self, point: UUID, act: Callable[[], object]) -> None:
        try:
            act()
        except TocsinError:
            # Refused or overtaken: certainly not recorded. After any other fault it may be, so the row stays.
            self._contacts.discard(point)
            raise


def contact_of(context: Context) -> UUID:
    """The id of the contact that a command states."""
    return stable_id("party-contact", context.cause)


def histories(party: Party) -> tuple[ContactHistory, ...]:
    """All contacts of a party by purpose."""
    return tuple(sorted(party.contacts.values(), key=lambda one: (one.purpose, one.versions[0].stated_at)))


def _text(text: str, field: str) -> str:
    text = text.strip()
    if not text:
        raise InvalidInput(f"{field} must not be empty.", field=field)
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"{field} may have {MAX_TEXT} characters; it has {len(text)}.", field=field)
    return refuse_contacts(text, field)
