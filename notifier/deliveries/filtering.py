"""Calls out that networks filter a campaign's text messages: the provider takes them, and nobody gets them.

How many ended, and how, is counted as receipts come in; here it is looked at once in a while, against the share that
`outcomes.yaml` names. Once for each campaign: what to do about it (another text, another sender, mail first) is for a
person to decide, and the campaign rests a moment so that they can.
"""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy import Row, select, update

from incidents.record.database import reading
from notifier.deliveries.book import DeliveryBook
from notifier.deliveries.tables import sendings

log = structlog.get_logger(__name__)

CODE = "filtered"
"""What a campaign rests for that is called out here."""
_s = sendings.c


class FilterWatch:
    """Any number may look; one calls out."""

    def __init__(self, book: DeliveryBook) -> None:
        self._book = book
        self._alarm = book.table.filter_alarm

    def look(self) -> int:
        """Call out what is due. Returns how many campaigns."""
        with reading(self._book.engine) as connection:
            due = connection.execute(
                select(sendings).where(
                    _s.finished_at.is_(None),
                    _s.filtered_at.is_(None),
                    _s.texts_ended >= self._alarm.at_least,
                    _s.texts_filtered >= _s.texts_ended * self._alarm.share,
                )
            ).all()
        return sum(self._call_out(row) for row in due)

    def _call_out(self, row: Row[Any]) -> bool:
        with self._book.transaction() as moves:
            mine = update(sendings).where(_s.campaign_id == row.campaign_id, _s.filtered_at.is_(None))
            if moves.connection.execute(mine.values(filtered_at=moves.now)).rowcount != 1:
                return False
            if self._alarm.holds:
                self._book.hold(moves, row.campaign_id, CODE)
        log.error(
            "campaign.filtered",
            campaign=str(row.campaign_id),
            texts=row.texts_ended,
            filtered=row.texts_filtered,
            holds=self._alarm.holds,
        )
        return True
