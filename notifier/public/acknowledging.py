"""A person says on the notice page that they have read the notice: the best receipt there is.

Only a press of the button counts (a POST): programs that look at links before people do fetch them. The link carries
the person's reference, an HMAC that is different in every campaign and tells nothing about the person.
"""

from __future__ import annotations

from uuid import UUID

import structlog
from sqlalchemy import select

from notifier.deliveries.book import DeliveryBook
from notifier.deliveries.moves import Moves
from notifier.deliveries.references import tidy_reference
from notifier.deliveries.tables import campaign_recipients, deliveries
from notifier.public.notices import PublicNotices

log = structlog.get_logger(__name__)

CODE = "notice-page"
"""Stands beside the move as its reason."""
MAX_TOKEN = 40
_CAME = {"ambiguous": 1, "accepted": 2, "sent": 3, "delivered": 4, "read": 5}
"""How likely the message in each state is the one that was read; in any other state, hardly."""


class Acknowledging:
    """Takes acknowledgements in."""

    def __init__(self, book: DeliveryBook, notices: PublicNotices) -> None:
        self._book = book
        self._notices = notices

    def acknowledge(self, code: str, token: str) -> bool:
        """Enter that whoever has this link read the notice. False when nothing changed: the link is not ours, or it is
        known already. Whoever asks must not be told which."""
        if len(token) > MAX_TOKEN:
            return False
        notice = self._notices.find(code)
        with self._book.transaction() as moves:
            delivery = None if notice is None else _read_delivery(moves, notice.campaign_id, tidy_reference(token))
            if notice is None or delivery is None:
                return False
            changed = self._book.receive(moves, delivery, None, "read", CODE, receipts=False)
        if changed:
            log.info("notice.acknowledged", campaign=str(notice.campaign_id), delivery=str(delivery))
        return bool(changed)


def _read_delivery(moves: Moves, campaign_id: UUID, reference: str) -> UUID | None:
    """The delivery that the person most likely read: the link is the same in all of theirs. The one that came furthest
    of those that may have arrived, else, if they have none, the last."""
    person = campaign_recipients.c
    rows = moves.connection.execute(
        select(deliveries.c.delivery_id, deliveries.c.state, deliveries.c.changed_at)
        .join(
            campaign_recipients,
            (person.campaign_id == deliveries.c.campaign_id) & (person.recipient_id == deliveries.c.recipient_id),
        )
        .where(
            person.reference == reference, person.campaign_id == campaign_id, deliveries.c.campaign_id == campaign_id
        )
    ).all()
    if not rows:
        return None
    best = max(rows, key=lambda row: (_CAME.get(row.state, 0), row.changed_at, row.delivery_id.bytes))
    found: UUID = best.delivery_id
    return found
