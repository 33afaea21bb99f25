"""Leaves a provider alone that fails again and again, and tries it with one message when its rest is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from incidents.clock import uptime

PROBE_SECONDS = 120.0
"""After so long without an outcome, a message that was to try the provider is given up and another may."""


@dataclass(frozen=True, slots=True)
class Rests:
    """When a provider is left alone, and for how long. Times in seconds."""

    failures: int = 5
    """So many in a row."""
    first: float = 5.0
    """The first rest; each that follows without a success between is twice as long."""
    longest: float = 300.0


class Change(StrEnum):
    """What an outcome changed."""

    NOTHING = "nothing"
    RESTS = "rests"
    WORKS = "works"


class Breaker:
    """The state of one provider on one worker. No I/O, no waiting."""

    def __init__(self, rests: Rests | None = None, *, uptime: Callable[[], float] = uptime) -> None:
        self._rests = rests or Rests()
        self._uptime = uptime
        self._failures = 0
        self._rest = 0.0
        self._probe_at: float | None = None
        self.rests_until = 0.0
        """In this machine's uptime; 0: it works."""
        self.code: str | None = None
        """The fault it rests for."""

    @property
    def resting(self) -> bool:
        """Whether it is left alone now."""
        return self.rests_until > self._uptime()

    @property
    def works(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.rests_until

    def admits(self) -> bool:
        """Whether it may be given a message: always while it works, one at a time to try it after a rest."""
        if self.works:
            return True
        if self.resting:
            return False
        return self._probe_at is None or self._uptime() - self._probe_at > PROBE_SECONDS

    def given(self) -> None:
        """It was given a message."""
        if not self.works:
            self._probe_at = self._uptime()

    def untried(self) -> None:
        """The message it was given came back untried."""
        self._probe_at = None

    def fine(self) -> Change:
        """It answered as a provider should."""
        if self.works and not self._failures:
            return Change.NOTHING
        before, self._failures, self._rest, self._probe_at = self.rests_until, 0, 0.0, None
        self.rests_until, self.code = 0.0, None
        return Change.WORKS if before else Change.NOTHING

    def failed(self, code: str | None, *, at_once: bool = False, at_least: float | None = None) -> Change:
        """It failed. `at_once`: one such fault is enough; `at_least`: so long it asked to be left alone."""
        probing, self._probe_at = self._probe_at is not None, None
        self._failures += 1
        if self.resting and not at_least:
            return Change.NOTHING  # messages that were under way when its rest began
        if not (at_once or at_least or probing or self._failures >= self._rests.failures):
            return Change.NOTHING
        self._rest = min(max(2 * self._rest, self._rests.first), self._rests.longest)
        wanted = self._uptime() + max(self._rest if at_once or not at_least else 0.0, at_least or 0.0)
        self.rests_until = max(self.rests_until, wanted)
        self.code = code
        return Change.RESTS
