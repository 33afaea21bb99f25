"""Finishing a campaign: when every person has an outcome and the record knows of every move."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import Engine, Row, func, select, update

from incidents.clock import Clock
from incidents.record import Context, Record, retrying
from incidents.record.database import reading, writing
from notifier.campaigns.campaign import Campaign
from notifier.deliveries.states import OUTCOMES
from notifier.deliveries.tables import delivery_log, sendings

log = structlog.get_logger(__name__)


class Finisher:
    """Records the end of campaigns that have nobody left to try."""

    def __init__(self, engine: Engine, record: Record, clock: Clock) -> None:
        self._engine = engine
        self._record = record
        self._clock = clock

    def finish_ready(self) -> int:
        """Finish every campaign that is ready for it. Returns how many."""
        unrelayed = select(delivery_log.c.seq).where(delivery_log.c.campaign_id == sendings.c.campaign_id)
        with reading(self._engine) as connection:
            ready = connection.execute(
                select(sendings)
                .where(
                    sendings.c.finished_at.is_(None),
                    sendings.c.planned.is_(True),
                    sendings.c.open == 0,
                    ~unrelayed.exists(),
                )
                .limit(20)
            ).all()
        for sending in ready:
            self._finish(sending)
        return len(ready)

    def _finish(self, sending: Row[tuple[object, ...]]) -> None:
        counts: dict[str, int] = {name: getattr(sending, name) for name in OUTCOMES if name != "open"}
        context = Context(actor="system:tocsin", cause=sending.started_reference, recorded_at=self._clock.now())

        def command() -> None:
            campaign = self._record.load(Campaign, sending.campaign_id)
            campaign.finish(context, counts)
            self._record.commit(campaign)

        retrying(command)
        with writing(self._engine) as connection:
            connection.execute(
                update(sendings)
                .where(sendings.c.campaign_id == sending.campaign_id)
                .values(finished_at=self._clock.now())
            )
        log.info("campaign.finished", campaign=str(sending.campaign_id), **counts)


def in_trouble(engine: Engine, now: datetime) -> dict[str, int]:
    """How many campaigns that are being sent rest after a fault of ours (`held`), have too many text messages filtered
    by networks (`filtered`), or stay unclear because a provider does not say (`unanswered`)."""
    s = sendings.c
    signs = {
        "held": s.held_until > now,
        "filtered": s.filtered_at.is_not(None),
        "unanswered": s.unanswered.is_not(None),
    }
    asked = select(*(func.count().filter(sign) for sign in signs.values())).where(s.finished_at.is_(None))
    with reading(engine) as connection:
        return dict(zip(signs, connection.execute(asked).one(), strict=True))


def counters(engine: Engine, campaign_id: UUID | None = None) -> dict[str, int] | None:
    """How many people of a started campaign, or of all, have each outcome now; None before the (first) start."""
    statement = select(func.count(), *(func.sum(sendings.c[name]) for name in OUTCOMES))
    if campaign_id is not None:
        statement = statement.where(sendings.c.campaign_id == campaign_id)
    with reading(engine) as connection:
        campaigns, *sums = connection.execute(statement).one()
    return {name: int(total) for name, total in zip(OUTCOMES, sums, strict=True)} if campaigns else None
