"""Unsubscribing by the address in a mail's header or text (RFC 8058): one category of notice, by email."""

from __future__ import annotations

from uuid import UUID

import structlog
from sqlalchemy import Engine, select

from incidents.errors import NotFound
from incidents.record.database import reading, writing
from notifier.channels.unsubscribe import UnsubscribeUrls
from notifier.deliveries.notices import Notices
from notifier.deliveries.tables import deliveries
from notifier.suppression.learning import Learner

log = structlog.get_logger(__name__)


class Unsubscribing:
    """Takes requests in. Knowing the address is the right to: it stands in one person's mail only."""

    def __init__(self, engine: Engine, notices: Notices, learner: Learner, urls: UnsubscribeUrls) -> None:
        self._engine = engine
        self._notices = notices
        self._learner = learner
        self._urls = urls

    def category_of(self, token: str) -> str:
        """What an address unsubscribes from. NotFound when we did not make it."""
        return self._found(token)[2]

    def unsubscribe(self, token: str) -> None:
        """Write no more of that category to the person. Again: no second effect. NotFound as above."""
        campaign_id, recipient_id, category = self._found(token)
        self._learner.prepare()
        with writing(self._engine) as connection:
            self._learner.learn(
                connection,
                campaign_id=campaign_id,
                recipient_id=recipient_id,
                channel="email",
                reason="unsubscribed",
                code=None,
                category=category,
            )
        log.info("unsubscribed", campaign=str(campaign_id), category=category)

    def _found(self, token: str) -> tuple[UUID, UUID, str]:
        delivery_id = self._urls.delivery_of(token)
        row = None
        if delivery_id is not None:
            with reading(self._engine) as connection:
                row = connection.execute(
                    select(deliveries.c.campaign_id, deliveries.c.recipient_id).where(
                        deliveries.c.delivery_id == delivery_id
                    )
                ).first()
        if row is None:
            raise NotFound("There is nothing to unsubscribe from at this address.", field="token")
        notice = self._notices.of(row.campaign_id)
        if not notice.may_unsubscribe:
            raise NotFound("Nobody can unsubscribe from a notice that the law demands.", field="token")
        return row.campaign_id, row.recipient_id, notice.category
