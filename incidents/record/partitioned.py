"""A follower whose work is divided: each partition follows the record by itself and handles the events of its own keys.

The events of one key are always handled in one partition, in their order. How many partitions there are is on the books
(`partitionings`), so that all processes agree whatever their settings say; a process that wants another number enters
it when it starts, and the others go over to it within seconds.

The partitions of a new division begin where the least advanced one of the division before stood. Some events are
handled twice then, and for a while by processes that have not heard of the change, so this is for handlers that find
nothing to do the second time: those that decide from recorded state only. No event is handled by nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError

from incidents.clock import Clock
from incidents.record.database import reading, writing
from incidents.record.event import Event
from incidents.record.follower import Follower, GoesOn, Handler
from incidents.record.record import Record, Recorded
from incidents.record.tables import partitionings

log = structlog.get_logger(__name__)


LOOK_SECONDS = 5.0
"""How long a change of the division may go unnoticed."""

_c = partitionings.c


@dataclass(frozen=True, slots=True)
class Division:
    """`partitions` of a follower, each of which begins at `start` if it has not saved a position yet."""

    follower: str
    epoch: int
    partitions: int
    start: int

    def names(self) -> list[str]:
        """The names of the partitions, under which their positions are saved. Undivided: the follower's own."""
        if self.epoch == 0:
            return [self.follower]
        return [f"{self.follower}/{self.epoch}.{number}" for number in range(self.partitions)]


class Divisions:
    """The divisions on the books."""

    def __init__(self, engine: Engine, record: Record, clock: Clock) -> None:
        self._engine = engine
        self._record = record
        self._clock = clock

    def of(self, follower: str) -> Division:
        """The one that counts."""
        newest = select(partitionings).where(_c.follower == follower).order_by(_c.epoch.desc()).limit(1)
        with reading(self._engine) as connection:
            row = connection.execute(newest).one_or_none()
        return Division(follower, 0, 1, 0) if row is None else Division(follower, row.epoch, row.partitions, row.start)

    def want(self, follower: str, partitions: int) -> Division:
        """See to it that there are so many partitions."""
        while (now := self.of(follower)).partitions != partitions:
            # Whatever a partition had not handled when its position is read here lies behind the new beginning.
            start = min(max(now.start, self._record.position_of(name)) for name in now.names())
            new = {"follower": follower, "epoch": now.epoch + 1, "partitions": partitions, "start": start}
            try:
                with writing(self._engine) as connection:
                    connection.execute(insert(partitionings).values(**new, since=self._clock.now()))
            except IntegrityError:
                continue  # another process was faster; it may have wanted another number
            log.info("follower.divided", follower=follower, partitions=partitions, start=start)
        return now


class PartitionedFollower:
    """Works on those partitions that it may, one after the other."""

    def __init__(
        self,
        record: Record,
        name: str,
        handler: Handler,
        divisions: Divisions,
        *,
        kinds: Sequence[str],
        key_of: Callable[[Event], UUID],
        newest_of: Callable[[Event], Hashable] | None = None,
        holds: Callable[[str], bool] = lambda _partition: True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`key_of` says what must be handled in order; `holds` which partitions this process may work on now."""
        self._record = record
        self.name = name
        self._handler = handler
        self._divisions = divisions
        self._kinds = tuple(kinds)
        self._key_of = key_of
        self._newest_of = newest_of
        self.holds = holds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._look_at = -LOOK_SECONDS
        self._division: Division | None = None
        self._partitions: dict[str, Follower] = {}

    def names(self) -> list[str]:
        """The partitions there are now."""
        return list(self._current())

    @property
    def parked(self) -> list[int]:
        """Positions of events that could not be handled and were passed over by this process."""
        return sorted({position for follower in self._partitions.values() for position in follower.parked})

    @property
    def position(self) -> int:
        """How far all partitions have come."""
        return min(follower.position for follower in self._current().values())

    def oldest_waiting(self) -> Recorded | None:
        """The oldest event that some partition has not come by yet; None when there is none."""
        waiting = [follower.oldest_waiting() for follower in self._current().values()]
        return min((found for found in waiting if found is not None), key=lambda found: found.position, default=None)

    def is_caught_up(self) -> bool:
        """Whether there is nothing new of the wanted kinds in any partition."""
        return all(follower.is_caught_up() for follower in self._current().values())

    def run_once(self, goes_on: GoesOn = lambda: True) -> int:
        """Handle one batch of each partition that is ours. Returns how many events were read.

        A partition that fails does not hold up the others; the first failure is raised at the end.
        """
        read, failed = 0, None
        for name, follower in self._current().items():
            try:
                read += self._turn(name, follower, goes_on)
            except Exception as error:  # noqa: BLE001 - logged, and raised once the others had their turn
                log.warning("partition.failed", partition=name, reason=type(error).__name__)
                failed = failed or error
        if failed is not None:
            raise failed
        return read

    def drain(self, stop: threading.Event | None = None) -> int:
        """Run until nothing is left (or `stop` is set). Returns how many events were read."""
        total = 0
        while (stop is None or not stop.is_set()) and (read := self.run_once()):
            total += read
        return total

    def _turn(self, name: str, follower: Follower, goes_on: GoesOn) -> int:
        return follower.run_once(lambda: goes_on() and self.holds(name)) if self.holds(name) else 0

    def _current(self) -> dict[str, Follower]:
        with self._lock:
            if self._division is None or self._monotonic() >= self._look_at + LOOK_SECONDS:
                division = self._divisions.of(self.name)
                self._look_at = self._monotonic()
                if division != self._division:
                    self._division = division
                    self._partitions = dict(self._followers(division))
            return self._partitions

    def _followers(self, division: Division) -> Sequence[tuple[str, Follower]]:
        return [(name, self._follower(name, number, division)) for number, name in enumerate(division.names())]

    def _follower(self, name: str, number: int, division: Division) -> Follower:
        def concerns(event: Event) -> bool:
            return self._key_of(event).int % division.partitions == number

        return Follower(
            self._record,
            name,
            self._handler,
            kinds=self._kinds,
            newest_of=self._newest_of,
            concerns=concerns if division.partitions > 1 else None,
            start=division.start,
        )
