"""What sending teaches about addresses: those that do not exist, and people who want no more of it."""

from __future__ import annotations

from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, select

from incidents.record import Aggregate, Follower, Record, Recorded
from incidents.record.database import writing
from notifier.campaigns.events import DeliveriesRecorded, DeliveryMove
from notifier.channels.outcome import OutcomeTable, outcome_table
from notifier.deliveries.tables import sendings
from notifier.suppression.book import EVERY, KIND_OF, Reason, SuppressionBook
from notifier.vault import Vault

log = structlog.get_logger(__name__)

BY = "system:tocsin"
FOLLOWER = "notifier.suppressions"


class Learner:
    """Puts addresses on the list that a delivery showed to belong there."""

    def __init__(self, book: SuppressionBook, vault: Vault) -> None:
        self._book = book
        self._vault = vault

    def prepare(self) -> None:
        """Before the transaction that `learn` is called in."""
        self._book.open()

    def learn(
        self,
        connection: Connection,
        *,
        campaign_id: UUID,
        recipient_id: UUID,
        channel: str,
        reason: Reason,
        code: str | None,
        category: str = EVERY,
    ) -> bool:
        """Put a recipient's address on the list for this channel. False when it is not known any more."""
        drill = connection.execute(select(sendings.c.drill).where(sendings.c.campaign_id == campaign_id)).scalar()
        contact = self._vault.read_many([recipient_id], connection).get(recipient_id)
        kind = KIND_OF.get(channel)
        if drill or contact is None or kind is None:
            return False
        address = contact.phone if kind == "phone" else contact.email
        if address is None:  # erased: there is nothing left to make a digest of
            log.info("suppression.no-address", recipient=str(recipient_id), reason=reason)
            return False
        self._book.add(
            address,
            reason=reason,
            by=BY,
            channel=channel,
            category=category,
            code=code,
            connection=connection,
        )
        return True


def suppression_follower(
    record: Record, engine: Engine, learner: Learner, table: OutcomeTable | None = None
) -> Follower:
    """Learns from what providers answered: a code tells that a person opted out, or that an address does not exist."""
    codes = table or outcome_table()

    def reason_of(move: DeliveryMove) -> Reason | None:
        if move.channel == "email" and move.state != "rejected":
            return None  # a report by mail was read word for word already (notifier.bounces)
        return (
            codes.suppresses(move.channel, move.code) if move.state in {"rejected", "failed", "undelivered"} else None
        )

    def handle(recorded: Recorded) -> list[Aggregate]:
        event = recorded.event
        if not isinstance(event, DeliveriesRecorded):
            return []
        learnt = [(move, reason) for move in event.moves if (reason := reason_of(move)) is not None]
        if learnt:
            learner.prepare()
            with writing(engine) as connection:
                for move, reason in learnt:
                    learner.learn(
                        connection,
                        campaign_id=event.campaign_id,
                        recipient_id=move.recipient,
                        channel=move.channel,
                        reason=reason,
                        code=move.code,
                    )
        return []

    return Follower(record, FOLLOWER, handle, kinds=(DeliveriesRecorded.kind,))
