"""Whose a message is that was found at the provider; above all, whose a call is.

A call carries nothing that could be searched for, so one whose answer was lost is looked for by number and time; what
is known of every other call by then is kept here by its id, so that none is taken for two.

An id is known as soon as Twilio has answered, a signed callback has come, or a search has found it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects.postgresql import insert as into_postgresql
from sqlalchemy.dialects.sqlite import insert as into_sqlite

from notifier.channels.channel import Found
from notifier.deliveries.tables import deliveries, early_receipts
from notifier.receipts.tables import receipts

UNMARKED = frozenset({"voice"})
"""Channels whose messages carry no mark of the person they are for."""
NAMED = "created"
"""The status under which an id is kept that no callback told; Twilio has none of that name."""


def ours(
    connection: Connection, row: Row[Any], found: Sequence[Found], *, latest: datetime, now: datetime
) -> Found | None:
    """The first of these messages that is no other delivery's; None where none is. `row`: of the delivery that they
    were found for. `latest`: what was made later, after it became unclear, is somebody else's."""
    siblings = select(deliveries.c.provider_id).where(
        deliveries.c.campaign_id == row.campaign_id,
        deliveries.c.recipient_id == row.recipient_id,
        deliveries.c.delivery_id != row.delivery_id,
        deliveries.c.provider_id.is_not(None),
    )
    taken = set(connection.execute(siblings).scalars())
    free = [known for known in found if known.provider_id not in taken]
    if row.channel not in UNMARKED:
        return next(iter(free), None)
    taken = of_others(connection, [known.provider_id for known in free], row.delivery_id)
    for known in free:
        if known.provider_id in taken or (known.made_at is not None and known.made_at > latest):
            continue
        if claim(connection, known.provider_id, row.delivery_id, now):
            return known
    return None


def claim(connection: Connection, provider_id: str, delivery_id: UUID, at: datetime) -> bool:
    """Say that this id is this delivery's. False when another one has it, also one that says so just now."""
    row = {"provider_id": provider_id, "status": NAMED, "delivery_id": delivery_id, "received_at": at}
    connection.execute(_once(connection), [row])
    return not of_others(connection, [provider_id], delivery_id)


def note(connection: Connection, channel: str, ids: Iterable[tuple[str | None, UUID]], at: datetime) -> None:
    """Keep the ids that answers brought, of a channel that needs it."""
    if channel not in UNMARKED:
        return
    rows = [
        {"provider_id": one, "status": NAMED, "delivery_id": delivery_id, "received_at": at}
        for one, delivery_id in sorted((one, of) for one, of in ids if one is not None)
    ]
    if rows:
        connection.execute(_once(connection), rows)


def of_others(connection: Connection, ids: Collection[str], delivery_id: UUID) -> set[str]:
    """Those of these ids that belong to another delivery."""
    found: set[str] = set()
    for table in (receipts, early_receipts):
        known = select(table.c.provider_id).where(
            table.c.provider_id.in_(sorted(ids)), table.c.delivery_id != delivery_id
        )
        found |= set(connection.execute(known).scalars()) if ids else set()
    return found


def _once(connection: Connection) -> Any:
    into = into_postgresql if connection.dialect.name == "postgresql" else into_sqlite
    return into(receipts).on_conflict_do_nothing()
