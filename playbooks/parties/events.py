"""What is recorded of a contract party. Addresses and names of contacts are not in here: see docs/decisions/0004."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from incidents.errors import InvalidInput
from incidents.facts.organisation import Place
from incidents.privacy import refuse_contacts
from incidents.record.event import Event, Model

MAX_TEXT = 2_000


def _clean(text: str) -> str:
    text = text.strip()
    if not text:
        raise ValueError("must not be empty")
    try:
        return refuse_contacts(text, "text")
    except InvalidInput as fault:
        raise ValueError(fault.detail) from fault


Name = Annotated[str, Field(max_length=200), AfterValidator(_clean)]
Role = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]*$", max_length=80)]
Purpose = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]


class Direction(StrEnum):
    """Where the party stands: upstream provides to us, downstream receives from us."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"
    BOTH = "both"


class PartyDescription(Model):
    """A contract party: an organisation."""

    name: Name
    direction: Direction
    roles: tuple[Role, ...] = Field((), max_length=50)
    """Recipient roles of law packs that this party is for us, such as `contract.party_a` or `eu.controller`."""
    contracts: tuple[Name, ...] = Field((), max_length=50)
    """References of the contracts with it."""
    place: Place | None = None


class PartyRegistered(Event, kind="party.registered"):
    """The party came into the register. Opens the stream."""

    party: PartyDescription


class ContactStated(Event, kind="party.contact-stated"):
    """A contact of the party was named. Its address is sealed in a table under `point`; `digest` fixes what it was."""

    contact: UUID
    purpose: str
    """What it is for: `incidents`, `notices`, `payments` ..."""
    point: UUID
    digest: str
    """SHA-256 over a random salt and the sealed values, hex: proves later what was stated, and tells nothing now."""
    channels: tuple[str, ...]
    """Kinds of address that it has, such as `email`."""


class ContactChanged(Event, kind="party.contact-changed"):
    """The contact has another address now. The one confirmed before counts until this one is confirmed."""

    contact: UUID
    purpose: str
    point: UUID
    digest: str
    channels: tuple[str, ...]
    reason: str


class ContactConfirmed(Event, kind="party.contact-confirmed"):
    """Somebody made sure that exactly this address is right, and says how."""

    contact: UUID
    purpose: str
    point: UUID
    digest: str
    how: str


class ContactErased(Event, kind="party.contact-erased"):
    """All addresses of the contact were erased from the table; it counts no more."""

    contact: UUID
    purpose: str
    reason: str


class PartyRetired(Event, kind="party.retired"):
    """No contract with it is left."""

    name: str
    reason: str


EVENTS: tuple[type[Event], ...] = (
    PartyRegistered,
    ContactStated,
    ContactChanged,
    ContactConfirmed,
    ContactErased,
    PartyRetired,
)
