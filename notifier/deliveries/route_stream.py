"""What one provider takes from a lane: only while it is well, no faster than its pace, and what it surely did not take
goes to another provider where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from notifier.channels.outcome import Outcome, Verdict
from notifier.channels.stream import Parcel, StreamingChannel, send_each
from notifier.deliveries.faults import place_of
from notifier.deliveries.open_batch import Place
from notifier.deliveries.shelf import Shelf
from notifier.pacing.breaker import Change
from notifier.pacing.provider import Route, Routes

log = structlog.get_logger(__name__)

PAUSE = 1.0
"""Seconds before a channel whose own code failed is taken up again."""


class Serves(Protocol):
    """The lane, as its providers see it."""

    closed: bool
    shelf: Shelf

    def taken(self, parcel: Parcel, route: Route) -> None: ...
    def starve(self) -> None: ...
    def park(self, wake: Callable[[], None]) -> None: ...
    def wake_parked(self) -> None: ...
    def give_back(self, parcel: Parcel, *, counted: bool = False) -> None: ...
    def settle(self, parcel: Parcel, outcome: Outcome) -> None: ...
    def broke(self, parcel: Parcel, error: Exception) -> None: ...
    def still_ours(self, parcel: Parcel) -> bool: ...


class RouteStream:
    """The `Stream` of one provider."""

    def __init__(
        self,
        lane: Serves,
        route: Route,
        routes: Routes,
        now: Callable[[], float],
    ) -> None:
        self._lane = lane
        self._route = route
        self._routes = routes
        self._now = now
        self._free = route.pace.is_free
        route.pace.on_more(lane.wake_parked)
        route.on_change(self._changed)

    async def run(self) -> None:
        """Send until the lane is closed."""
        while not self._lane.closed:
            try:
                if isinstance(self._route.channel, StreamingChannel):
                    await self._route.channel.send_stream(self)
                else:
                    await send_each(self._route.channel, self)
            except Exception as error:  # noqa: BLE001 - logged; the stream is taken up again
                log.error("lane.channel-broke", provider=self._route.name, **place_of(error))
                await asyncio.sleep(PAUSE)

    @property
    def closed(self) -> bool:
        return self._lane.closed

    def take(self) -> Parcel | None:
        lane, route = self._lane, self._route
        if not lane.shelf:
            lane.starve()
            return None
        if lane.closed or not self._routes.serves(route):
            return None
        parcel = lane.shelf.take(self._admits)
        if parcel is not None:
            route.breaker.given()
            lane.taken(parcel, route)
        return parcel

    def _admits(self, parcel: Parcel) -> bool:
        if not self._lane.still_ours(parcel):
            return False
        place: Place = parcel.place
        return self._free or self._route.pace.admits(place.line, place.cost)

    def park(self, wake: Callable[[], None]) -> None:
        self._lane.park(wake)

    def give_back(self, parcel: Parcel, *, counted: bool = False, failure: Outcome | None = None) -> None:
        if failure is None:
            self._route.breaker.untried()
        else:
            self._route.heard(failure, alone=self._routes.alone)
        self._lane.give_back(parcel, counted=counted)

    def settle(self, parcel: Parcel, outcome: Outcome) -> None:
        self._route.heard(outcome, alone=self._routes.alone)
        not_taken = outcome.verdict in {Verdict.TEMPORARY, Verdict.CAMPAIGN_FAULT}
        if not_taken and self._route.is_at_fault(outcome) and self._routes.other_than(self._route):
            # Surely not taken here, and no fault of the message: somebody else may carry it.
            log.info("delivery.other-provider", provider=self._route.name, code=outcome.code)
            parcel.written = False
            self._lane.give_back(parcel, counted=True)
            return
        self._lane.settle(parcel, outcome)

    def broke(self, parcel: Parcel, error: Exception) -> None:
        self._lane.broke(parcel, error)

    def still_ours(self, parcel: Parcel) -> bool:
        return self._lane.still_ours(parcel)

    def _changed(self, change: Change) -> None:
        """The provider rests or works again, whoever noticed."""
        if change is Change.RESTS:
            rest = max(self._route.breaker.rests_until - self._now(), 0.0)
            asyncio.get_running_loop().call_later(rest + 0.001, self._lane.wake_parked)
        self._lane.wake_parked()
