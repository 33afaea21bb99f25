"""Receipts that come before the answer they belong to is entered: kept, and entered right after it. So is word that a
call which was found for a delivery is another one's.

Outcomes of first attempts are entered by the group, so a provider's receipt may be faster. It is proof that the message
exists even if the answer was lost, and so must not be.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import structlog
from sqlalchemy import Exists, Row, delete, exists, insert, select, text

from incidents.record.database import reading
from notifier.deliveries.book import DeliveryBook
from notifier.deliveries.moves import Moves
from notifier.deliveries.sids import NOT_ITS
from notifier.deliveries.tables import deliveries, delivery_batches, early_receipts
from notifier.deliveries.taking_back import disown
from notifier.receipts.tables import receipts

log = structlog.get_logger(__name__)

PAGE = 200
KEPT = timedelta(days=1)
"""So long a receipt waits for its delivery. A worker that died is taken over within minutes."""

_t = early_receipts.c


def keep_early(
    moves: Moves, *, provider_id: str, status: str, delivery_id: UUID, campaign_id: UUID, code: str | None
) -> bool:
    """Keep a receipt of a delivery that is not entered yet. False when everybody of its campaign is entered."""
    if moves.connection.execute(select(_with_batch(campaign_id, "ready") | _with_batch(campaign_id, "held"))).scalar():
        return _keep(moves, provider_id, status, delivery_id, campaign_id, code)
    return False


def _with_batch(campaign_id: UUID, state: Literal["ready", "held"]) -> Exists:
    spelled = text(f"delivery_batches.state = '{state}'")  # as in the index
    return exists().select_from(delivery_batches).where(delivery_batches.c.campaign_id == campaign_id, spelled)


def _keep(moves: Moves, provider_id: str, status: str, delivery_id: UUID, campaign_id: UUID, code: str | None) -> bool:
    known = select(_t.status).where(_t.provider_id == provider_id, _t.status == status)
    if moves.connection.execute(known).first() is None:
        moves.connection.execute(
            insert(early_receipts).values(
                provider_id=provider_id,
                status=status,
                delivery_id=delivery_id,
                campaign_id=campaign_id,
                received_at=moves.now,
                code=code,
            )
        )
    return True


def enter_early(book: DeliveryBook) -> int:
    """Enter kept receipts whose deliveries are entered by now. Returns how many."""
    with reading(book.engine) as connection:
        if connection.execute(select(_t.status).limit(1)).first() is None:
            return 0
        ripe = connection.execute(
            select(early_receipts).join(deliveries, deliveries.c.delivery_id == _t.delivery_id).limit(PAGE)
        ).all()
    for receipt in sorted(ripe, key=lambda row: (row.delivery_id.bytes, row.received_at)):
        with book.transaction() as moves:
            _enter(book, moves, receipt)
    _forget_old(book)
    return len(ripe)


def _enter(book: DeliveryBook, moves: Moves, receipt: Row[Any]) -> None:
    mine = (_t.provider_id == receipt.provider_id, _t.status == receipt.status)
    if moves.connection.execute(delete(early_receipts).where(*mine)).rowcount != 1:
        return  # another worker was faster
    if receipt.status == NOT_ITS:
        disown(moves, receipt.delivery_id, receipt.provider_id, questions=len(book.timing.check_delays))
        return
    state = book.table.twilio_status.get(receipt.status)
    if state is None:
        return
    book.receive(moves, receipt.delivery_id, receipt.provider_id, state, receipt.code)
    known = select(receipts.c.status).where(
        receipts.c.provider_id == receipt.provider_id, receipts.c.status == receipt.status
    )
    if moves.connection.execute(known).first() is None:
        moves.connection.execute(
            insert(receipts).values(
                provider_id=receipt.provider_id,
                status=receipt.status,
                delivery_id=receipt.delivery_id,
                received_at=receipt.received_at,
                code=receipt.code,
            )
        )


def _forget_old(book: DeliveryBook) -> None:
    before = book.clock.now() - KEPT
    with reading(book.engine) as connection:
        old = connection.execute(select(_t.provider_id).where(_t.received_at < before).limit(1)).first()
    if old is None:
        return
    with book.transaction() as moves:
        gone = moves.connection.execute(delete(early_receipts).where(_t.received_at < before)).rowcount
    log.warning("receipts.without-delivery", receipts=gone)
