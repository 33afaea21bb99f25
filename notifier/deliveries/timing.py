"""How long things may take, and how often they are tried. Pure; the random share of a delay is handed in."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from incidents.record.event import Model
from notifier.pacing.breaker import Rests


class Timing(Model):
    """The engine's times."""

    lease: timedelta = timedelta(seconds=120)
    """A claim lasts this long unless renewed; after a kill, another worker takes over when it ends."""
    margin: timedelta = timedelta(seconds=30)
    """Added to a channel's own time limit while a message is being written."""
    check_delays: tuple[timedelta, ...] = (timedelta(seconds=15), timedelta(seconds=60))
    """Before each question to the provider what became of an unclear message. After the last it stays unclear."""
    poll_delays: tuple[timedelta, ...] = (timedelta(minutes=10), timedelta(minutes=50))
    """Before each question for a receipt that did not come. After the last, accepted is what we know."""
    patience: timedelta = timedelta(days=1)
    """So long after it first gave no answer a provider that cannot be asked is asked again; from then on, as where it
    refuses to say, each question counts as one without an answer."""
    first_backoff: timedelta = timedelta(seconds=5)
    most_backoff: timedelta = timedelta(minutes=15)
    max_tries: int = Field(default=10, ge=1)
    """Tries of one delivery that the provider surely did not accept."""
    max_repeats: int = Field(default=2, ge=0)
    """New attempts on the same channel after an unclear or temporarily failed one."""
    unconfirmed: tuple[str, ...] = ()
    """Channels that report what became of a message: where they do not until after the last of `poll_delays`, the
    person's next channel is tried."""
    look: timedelta = timedelta(seconds=5)
    """Where batches are announced, look for unannounced ones this often."""
    hold: timedelta = timedelta(minutes=2)
    """Rest of a campaign after a fault of ours; each that follows without anybody told between is twice as long."""
    most_hold: timedelta = timedelta(minutes=15)
    rest_after: int = Field(default=5, ge=1)
    """Failures of a provider in a row after which it is left alone."""
    first_rest: timedelta = timedelta(seconds=5)
    most_rest: timedelta = timedelta(minutes=5)
    measure: timedelta = timedelta(seconds=20)
    """Between two measurements of how fast a campaign goes."""

    def rests(self) -> Rests:
        """When a provider is left alone."""
        return Rests(self.rest_after, self.first_rest.total_seconds(), self.most_rest.total_seconds())

    def hold_after(self, holds: int) -> timedelta:
        """The rest of a campaign that had so many already."""
        longest: timedelta = max(self.hold, self.most_hold)
        rest: timedelta = min(self.hold * 2 ** min(holds, 10), longest)
        return rest

    def backoff(self, tries: int, share: float, at_least: float | None = None) -> timedelta:
        """The delay after so many failed tries: doubling, with `share` (0 to 1) choosing in its upper half."""
        full: timedelta = min(self.first_backoff * 2 ** min(tries, 20), self.most_backoff)
        delay = full / 2 + full / 2 * share
        return max(delay, timedelta(seconds=min(at_least or 0.0, self.most_backoff.total_seconds())))
