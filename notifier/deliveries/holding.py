"""A campaign rests after a fault that is ours: the account, the sender, the notice."""

from __future__ import annotations

from uuid import UUID

import structlog
from sqlalchemy import select, update

from notifier.deliveries.moves import Moves
from notifier.deliveries.tables import sendings
from notifier.deliveries.timing import Timing

log = structlog.get_logger(__name__)


def enter_hold(moves: Moves, timing: Timing, campaign_id: UUID, code: str | None) -> None:
    """Let it rest, each time in a row for longer. No effect while it rests: several messages met the same fault. It is
    called out when that is committed."""
    mine = sendings.c.campaign_id == campaign_id
    known = moves.connection.execute(select(sendings.c.holds, sendings.c.held_until).where(mine)).first()
    if known is None or (known.held_until is not None and known.held_until > moves.now):
        return
    until = moves.now + timing.hold_after(known.holds)
    moves.connection.execute(
        update(sendings).where(mine).values(held_until=until, held_code=(code or "unknown")[:40], holds=known.holds + 1)
    )
    moves.at_commit(lambda: log.error("campaign.held", campaign=str(campaign_id), code=code, until=until.isoformat()))
