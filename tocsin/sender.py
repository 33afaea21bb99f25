"""The turns of the worker that sends: in full while anybody is left to be told, one short question while nobody is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

import structlog
from sqlalchemy import Engine, select

from incidents.record.database import reading
from notifier.deliveries import DeliveryEngine
from notifier.deliveries.tables import sendings
from tocsin.backup.hold import SendingHold

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
"""Between two turns in full while every campaign is finished: messages of these may still be asked for."""


class Sender:
    """The turns of one delivery engine."""

    def __init__(
        self,
        engine: Engine,
        deliveries: DeliveryEngine,
        hold: SendingHold,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._deliveries = deliveries
        self._hold = hold
        self._monotonic = monotonic
        self._held_since: datetime | None = None
        self._look_at = monotonic()

    async def turn(self) -> int:
        """Returns how much was done (0: nothing now). Nothing leaves while a person has yet to look at a restored
        database."""
        if not self._deliveries.in_flight and not await asyncio.to_thread(self._is_needed):
            return 0
        if (hold := await asyncio.to_thread(self._hold.current)) is None:
            self._held_since = None
            return await self._deliveries.run_once()
        if self._held_since != hold.placed_at:
            self._held_since = hold.placed_at
            log.error("sending.held", since=hold.placed_at.isoformat(), reason=hold.reason)
        await self._deliveries.rest()
        return 0

    def _is_needed(self) -> bool:
        """Whether somebody is left to be told, or it is time to look all the same."""
        if self._monotonic() >= self._look_at:
            self._look_at = self._monotonic() + LOOK_SECONDS
            return True
        with reading(self._engine) as connection:
            unfinished = select(sendings.c.campaign_id).where(sendings.c.finished_at.is_(None)).limit(1)
            return connection.execute(unfinished).first() is not None
