"""The buckets that all workers share: a rate is kept by the database, not by knowing how many draw on it.

A bucket is one instant: up to when its rate is given away. Whoever wants to send moves it on by what it takes, in one
short transaction, for about half a second of sending at once. So any number of workers get the rate between them, and
no more; one that dies loses at most what it had drawn, which makes sending slower by that and never faster.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from incidents.clock import Clock, uptime
from incidents.record.database import reading, writing
from notifier.pacing.tables import pace_buckets, provider_states

log = structlog.get_logger(__name__)

_b = pace_buckets.c
_p = provider_states.c


LARGEST = 64.0
"""More units than any one message costs, so that no bucket owes more."""
SKEW = 5.0
"""Seconds that the clocks of two machines may differ by without a bucket being set right for it."""

SELDOM = 600.0
"""Seconds before a worker sets the same bucket right again: a clock is set back once, not all the time."""


class Drawn(NamedTuple):
    """What was drawn; where nothing was, after how many seconds it is worth asking again."""

    units: float
    wait: float


class PaceBook:
    """Drawing from buckets, and telling others which providers rest. Synchronous; call it from threads."""

    def __init__(self, engine: Engine, clock: Clock, *, uptime: Callable[[], float] = uptime) -> None:
        self._engine = engine
        self._clock = clock
        self._uptime = uptime
        self._set_right_again: dict[str, float] = {}
        """By bucket, from when on this worker may set it right again."""

    def draw(self, name: str, per_second: float, burst: float, least: float, most: float) -> Drawn:
        """Take between `least` and `most` units from a bucket that holds `burst` and fills by `per_second`.

        Something greater than the bucket goes when the bucket is full, and the bucket owes the rest: nobody waits for
        ever.
        """
        enough, owed = min(least, burst), max(LARGEST, least) / per_second + SKEW
        with reading(self._engine) as connection:  # whoever has to wait takes no lock
            known = connection.execute(select(_b.free_at).where(_b.name == name)).scalar()
        if known is None:
            self._make(name, burst / per_second)
        elif (known - self._clock.now()).total_seconds() > owed:
            self._set_right(name, owed)
        elif (there := self._filled(known, per_second, burst)) < enough:
            return Drawn(0.0, (enough - there) / per_second)
        with writing(self._engine) as connection:
            free_at = connection.execute(select(_b.free_at).where(_b.name == name).with_for_update()).scalar_one()
            there = self._filled(free_at, per_second, burst)
            if there < enough:
                return Drawn(0.0, (enough - there) / per_second)
            units = max(min(there, most), least)
            earliest = self._clock.now() - timedelta(seconds=burst / per_second)
            moved = max(free_at, earliest) + timedelta(seconds=units / per_second)
            connection.execute(update(pace_buckets).where(_b.name == name).values(free_at=moved))
        return Drawn(units, 0.0)

    def rests(self, channel: str, name: str, until: datetime | None, code: str | None) -> None:
        """Let people see that this provider is left alone until then, or (None) that it works again."""
        values = {"rests_until": until, "code": code and code[:40], "changed_at": self._clock.now()}
        with writing(self._engine) as connection:
            mine = (_p.channel == channel, _p.name == name)
            if connection.execute(update(provider_states).where(*mine).values(**values)).rowcount:
                return
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(provider_states).values(channel=channel, name=name, **values))
        except IntegrityError:
            return  # another worker said so at the same time

    def _set_right(self, name: str, owed: float) -> None:
        """An instant further in the future than anything can be owed: the clock was set back, or another machine's goes
        wrong. The bucket is empty now, so that nobody waits for the clock to come there again. Seldom: where clocks
        disagree for good, each time gives a worker whose clock is ahead a full bucket that is not its due."""
        if self._uptime() < self._set_right_again.get(name, 0.0):
            return
        self._set_right_again[name] = self._uptime() + SELDOM
        with writing(self._engine) as connection:
            wrong = pace_buckets.c.free_at > self._clock.now() + timedelta(seconds=owed)
            moved = update(pace_buckets).where(_b.name == name, wrong).values(free_at=self._clock.now())
            if connection.execute(moved).rowcount:
                log.warning("pace.clock-set-back", bucket=name)

    def _filled(self, free_at: datetime, per_second: float, burst: float) -> float:
        return min((self._clock.now() - free_at).total_seconds() * per_second, burst)

    def _make(self, name: str, full: float) -> None:
        try:
            with writing(self._engine) as connection:
                before = self._clock.now() - timedelta(seconds=full)
                connection.execute(insert(pace_buckets).values(name=name, free_at=before))
        except IntegrityError:
            return  # another worker made it at the same time
