"""Time is handed in, never taken: every decision names the clock it used."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)


class Clock(Protocol):
    """Tells the present instant, always with a zone and in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def uptime() -> float:
    """Seconds that only grow, whatever happens to the machine's clock; where the system can, asleep or not."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


class AnchoredClock:
    """Another machine's clock, asked now and then, and carried on by this machine's uptime in between.

    So all processes that ask the same one agree, and the wall clock of the machine they run on has no say. It goes on
    while the other cannot be asked. It never tells an earlier instant than before, unless the other was put back by
    more than `TOLERANCE`: then it follows, loudly.
    """

    TOLERANCE = timedelta(seconds=2)
    SAMPLES = 3

    def __init__(self, ask: Callable[[], datetime], *, uptime: Callable[[], float] = uptime) -> None:
        """Asks at once: whatever `ask` raises is raised."""
        self._ask = ask
        self._uptime = uptime
        self._lock = Lock()
        self._anchor, self._at = self._measure()
        self._told = self._anchor

    def now(self) -> datetime:
        with self._lock:
            self._told = max(self._told, self._reckoned())
            return self._told

    def adjust(self) -> timedelta:
        """Ask again. Returns how far this clock was off (positive: it was slow)."""
        anchor, at = self._measure()
        with self._lock:
            off = anchor + timedelta(seconds=self._uptime() - at) - self._reckoned()
            self._anchor, self._at = anchor, at
            if abs(off) > self.TOLERANCE:
                log.error("clock.stepped", seconds=off.total_seconds())
                self._told = min(self._told, self._reckoned())
            return off

    def _reckoned(self) -> datetime:
        return self._anchor + timedelta(seconds=self._uptime() - self._at)

    def _measure(self) -> tuple[datetime, float]:
        """An instant of the other clock and the uptime that belongs to it: of a few questions the one that was answered
        fastest, because the answer is true for some moment between question and arrival."""
        best: tuple[float, datetime, float] | None = None
        for _ in range(self.SAMPLES):
            asked = self._uptime()
            told = self._ask()
            answered = self._uptime()
            if best is None or answered - asked < best[0]:
                best = (answered - asked, told.astimezone(UTC), (asked + answered) / 2)
        assert best is not None  # noqa: S101 - SAMPLES is not 0
        return best[1], best[2]


class ManualClock:
    """A clock that moves only when told; for tests and for stories that happen in an hour of their own."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock starts at an instant with a zone")
        self._now = start.astimezone(UTC)
        self._lock = Lock()

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def advance(self, by: timedelta) -> datetime:
        """Move on (or back, where a test wants a wrong clock) and return the new instant."""
        with self._lock:
            self._now += by
            return self._now

    def move_to(self, instant: datetime) -> None:
        with self._lock:
            self._now = instant.astimezone(UTC)
