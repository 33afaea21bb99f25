"""The relay: copies the outbox to the record, each move exactly once, and may be killed between any two steps.

Moves are bound to the version of the event that will hold them (`batch`) before it is written. An event of that
version can be recorded once only, so after a kill the head of the stream tells whether a batch is in. No order of
sequence numbers is relied on: on PostgreSQL they are not handed out in the order of commits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Self
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, Row, and_, delete, func, select, update

from incidents.clock import Clock
from incidents.errors import Conflict
from incidents.record import Aggregate, Context, Record, stable_id
from incidents.record.database import reading, writing
from notifier.campaigns.events import DeliveriesCancelled, DeliveriesRecorded, DeliveryMove
from notifier.deliveries.groups import unpacked
from notifier.deliveries.tables import campaign_recipients, delivery_log, sendings

log = structlog.get_logger(__name__)

MOVES_PER_EVENT = 500
CAMPAIGNS_AT_ONCE = 50


class DeliveryStream(Aggregate):
    """The stream of a campaign's deliveries. It has no state but its version, so it is not rebuilt to be extended."""

    @classmethod
    def at(cls, stream_id: UUID, version: int) -> Self:
        """The stream as its head says it is."""
        stream = cls(stream_id)
        stream.version = version
        return stream


def stream_id(campaign_id: UUID) -> UUID:
    """Where the deliveries of a campaign are recorded."""
    return stable_id("deliveries", str(campaign_id))


class DeliveryRelay:
    """Copies moves. Several may run; the second to record a batch finds it recorded."""

    def __init__(self, engine: Engine, record: Record, clock: Clock, *, moves_per_event: int = MOVES_PER_EVENT) -> None:
        self._engine = engine
        self._record = record
        self._clock = clock
        self._moves_per_event = moves_per_event

    def run_once(self) -> int:
        """Copy one batch of each campaign that has any. Returns how many moves were copied."""
        with reading(self._engine) as connection:
            waiting = list(
                connection.execute(select(delivery_log.c.campaign_id).distinct().limit(CAMPAIGNS_AT_ONCE)).scalars()
            )
        return sum(self._relay(campaign_id) for campaign_id in waiting)

    def _relay(self, campaign_id: UUID) -> int:
        bound = self._bind(campaign_id)
        if bound is None:
            return 0
        sending, batch, rows = bound
        if rows and self._head(campaign_id) < batch:
            self._record_batch(sending, batch, rows)
        with writing(self._engine) as connection:
            connection.execute(
                delete(delivery_log).where(delivery_log.c.campaign_id == campaign_id, delivery_log.c.batch == batch)
            )
        return sum(row.moved for row in rows)

    def _bind(self, campaign_id: UUID) -> tuple[Row[Any], int, list[Row[Any]]] | None:
        """The batch under way, or a new one of the oldest moves."""
        table = delivery_log
        with writing(self._engine) as connection:
            sending = connection.execute(
                select(sendings).where(sendings.c.campaign_id == campaign_id).with_for_update()
            ).first()
            if sending is None:
                return None
            person = campaign_recipients.c
            of_campaign = (
                select(table, person.language)
                .outerjoin(
                    campaign_recipients,
                    and_(person.campaign_id == table.c.campaign_id, person.recipient_id == table.c.recipient_id),
                )
                .where(table.c.campaign_id == campaign_id)
                .order_by(table.c.seq)
            )
            batch = sending.relay_batch
            rows = list(connection.execute(of_campaign.where(table.c.batch == batch)).all())
            if not rows:
                chosen = self._oldest(connection, campaign_id)
                if not chosen:
                    return None
                batch += 1
                connection.execute(update(table).where(table.c.seq.in_(chosen)).values(batch=batch))
                connection.execute(
                    update(sendings).where(sendings.c.campaign_id == campaign_id).values(relay_batch=batch)
                )
                rows = list(connection.execute(of_campaign.where(table.c.batch == batch)).all())
        return sending, batch, rows

    def _oldest(self, connection: Connection, campaign_id: UUID) -> list[int]:
        """The rows of the next batch. Chosen without the moves in them: a row may hold hundreds, and few fit."""
        table = delivery_log
        found = connection.execute(
            select(table.c.seq, table.c.state, table.c.moved, table.c.moves.is_(None).label("is_single"))
            .where(table.c.campaign_id == campaign_id, table.c.batch.is_(None))
            .order_by(table.c.seq)
            .limit(self._moves_per_event)
        )
        return [row.seq for row in _first_moves(found.all(), self._moves_per_event)]

    def _record_batch(self, sending: Row[Any], batch: int, rows: list[Row[Any]]) -> None:
        stream = DeliveryStream.at(stream_id(sending.campaign_id), batch - 1)
        context = Context(
            actor="system:tocsin",
            cause=sending.started_reference,
            recorded_at=self._clock.now(),
            happened_at=rows[-1].at,
        )
        about = {
            "incident_id": sending.incident_id,
            "campaign_id": sending.campaign_id,
            "up_to": rows[-1].seq,
            "moves": tuple(move for row in rows for move in _moves_of(row)),
        }
        if _calls_off(rows[0]):
            stream.emit(DeliveriesCancelled, context, **about, untried=_untried(rows))
        else:
            stream.emit(DeliveriesRecorded, context, **about)
        try:
            self._record.commit(stream)
        except Conflict:
            if self._head(sending.campaign_id) < batch:
                raise
            log.info("relay.recorded-elsewhere", campaign=str(sending.campaign_id), batch=batch)

    def _head(self, campaign_id: UUID) -> int:
        newest = next(iter(self._record.events.get(stream_id(campaign_id), desc=True, limit=1)), None)
        return 0 if newest is None else newest.originator_version


def _first_moves(rows: Sequence[Row[Any]], most: int) -> list[Row[Any]]:
    """The oldest rows that hold so many moves together, or one that holds more by itself; all of one kind of event."""
    total, taken = 0, list[Row[Any]]()
    for row in rows:
        moved = 1 if row.is_single else row.moved
        if taken and (total + moved > most or _calls_off(row) != _calls_off(taken[0])):
            break
        taken.append(row)
        total += moved
    return taken


def _calls_off(row: Row[Any]) -> bool:
    return bool(row.state == "cancelled")


def _untried(rows: Sequence[Row[Any]]) -> dict[str, int]:
    untried: Counter[str] = Counter()
    for row in rows:
        if row.recipient_id is None:
            untried[row.channel] += row.moved
    return dict(sorted(untried.items()))


def _moves_of(row: Row[Any]) -> Iterator[DeliveryMove]:
    if row.moves is not None:
        yield from unpacked(row.moves, row.channel, row.at)
        return
    if row.recipient_id is None:
        return  # people without an attempt: they are counted, not named
    yield DeliveryMove(
        recipient=row.recipient_id,
        delivery=row.delivery_id,
        channel=row.channel,
        state=row.state,
        at=row.at,
        provider_id=row.provider_id,
        code=row.code,
        language=row.language,
    )


def waiting_moves(engine: Engine) -> int:
    """How many moves wait to be copied (for a gauge; the table holds only those)."""
    with reading(engine) as connection:
        return int(connection.execute(select(func.coalesce(func.sum(delivery_log.c.moved), 0))).scalar_one())
