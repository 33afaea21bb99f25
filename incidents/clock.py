"""Time is handed in, never taken: every decision names the clock it used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Protocol


class Clock(Protocol):
    """Tells the present instant, always with a zone and in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


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
