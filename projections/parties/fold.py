"""The party list's fold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from sqlalchemy import Connection

from incidents.record import Event, Recorded
from playbooks.parties import events as parties
from projections.parties.tables import NAME, party_list
from projections.projection import Projection
from projections.rows import Row, Rows

SORTED = 200
"""Characters of a name that decide its place in the list: what a cursor can carry."""


class Parties(Projection):
    """Which contract parties there are, and how their contacts stand."""

    name = NAME
    version = 1
    events = parties.EVENTS
    tables: ClassVar = (party_list,)

    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        rows = Rows(connection, party_list, generation)
        rows.load((recorded.event.originator_id,) for recorded in batch)
        for recorded in batch:
            event = recorded.event
            common = {"version": event.originator_version, "modified_at": event.recorded_at}
            rows.put(event.originator_id, **common, **_changes(event, rows.get(event.originator_id)))
        rows.flush()


_STANDS: dict[type[Event], str] = {
    parties.ContactStated: "stated",
    parties.ContactChanged: "changed",
    parties.ContactConfirmed: "confirmed",
    parties.ContactErased: "erased",
}


def _changes(event: Event, before: Row | None) -> dict[str, Any]:
    if isinstance(event, parties.PartyRegistered):
        party = event.party
        return {
            "name": party.name,
            "sort_name": party.name.casefold()[:SORTED],
            "direction": party.direction.value,
            "roles": list(party.roles),
            "contracts": list(party.contracts),
            "place": party.place,
            "contacts": {},
        }
    if isinstance(event, parties.PartyRetired):
        return {"retired": True}
    contacts = dict(before["contacts"]) if before is not None else {}
    contact: Any = event
    contacts[str(contact.contact)] = {"purpose": contact.purpose, "state": _STANDS[type(event)]}
    return {"contacts": contacts}
