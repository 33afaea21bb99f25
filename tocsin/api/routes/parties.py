"""Contract parties and their contacts. Addresses come back only where they are asked for, never from a command."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from incidents.record import stable_id
from playbooks.parties.contacts import ContactPoint
from playbooks.parties.events import Direction, PartyDescription, PartyRegistered
from playbooks.parties.party import ContactVersion, Party
from playbooks.parties.service import histories
from projections.paging import Page
from projections.parties.parties import PartyEntry, parties
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS, needs
from tocsin.api.commands import Command, CommandRoute, commands
from tocsin.api.paths import Cursor, Limit, must_begin_with
from tocsin.api.responses import CHANGING, CREATING, READING, READING_ONE
from tocsin.api.scopes import Parts, door_of
from tocsin.api.values import Reason, RequestModel, ResponseModel

router = APIRouter(prefix="/v1/parties", tags=["parties"], route_class=CommandRoute)

Handles = Annotated[Command, commands(Permission.HANDLE_INCIDENTS)]
Words = Annotated[Reason, Field(max_length=2_000)]
Purpose = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40, examples=["incidents"])]


async def find_party(request: Request, party: UUID) -> UUID:
    """Dependency: the id of the party named in the address."""
    record = door_of(request.scope).services.record
    await run_in_threadpool(must_begin_with, record, party, PartyRegistered, "party")
    return party


PartyId = Annotated[UUID, Depends(find_party)]


class StateContact(RequestModel):
    """A contact of the party. It counts once it is confirmed."""

    purpose: Purpose = Field(description="What it is for.")
    contact: ContactPoint


class ChangeContact(RequestModel):
    """Another address of the same contact."""

    contact: ContactPoint
    reason: Words


class ConfirmContact(RequestModel):
    """That an address is right."""

    point: UUID = Field(description="The version that was checked, as the party shows it.")
    how: Words = Field(examples=["Called the number in clause 1.2 of the contract."])


class Because(RequestModel):
    """Why."""

    reason: Words


class VersionShown(ResponseModel):
    """A version of a contact without its address."""

    point: UUID
    channels: tuple[str, ...]
    stated_by: str
    stated_at: datetime
    reason: str
    confirmed_by: str | None
    confirmed_at: datetime | None
    how: str

    @classmethod
    def of(cls, version: ContactVersion) -> VersionShown:
        """From the aggregate."""
        return cls(**{name: getattr(version, name) for name in cls.model_fields})


class ContactShown(ResponseModel):
    """A contact with its history, without addresses."""

    contact: UUID
    purpose: str
    current: UUID | None = Field(description="The version that counts: the one confirmed last.")
    erased_at: datetime | None
    versions: tuple[VersionShown, ...]


class PartyState(ResponseModel):
    """A party as the record has it."""

    id: UUID
    version: int
    party: PartyDescription
    contacts: tuple[ContactShown, ...]
    retired_because: str | None
    modified_at: datetime | None

    @classmethod
    def of(cls, party: Party) -> PartyState:
        """From the aggregate."""
        return cls(
            id=party.id,
            version=party.version,
            party=party.description,
            contacts=tuple(
                ContactShown(
                    contact=one.contact,
                    purpose=one.purpose,
                    current=current.point if (current := one.current) is not None else None,
                    erased_at=one.erased_at,
                    versions=tuple(VersionShown.of(version) for version in one.versions),
                )
                for one in histories(party)
            ),
            retired_because=party.retired_because,
            modified_at=party.modified_at,
        )


class ConfirmedShown(ResponseModel):
    """A contact that counts, with its address."""

    contact: UUID
    purpose: str
    value: ContactPoint
    version: VersionShown
    pending: bool = Field(description="A newer address waits for confirmation.")


class PastAddress(ResponseModel):
    """A version of a contact with its address; null where it was erased."""

    value: ContactPoint | None
    version: VersionShown


@router.post("", status_code=201, summary="Register a contract party", responses=CREATING)
def register(command: Handles, body: PartyDescription, services: Parts, response: Response) -> PartyState:
    """An organisation that we have a contract with, upstream or downstream."""
    party = services.parties.register(
        stable_id("party", str(command.command_id)), command.context(services.clock), body
    )
    response.headers["Location"] = f"/v1/parties/{party.id}"
    return PartyState.of(party)


@router.get("", summary="List contract parties", dependencies=[READS], responses=READING)
def list_parties(
    services: Parts,
    search: Annotated[str | None, Query(max_length=200, description="Part of the name.")] = None,
    direction: Direction | None = None,
    retired: Annotated[bool, Query(description="With those that no contract is left with.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[PartyEntry]:
    """The register by name, and how the contacts stand."""
    way = direction.value if direction is not None else None
    return parties(services.engine, search=search, direction=way, retired=retired, limit=limit, cursor=cursor)


@router.get("/{party}", summary="Read a contract party", dependencies=[READS], responses=READING_ONE)
def read(party: PartyId, services: Parts) -> PartyState:
    """The party with the history of its contacts, without addresses."""
    return PartyState.of(services.parties.party(party))


@router.get(
    "/{party}/contacts",
    summary="Confirmed contacts with their addresses",
    dependencies=[needs(Permission.HANDLE_INCIDENTS)],
    responses=READING_ONE,
)
def current_contacts(
    party: PartyId, services: Parts, purpose: Annotated[Purpose | None, Query()] = None
) -> tuple[ConfirmedShown, ...]:
    """Whom to reach now: the addresses confirmed last, for one purpose or for all."""
    return tuple(
        ConfirmedShown(
            contact=one.contact,
            purpose=one.purpose,
            value=one.value,
            version=VersionShown.of(one.version),
            pending=one.pending,
        )
        for one in services.parties.current_contacts(party, purpose)
    )


@router.get(
    "/{party}/contacts/{contact}",
    summary="All addresses a contact had",
    dependencies=[needs(Permission.HANDLE_INCIDENTS)],
    responses=READING_ONE,
)
def contact_history(party: PartyId, contact: UUID, services: Parts) -> tuple[PastAddress, ...]:
    """Every version of a contact, oldest first."""
    return tuple(
        PastAddress(value=one.value, version=VersionShown.of(one.version))
        for one in services.parties.history(party, contact)
    )


@router.post("/{party}/contacts", status_code=201, summary="Name a contact", responses=CHANGING)
def state_contact(command: Handles, party: PartyId, body: StateContact, services: Parts) -> PartyState:
    """A contact for a purpose. It counts once somebody has confirmed it."""
    return PartyState.of(
        services.parties.state_contact(party, command.context(services.clock), body.purpose, body.contact)
    )


@router.put("/{party}/contacts/{contact}", summary="Change a contact", responses=CHANGING)
def change_contact(command: Handles, party: PartyId, contact: UUID, body: ChangeContact, services: Parts) -> PartyState:
    """Another address. The one confirmed before counts until this one is confirmed."""
    return PartyState.of(
        services.parties.change_contact(
            party, contact, command.context(services.clock), body.contact, reason=body.reason
        )
    )


@router.post("/{party}/contacts/{contact}/confirmation", summary="Confirm a contact", responses=CHANGING)
def confirm_contact(
    command: Handles, party: PartyId, contact: UUID, body: ConfirmContact, services: Parts
) -> PartyState:
    """That exactly this address is right, and how it was checked."""
    return PartyState.of(
        services.parties.confirm_contact(
            party, contact, command.context(services.clock), point=body.point, how=body.how
        )
    )


@router.post("/{party}/contacts/{contact}/erasure", summary="Erase a contact", responses=CHANGING)
def erase_contact(command: Handles, party: PartyId, contact: UUID, body: Because, services: Parts) -> PartyState:
    """Erase every address the contact ever had; that there was one stays on record."""
    return PartyState.of(
        services.parties.erase_contact(party, contact, command.context(services.clock), reason=body.reason)
    )


@router.post("/{party}/retire", summary="Retire a contract party", responses=CHANGING)
def retire(command: Handles, party: PartyId, body: Because, services: Parts) -> PartyState:
    """No contract with it is left."""
    return PartyState.of(services.parties.retire(party, command.context(services.clock), reason=body.reason))
