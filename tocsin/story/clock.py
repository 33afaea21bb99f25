"""The clock of the story: it runs as the real one does, but some hours behind, and catches up when the story ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock

from incidents.clock import Clock


class StoryClock:
    """A clock that can be moved on, never back and never beyond the real one."""

    def __init__(self, real: Clock) -> None:
        self._real = real
        self._behind = timedelta(0)
        self._lock = Lock()

    def now(self) -> datetime:
        with self._lock:
            return self._real.now() - self._behind

    def set_back_to(self, instant: datetime) -> None:
        """Set the clock back to where the story is. Only before anything is recorded with it."""
        with self._lock:
            self._behind = max(timedelta(0), self._real.now() - instant)

    def move_on_to(self, instant: datetime) -> None:
        """Move on to an instant; an earlier one changes nothing, a later than the real time is cut to it."""
        with self._lock:
            now = self._real.now()
            self._behind = max(timedelta(0), min(self._behind, now - instant))

    def catch_up(self) -> None:
        """Show the real time from now on."""
        with self._lock:
            self._behind = timedelta(0)
