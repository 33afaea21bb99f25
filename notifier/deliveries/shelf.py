"""Messages that may be written, by campaign: each campaign gets its turn, however many wait behind another.

Where a destination has a pace of its own, a campaign's messages stand in a line for each country, so that one country
that has to wait holds up no other.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from uuid import UUID

from notifier.channels.stream import Parcel
from notifier.deliveries.open_batch import OpenBatch, Place

Lines = OrderedDict[str, deque[Parcel]]


class Shelf:
    """The messages of one lane. Used from one event loop."""

    def __init__(self) -> None:
        self._campaigns: OrderedDict[UUID, Lines] = OrderedDict()
        self._held = 0

    def __len__(self) -> int:
        return self._held

    def put(self, parcel: Parcel, *, first: bool = False) -> None:
        """Put a message at the end of its line, or at its beginning if it was taken from there."""
        place: Place = parcel.place
        lines = self._campaigns.setdefault(place.open.batch.campaign_id, OrderedDict())
        line = lines.get(place.line)
        if line is None:
            line = lines[place.line] = deque()
        if first:
            line.appendleft(parcel)
        else:
            line.append(parcel)
        self._held += 1

    def take(self, admits: Callable[[Parcel], bool]) -> Parcel | None:
        """The next message that may go, of the campaign whose turn it is; None: none may go now."""
        for campaign_id, lines in list(self._campaigns.items()):
            for country, line in list(lines.items()):
                if not admits(line[0]):
                    continue
                parcel = line.popleft()
                self._held -= 1
                if not line:
                    del lines[country]
                elif len(lines) > 1:
                    lines.move_to_end(country)
                if not lines:
                    del self._campaigns[campaign_id]
                elif len(self._campaigns) > 1:
                    self._campaigns.move_to_end(campaign_id)
                return parcel
        return None

    def withdraw(self, one: OpenBatch) -> list[Parcel]:
        """Take back all of one batch."""
        campaign_id = one.batch.campaign_id
        taken: list[Parcel] = []
        lines = self._campaigns.get(campaign_id, OrderedDict())
        for country, line in list(lines.items()):
            kept: deque[Parcel] = deque()
            for parcel in line:
                (taken if parcel.place.open is one else kept).append(parcel)
            if kept:
                lines[country] = kept
            else:
                del lines[country]
        if not lines:
            self._campaigns.pop(campaign_id, None)
        self._held -= len(taken)
        return taken
