"""A batch while a lane works on it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from notifier.channels.stream import Parcel
from notifier.deliveries.batches import Answer
from notifier.deliveries.claiming import Batch
from notifier.deliveries.groups import Ending, Rules, Seat


@dataclass(slots=True, eq=False)
class OpenBatch:
    """A batch being worked on: who is still to come, and how many are marked without an entered outcome."""

    batch: Batch
    rules: Rules
    seats: deque[Seat] = field(default_factory=deque)
    covered: int = 0
    ended: list[tuple[Seat, Ending]] = field(default_factory=list)
    mark: Mark | None = None
    release: bool = False
    """No more of it is to be written here; it is given back as soon as nothing of it is under way."""
    left: bool = False
    lost: bool = False
    loading: bool = True
    """More of its people are to be made ready."""
    ahead: int = 0
    """Groups that are ready to be marked."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is under way or to come, and it is given back if it is to be."""
        if self.release and not (self.left or self.lost):
            return False
        return not (self.loading or self.covered or self.ended or self.mark is not None or self.ahead or self.seats)


@dataclass(slots=True, eq=False)
class Mark:
    """The wish to let a group be written."""

    wire_to: int
    size: int
    answer: asyncio.Future[Answer]


@dataclass(slots=True)
class Place:
    open: OpenBatch
    seat: Seat
    incident_id: UUID | None = None
    cost: float = 1.0
    """Units of pace that it takes: segments of a text message, or one."""
    line: str = ""
    """The country it goes to, where that matters for its pace."""
    tried_at: datetime | None = None
    """When a provider took it, where it could be found again by nothing else."""
    provider: str | None = None
    """Who was given it last."""
    number: int = 0
    taken_at: float = 0.0


@dataclass(slots=True, eq=False)
class Group:
    """The next people of a batch, ready to be marked and written to, or to be entered as not to be reached."""

    open: OpenBatch
    wire_to: int
    size: int
    made: list[Parcel | tuple[Place, Ending]]
