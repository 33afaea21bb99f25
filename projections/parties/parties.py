"""Reading the party list."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Engine, select

from incidents.record.database import reading
from projections.paging import Order, Page, ReadModel, read_page, read_text, read_uuid
from projections.parties.tables import NAME, party_list
from projections.positions import live_generation


class ContactEntry(ReadModel):
    """How one contact stands; its address is not in the list."""

    contact: UUID
    purpose: str
    state: Literal["stated", "changed", "confirmed", "erased"]


class PartyEntry(ReadModel):
    """One contract party."""

    party_id: UUID
    version: int
    name: str
    direction: str
    """`upstream`, `downstream` or `both`."""
    roles: tuple[str, ...]
    contracts: tuple[str, ...]
    place: str | None
    contacts: tuple[ContactEntry, ...]
    retired: bool
    modified_at: datetime


_c = party_list.c
BY_NAME = Order("name", (_c.sort_name, _c.party_id), (read_text, read_uuid))


def parties_with(engine: Engine, role: str) -> tuple[UUID, ...]:
    """The parties in use that have this recipient role for us, by name."""
    statement = (
        select(party_list.c.party_id, party_list.c.roles)
        .where(_c.generation == live_generation(NAME), _c.retired.is_(False))
        .order_by(*BY_NAME.columns)
    )
    with reading(engine) as connection:
        return tuple(row.party_id for row in connection.execute(statement) if role in row.roles)


def parties(
    engine: Engine,
    *,
    search: str | None = None,
    direction: str | None = None,
    retired: bool = False,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[PartyEntry]:
    """The parties by name. A party that is both upstream and downstream is found under each direction."""
    statement = select(party_list).where(_c.generation == live_generation(NAME))
    if not retired:
        statement = statement.where(_c.retired.is_(False))
    if direction is not None:
        statement = statement.where(_c.direction.in_({direction, "both"}))
    if search:
        statement = statement.where(_c.sort_name.contains(search.casefold(), autoescape=True))
    with reading(engine) as connection:
        rows, next_cursor = read_page(connection, statement, BY_NAME, limit=limit, cursor=cursor)
    return Page(
        items=tuple(
            PartyEntry(
                **{name: row[name] for name in PartyEntry.model_fields if name != "contacts"},
                contacts=tuple(
                    ContactEntry(contact=UUID(contact), purpose=stand["purpose"], state=stand["state"])
                    for contact, stand in row["contacts"].items()
                ),
            )
            for row in rows
        ),
        next_cursor=next_cursor,
    )
