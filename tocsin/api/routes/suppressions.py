"""Addresses that are not to be written to. An address comes in to be asked about or added; none ever goes out."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import Field

from notifier.suppression import Suppression
from notifier.suppression.book import EVERY
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS
from tocsin.api.commands import Command, CommandRoute, PureRoute, commands
from tocsin.api.responses import CHANGING, CREATING, READING
from tocsin.api.scopes import Parts
from tocsin.api.values import Reason, RequestModel, ResponseModel, Text

router = APIRouter(prefix="/v1/suppressions", tags=["suppressions"], route_class=CommandRoute)
questions = APIRouter(prefix="/v1/suppressions", tags=["suppressions"], route_class=PureRoute)

Prepares = Annotated[Command, commands(Permission.PREPARE_NOTICES)]
Approves = Annotated[Command, commands(Permission.APPROVE)]
SuppressionId = Annotated[UUID, Path(examples=["0b7f6c1e-8a51-4a3f-9d0e-2f3f6b1c8a77"])]
Address = Annotated[
    str,
    Field(
        min_length=3,
        max_length=320,
        description="An email address, or a telephone number as +<country code><number>. A digest of it is kept.",
        examples=["lan@example.com"],
    ),
]


class AskAbout(RequestModel):
    """The address in question."""

    address: Address


class AddSuppression(RequestModel):
    """An address not to be written to."""

    address: Address
    channel: Literal["*", "sms", "voice", "email"] = Field("*", description="`*`: every channel of the address.")
    category: str = Field(
        EVERY,
        pattern=r"^(\*|[a-z0-9][a-z0-9-]{0,59})$",
        description="Category of notices, as their template names it; `*`: every one.",
    )
    note: Annotated[Text, Field(max_length=500)] | None = Field(None, description="Why. No names, no addresses.")


class LiftSuppression(RequestModel):
    """Why it is lifted."""

    reason: Reason


class SuppressionsShown(ResponseModel):
    """Entries, newest first."""

    items: tuple[Suppression, ...]


class SuppressionList(ResponseModel):
    """The newest entries, and how many are in force by reason."""

    in_force: dict[str, int]
    items: tuple[Suppression, ...]


@router.get("", summary="The newest suppressions", dependencies=[READS], responses=READING)
def newest(
    services: Parts,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    lifted: Annotated[bool, Query(description="Show those that were lifted too.")] = False,
) -> SuppressionList:
    """What is on the list, without addresses, which it does not hold."""
    listed = services.notifier.suppressions
    return SuppressionList(in_force=listed.counts(), items=listed.newest(limit=limit, in_force=not lifted))


@questions.post("/search", summary="What is on record of an address", responses=CREATING)
def search(
    _command: Annotated[Command, commands(Permission.PREPARE_NOTICES)], body: AskAbout, services: Parts
) -> SuppressionsShown:
    """Everything on the list about one address, what was lifted too. A question: nothing is recorded."""
    return SuppressionsShown(items=services.notifier.suppressions.of(body.address))


@router.post("", status_code=201, summary="Put an address on the list", responses=CREATING)
def add(command: Prepares, body: AddSuppression, services: Parts) -> Suppression:
    """Do not write to this address any more. What is on the list already stays as it is."""
    return services.notifier.suppressions.add(
        body.address,
        reason="manual",
        by=command.principal.actor,
        channel=body.channel,
        category=body.category,
        note=body.note,
    )


@router.post("/{suppression}/lifting", summary="Take one off the list", responses=CHANGING)
def lift(command: Approves, suppression: SuppressionId, body: LiftSuppression, services: Parts) -> Suppression:
    """Write to the address again, for a reason that stays on record."""
    return services.notifier.suppressions.lift(suppression, by=command.principal.actor, reason=body.reason)
