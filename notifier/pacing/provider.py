"""The providers of one channel: which of them may be given a message now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from incidents.clock import uptime
from notifier.channels.channel import Channel, Found, ProviderUnavailable
from notifier.channels.outcome import Outcome, OutcomeTable, Verdict
from notifier.pacing.breaker import Breaker, Change, Rests
from notifier.pacing.limits import Limits
from notifier.pacing.pace import Draws, Pace


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider of a channel, as the wiring names it. Several of one channel share its messages; one that stands by
    gets some only while all the others rest."""

    name: str
    channel: Channel
    limits: Limits = field(default_factory=Limits)
    standby: bool = False
    sender: str = ""


class Route:
    """A provider at work on one worker."""

    def __init__(
        self,
        provider: Provider,
        table: OutcomeTable,
        book: Draws | None,
        rests: Rests | None = None,
        *,
        uptime: Callable[[], float] = uptime,
    ) -> None:
        self.name = provider.name[:40]
        self.channel = provider.channel
        self.standby = provider.standby
        self.limits = provider.limits
        self.pace = Pace(f"{provider.channel.name}:{provider.name}:{provider.sender}", provider.limits, book)
        self.breaker = Breaker(rests, uptime=uptime)
        self.slots = asyncio.Semaphore(provider.channel.concurrency)
        self._table = table
        self._listeners: list[Callable[[Change], None]] = []

    def on_change(self, listener: Callable[[Change], None]) -> None:
        """Call this when the provider begins to rest, and when it works again."""
        self._listeners.append(listener)

    def heard(self, outcome: Outcome, *, alone: bool) -> None:
        """Learn from what came of a message. `alone`: there is no other provider, so that a fault of the account
        stops the campaign instead."""
        change = self._judged(outcome, alone=alone)
        if change is not Change.NOTHING:
            for listener in self._listeners:
                listener(change)

    def _judged(self, outcome: Outcome, *, alone: bool) -> Change:
        code = outcome.code
        match outcome.verdict:
            case Verdict.ACCEPTED | Verdict.REJECTED:
                return self.breaker.fine()
            case Verdict.CAMPAIGN_FAULT if self.is_at_fault(outcome):
                return Change.NOTHING if alone else self.breaker.failed(code, at_once=True)
            case Verdict.TEMPORARY if (seconds := self._table.throttles(code)) is not None:
                return self.breaker.failed(code, at_least=max(seconds, outcome.retry_after or 0.0))
            case Verdict.TEMPORARY | Verdict.AMBIGUOUS if self.is_at_fault(outcome):
                return self.breaker.failed(code, at_least=outcome.retry_after)
            case Verdict.AMBIGUOUS:
                self.breaker.untried()  # neither well nor ill: the next one tells
        return self.breaker.fine() if outcome.verdict is Verdict.TEMPORARY else Change.NOTHING

    def is_at_fault(self, outcome: Outcome) -> bool:
        """Whether what came of a message is this provider's fault, so that another may do better."""
        if outcome.verdict is Verdict.AMBIGUOUS:
            return not self._table.says_nothing(outcome.code)
        return self._table.is_of_provider(outcome.code)


class Routes:
    """All providers of one channel."""

    def __init__(self, routes: Sequence[Route]) -> None:
        if not routes:
            raise ValueError("a channel needs a provider")
        names = {route.name for route in routes}
        if len(names) != len(routes):
            raise ValueError("providers of one channel need different names")
        self.all = tuple(routes)

    @property
    def alone(self) -> bool:
        """Whether there is only one."""
        return len(self.all) == 1

    @property
    def reconciles(self) -> bool:
        """Whether each of them can tell what became of a message."""
        return all(route.channel.reconciles for route in self.all)

    def serves(self, route: Route) -> bool:
        """Whether this one may be given a message now, as far as its health goes."""
        if not route.breaker.admits():
            return False
        return not route.standby or not any(other.breaker.works for other in self.all if not other.standby)

    def other_than(self, route: Route) -> bool:
        """Whether another one may be given what this one did not take."""
        return any(other is not route and not other.breaker.resting for other in self.all)

    def pick(self) -> Route | None:
        """One for a single message; None while all rest."""
        return next((route for route in self.all if self.serves(route)), None)

    def wait(self, now: float) -> float:
        """Seconds until one of them has rested."""
        return max(0.0, min(route.breaker.rests_until for route in self.all) - now)

    async def find(self, provider: str | None, address: str, marker: str, after: datetime) -> list[Found]:
        """What became of a message. Where it is not known by which provider it may have gone, all are asked.
        ProviderUnavailable when one could not be asked and no other one found anything."""
        found: list[Found] = []
        silent: list[ProviderUnavailable] = []
        for route in self._asked(provider):
            try:
                found += await route.channel.find(address, marker, after)
            except ProviderUnavailable as error:
                silent.append(error)
        if silent and not found:
            raise _to_ask_again(silent)
        return found

    def write_timeout(self, provider: str | None) -> float:
        """Seconds that an answer of this provider, or of any, may take."""
        return max(route.channel.write_timeout for route in self._asked(provider))

    async def look_up(self, provider: str | None, provider_id: str) -> Found | None:
        """What a provider says of one message. ProviderUnavailable when one could not be asked and none knows it."""
        silent: list[ProviderUnavailable] = []
        for route in self._asked(provider):
            try:
                if (found := await route.channel.look_up(provider_id)) is not None:
                    return found
            except ProviderUnavailable as error:
                silent.append(error)
        if silent:
            raise _to_ask_again(silent)
        return None

    def _asked(self, provider: str | None) -> Sequence[Route]:
        return [route for route in self.all if route.name == provider] or self.all


def _to_ask_again(silent: Sequence[ProviderUnavailable]) -> ProviderUnavailable:
    """Of several that did not say, one that may say later; else one that refuses."""
    return next((error for error in silent if not error.lasting), silent[0])
