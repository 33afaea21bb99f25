"""The channels of a drill: they take every message and keep none. There is no address, host or port in here that a
person could be reached through (promise 9: a drill's channels are other objects, chosen at the wiring)."""

from __future__ import annotations

from datetime import datetime

from notifier.channels.channel import AboutToWrite, Found, Outgoing
from notifier.channels.outcome import Outcome, Verdict


class DrillChannel:
    """Takes the place of the channel called `name` in a drill."""

    concurrency = 64
    write_timeout = 1.0
    reconciles = True
    has_receipts = False

    def __init__(self, name: str) -> None:
        self.name = name

    async def send(self, message: Outgoing, about_to_write: AboutToWrite) -> Outcome:
        """Go through every step but the one that would reach somebody."""
        await about_to_write()
        return Outcome(Verdict.ACCEPTED, provider_id=f"drill-{message.delivery_id}", state="accepted")

    async def find(self, address: str, marker: str, after: datetime) -> list[Found]:
        """Nothing was ever sent."""
        return []

    async def look_up(self, provider_id: str) -> Found | None:
        """Nothing was ever sent."""
        return None

    async def close(self) -> None:
        """There is nothing to hang up."""
