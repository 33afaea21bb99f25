"""The pace of one provider on one worker: units drawn ahead from the shared buckets, and spent message by message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from incidents.clock import uptime
from notifier.pacing.book import Drawn, PaceBook
from notifier.pacing.limits import Limits

log = structlog.get_logger(__name__)

AHEAD = 0.5
"""Seconds of sending that are drawn at once: few enough that a paused campaign has hardly anything drawn for it."""
KEPT = 2.0
"""Seconds after which what was drawn and not spent is no longer used, so that it cannot come on top later."""
AGAIN = 1.0
"""Seconds before a bucket is asked again after a failure."""
SHORTEST, LONGEST = 0.01, 5.0


class Draws(Protocol):
    """What draws units from a shared bucket (`PaceBook`)."""

    def draw(self, name: str, per_second: float, burst: float, least: float, most: float) -> Drawn: ...


class Bucket:
    """Units of one limit that this worker has drawn."""

    def __init__(self, name: str, per_second: float) -> None:
        self.name = name
        self.per_second = per_second
        self.burst = max(per_second, 1.0)
        self.units = 0.0
        self.kept_until = 0.0
        self.filling: asyncio.Task[None] | None = None

    def has(self, cost: float, now: float) -> bool:
        """Whether enough is drawn."""
        if self.units and now > self.kept_until:
            self.units = 0.0
        return self.units >= cost - 1e-9


class Pace:
    """Decides whether a message may go now. Used from one event loop; only filling leaves it, for a thread."""

    def __init__(
        self,
        name: str,
        limits: Limits | None = None,
        book: Draws | PaceBook | None = None,
        *,
        uptime: Callable[[], float] = uptime,
    ) -> None:
        """`name` tells the provider and its sender from all others; workers that use the same share its limits."""
        self._name = name
        self._limits = limits or Limits()
        self._book = book
        self._uptime = uptime
        self._all = self._bucket(name, self._limits.per_second)
        self._countries: dict[str, Bucket | None] = {}
        self._wakes: list[Callable[[], None]] = []
        self._more = asyncio.Event()

    @property
    def by_country(self) -> bool:
        """Whether it matters where a message goes to."""
        return self._book is not None and bool(self._limits.by_country)

    @property
    def is_free(self) -> bool:
        """Whether there is no limit at all."""
        return self._all is None and not self.by_country

    def on_more(self, wake: Callable[[], None]) -> None:
        """Have `wake` called whenever more was drawn."""
        self._wakes.append(wake)

    def admits(self, country: str, cost: float) -> bool:
        """Whether a message of this cost may go to that country now; then it is paid for. Else more is asked for."""
        if self.is_free:
            return True
        now, missing = self._uptime(), False
        buckets = [bucket for bucket in (self._all, self._of(country)) if bucket is not None]
        for bucket in buckets:
            if not bucket.has(cost, now):
                self._ask(bucket, cost)
                missing = True
        if missing:
            return False
        for bucket in buckets:
            bucket.units -= cost
        return True

    async def more(self) -> None:
        """Return when more was drawn."""
        await self._more.wait()

    async def admitted(self, country: str, cost: float) -> None:
        """Return when it may go; it is paid for then."""
        while not self.admits(country, cost):
            await self.more()

    async def close(self) -> None:
        """Ask for nothing any more."""
        tasks = [
            bucket.filling
            for bucket in (self._all, *self._countries.values())
            if bucket is not None and bucket.filling is not None
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _of(self, country: str) -> Bucket | None:
        if not self.by_country:
            return None
        if country not in self._countries:
            self._countries[country] = self._bucket(f"{self._name}:{country}", self._limits.of_country(country))
        return self._countries[country]

    def _bucket(self, name: str, per_second: float | None) -> Bucket | None:
        return Bucket(name[:160], per_second) if per_second is not None and self._book is not None else None

    def _ask(self, bucket: Bucket, cost: float) -> None:
        if bucket.filling is None:
            bucket.filling = asyncio.create_task(self._fill(bucket, cost))

    async def _fill(self, bucket: Bucket, cost: float) -> None:
        """Draw until there is something, then say so."""
        book = self._book
        if book is None:
            return
        most = max(cost, bucket.per_second * AHEAD)
        try:
            while True:
                try:
                    least = max(cost - bucket.units, 0.001)
                    drawn = await asyncio.to_thread(
                        book.draw, bucket.name, bucket.per_second, bucket.burst, least, most
                    )
                except Exception as error:  # noqa: BLE001 - logged; the database is asked again
                    log.warning("pace.not-drawn", bucket=bucket.name, reason=type(error).__name__)
                    drawn = Drawn(0.0, AGAIN)
                if drawn.units:
                    bucket.units += drawn.units
                    bucket.kept_until = self._uptime() + KEPT + cost / bucket.per_second
                    return
                await asyncio.sleep(min(max(drawn.wait, SHORTEST), LONGEST))
        finally:
            bucket.filling = None
            more, self._more = self._more, asyncio.Event()
            more.set()
            for wake in self._wakes:
                wake()
