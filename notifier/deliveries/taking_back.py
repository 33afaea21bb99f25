"""Taking back what was guessed: a search found a call for a delivery, and the call turns out to be another one's.

A guess is the only thing that is ever undone, and never what the person said. The record keeps both: the guess, and a
move with the code `other-delivery` that takes it back.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Row, select, update

from notifier.campaigns.events import TAKEN_BACK
from notifier.deliveries import sids
from notifier.deliveries.moves import Moves
from notifier.deliveries.states import RANK, Phase
from notifier.deliveries.tables import deliveries

log = structlog.get_logger(__name__)


def named(moves: Moves, row: Row[Any], provider_id: str | None) -> Row[Any]:
    """Enter that this id is certainly this delivery's; returns its row (which is locked) as it is then. What a search
    had guessed for it is taken back."""
    if provider_id is None or row.channel not in sids.UNMARKED:
        return row
    sids.note(moves.connection, row.channel, [(provider_id, row.delivery_id)], moves.now)
    if row.provider_id in {None, provider_id}:
        return row
    sids.release(moves.connection, row.provider_id, row.delivery_id)
    return _take_back(moves, row)


def disown(moves: Moves, delivery_id: UUID, provider_id: str, *, questions: int) -> None:
    """The call of this id, found for this delivery, is another one's: what it said is taken back, and the last of the
    `questions` to the provider asked again. No effect where the delivery has another id, or none, by now."""
    row = moves.lock(delivery_id)
    if row is None or row.provider_id != provider_id:
        return
    if _take_back(moves, row).state != "read":
        moves.set_phase(delivery_id, Phase.CHECKING, moves.now, checks=max(questions - 1, 0))
    moves.follow_up(row.campaign_id, row.recipient_id)


def _take_back(moves: Moves, row: Row[Any]) -> Row[Any]:
    mine = deliveries.c.delivery_id == row.delivery_id
    values: dict[str, Any] = {"provider_id": None, "changed_at": moves.now}
    if row.state != "read":
        values |= {"state": "claimed", "rank": RANK["claimed"], "code": TAKEN_BACK}
    moves.connection.execute(update(deliveries).where(mine).values(values))
    fresh = moves.connection.execute(select(deliveries).where(mine)).one()
    if row.state != "read" and row.rank > RANK["claimed"]:
        moves.log_claim(fresh, TAKEN_BACK)
    log.warning("delivery.taken-back", delivery=str(row.delivery_id), channel=row.channel, state=row.state)
    return fresh
