"""Whose a message is that was found at the provider; above all, whose a call is.

A call carries nothing that could be searched for, so one whose answer was lost is looked for by number and time; what
is known of every other call by then is kept here by its id, so that none is taken for two.

An id is known as soon as Twilio has answered, a signed callback has come, or a search has found it. What a search found
is a guess by number and time; an answer and a callback are certain. Where the two meet, the certain one takes the id
over, and the delivery that it was guessed for is asked about again (`notifier.deliveries.taking_back`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Table, delete, select, update
from sqlalchemy.dialects.postgresql import insert as into_postgresql
from sqlalchemy.dialects.sqlite import insert as into_sqlite

from notifier.channels.channel import Found
from notifier.deliveries.tables import deliveries, early_receipts
from notifier.receipts.tables import receipts

UNMARKED = frozenset({"voice"})
"""Channels whose messages carry no mark of the person they are for."""
NAMED = "created"
"""The status under which an id is kept that no callback told; Twilio has none of that name."""
NOT_ITS = "not-its-call"
"""The status under which a delivery is told (`early_receipts`) that an id which a search found for it is another's."""
AT_ONCE = 500


def ours(
    connection: Connection, row: Row[Any], found: Sequence[Found], *, latest: datetime, now: datetime
) -> Found | None:
    """The first of these messages that is no other delivery's; None where none is. `row`: of the delivery that they
    were found for. `latest`: a call made later is somebody else's, or may be, because its answer is still under way."""
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
    """Keep the ids that answers and signed callbacks brought, of a channel that needs it; those that a search had
    taken for another delivery's are taken from that one, which is told."""
    if channel not in UNMARKED:
        return
    certain = dict(sorted((one, of) for one, of in ids if one is not None))
    if not certain:
        return
    rows = [{"provider_id": one, "status": NAMED, "delivery_id": of, "received_at": at} for one, of in certain.items()]
    connection.execute(_once(connection), rows)
    names = list(certain)
    for start in range(0, len(names), AT_ONCE):
        some = receipts.c.provider_id.in_(names[start : start + AT_ONCE])
        kept = select(receipts.c.provider_id, receipts.c.delivery_id).where(some, receipts.c.status == NAMED)
        for row in connection.execute(kept).all():
            if row.delivery_id != certain[row.provider_id]:
                _take_over(connection, row.provider_id, certain[row.provider_id], row.delivery_id, at)


def release(connection: Connection, provider_id: str, delivery_id: UUID) -> None:
    """Forget that a search found this id for this delivery."""
    mine = (receipts.c.provider_id == provider_id, receipts.c.status == NAMED, receipts.c.delivery_id == delivery_id)
    connection.execute(delete(receipts).where(*mine))


def _take_over(connection: Connection, provider_id: str, winner: UUID, loser: UUID, at: datetime) -> None:
    """The loser is told by a row that is entered in a transaction of its own: to lock two people here, in whatever
    order they come, could block another worker for good."""
    mine = (receipts.c.provider_id == provider_id, receipts.c.status == NAMED)
    connection.execute(update(receipts).where(*mine).values(delivery_id=winner))
    campaign = connection.execute(select(deliveries.c.campaign_id).where(deliveries.c.delivery_id == loser)).scalar()
    if campaign is not None:
        told = {"provider_id": provider_id, "status": NOT_ITS, "delivery_id": loser, "campaign_id": campaign}
        connection.execute(_once(connection, early_receipts).values(received_at=at, **told))


def of_others(connection: Connection, ids: Collection[str], delivery_id: UUID) -> set[str]:
    """Those of these ids that belong to another delivery."""
    found: set[str] = set()
    for table in (receipts, early_receipts):
        known = select(table.c.provider_id).where(
            table.c.provider_id.in_(sorted(ids)), table.c.delivery_id != delivery_id
        )
        found |= set(connection.execute(known).scalars()) if ids else set()
    return found


def _once(connection: Connection, table: Table = receipts) -> Any:
    into = into_postgresql if connection.dialect.name == "postgresql" else into_sqlite
    return into(table).on_conflict_do_nothing()
