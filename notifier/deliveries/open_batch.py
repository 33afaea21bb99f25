"""A batch while a lane works on it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

from notifier.channels.stream import Parcel
from notifier.deliveries.batches import Answer, Batch
from notifier.deliveries.groups import Ending, Rules, Seat


@dataclass(slots=True, eq=False)
class OpenBatch:
    """A batch being worked on: who is still to come, and how many are marked without an entered outcome."""

    batch: Batch
    rules: Rules
    seats: deque[Seat]
    covered: int = 0
    ended: list[tuple[Seat, Ending]] = field(default_factory=list)
    mark: Mark | None = None
    release: bool = False
    """No more of it is to be written here; it is given back as soon as nothing of it is under way."""
    left: bool = False
    lost: bool = False
    ahead: int = 0
    """Groups that are ready to be marked."""


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
    number: int = 0
    taken_at: float = 0.0


@dataclass(slots=True, eq=False)
class Group:
    """The next people of a batch, ready to be marked and written to, or to be entered as not to be reached."""

    open: OpenBatch
    wire_to: int
    size: int
    made: list[Parcel | tuple[Place, Ending]]
