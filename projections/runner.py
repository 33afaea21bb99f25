"""The runner: reads the record in batches and lets each projection fold a batch into rows.

The position and the rows of one projection change in one transaction per batch. Projections that stand at the same
position share one reading. What a kill interrupts has not happened; it is read and folded again.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Engine

from incidents.clock import Clock
from incidents.errors import Conflict, InvalidInput, TocsinError
from incidents.record import Record, Recorded
from incidents.record.database import writing
from projections.generations import Generations
from projections.positions import BUILDING, LIVE, Position, advance
from projections.projection import Projection

log = structlog.get_logger(__name__)

BATCH = 1000
"""Events read at once, and folded in one transaction."""

MAX_WEIGHT = 20_000
"""When the events of a batch hold more moves than this, the next batches are smaller."""

_FIRST_LIMIT = 100

Holds = Callable[[str], bool]
"""Whether this process works on a projection at the moment. Several may: what they fold is folded once."""


def _everything(_projection: str) -> bool:
    return True


Progress = Callable[[str, int, int], None]
"""Told the projection, the position reached and the record's head after each batch of a rebuild."""


class ProjectionFailed(TocsinError):
    """A projection could not fold a batch. Its rows are as they were before the batch; the others went on."""

    code = "projection-failed"
    title = "A projection stopped"


class RecordBehind(Conflict):
    """The record ends before a projection's position: it is not the record that the rows were made from."""

    code = "record-behind"
    title = "The record is older than what was made from it"


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a projection's live rows are behind the record."""

    name: str
    position: int
    head: int
    version: int
    rebuilding_at: int | None
    """The position of a rebuild under way, None when there is none."""
    failure: str | None
    """Why this process could not go on with it, None when it could."""

    @property
    def behind(self) -> int:
        """In positions of the record; 0 when up to date."""
        return max(0, self.head - self.position)


class Runner:
    """Drives the projections of one installation. Several runners, in any processes, may run at once."""

    _states: frozenset[str] = frozenset({LIVE, BUILDING})

    def __init__(
        self,
        record: Record,
        engine: Engine,
        projections: Sequence[Projection],
        clock: Clock,
        *,
        batch: int = BATCH,
        max_weight: int = MAX_WEIGHT,
    ) -> None:
        if batch < 1:
            raise InvalidInput("A batch holds at least one event.", field="batch")
        self._record = record
        self._engine = engine
        self._projections = {projection.name: projection for projection in projections}
        if len(self._projections) != len(projections):
            raise ValueError("two projections have one name")
        self._generations = Generations(engine, self._projections, clock)
        self._clock = clock
        self._batch = batch
        self._limit = min(batch, _FIRST_LIMIT)
        self._max_weight = max_weight
        self._weights: dict[str, Callable[[Any], int]] = {}
        for projection in projections:
            self._weights.update(projection.weights)
        self._failures: dict[str, str] = {}
        self.failures = 0
        """Turns of `follow` that failed in a row; 0 when the last one went well."""
        self._wakeful = threading.Event()
        self._moved = threading.Condition()

    @property
    def clock(self) -> Clock:
        """The clock it works by."""
        return self._clock

    def run_once(self, holds: Holds = _everything) -> int:
        """Take every projection one batch further, of those that `holds` says are ours. Returns how many moved
        (0: all are at the record's head).

        ProjectionFailed names those that could not fold their batch, RecordBehind those that are ahead of the
        record; in both cases after the others had their turn.
        """
        groups: dict[int, list[Position]] = defaultdict(list)
        ours = {name for name in self._projections if holds(name)}
        for other in self._failures.keys() - ours:
            self._failures.pop(other, None)  # somebody else is at it, and says how it goes
        for at in self._generations.workable() if ours else ():
            if at.state in self._states and at.name in ours:
                groups[at.position].append(at)
        head = self._record.head()  # before the events: all up to it are visible to the readings below
        moved = 0
        failed: list[str] = []
        ahead: list[str] = []
        for position, group in sorted(groups.items()):
            if position < head:
                moved += self._step(position, group, head, failed)
            elif position == head:
                moved += self._settle(group)
            else:
                ahead += [at.name for at in group]
        if moved:
            with self._moved:
                self._moved.notify_all()
        self._report(failed, ahead, head)
        return moved

    def drain(self, stop: threading.Event | None = None, holds: Holds = _everything) -> None:
        """Run until every projection of ours is at the record's head (or `stop` is set)."""
        while (stop is None or not stop.is_set()) and self.run_once(holds):
            pass

    def follow(
        self, stop: threading.Event, *, poll: float = 1.0, back_off: float = 5.0, holds: Holds = _everything
    ) -> None:
        """Keep the projections that `holds` names up to date until `stop` is set (`wake` then lets it hear at once).

        Commits of this process wake it; those of other processes are found within `poll` seconds. After a failure
        it waits `back_off` seconds and tries again.
        """
        with self._record.waking(self.wake):
            while not stop.is_set():
                self._wakeful.clear()
                try:
                    self.drain(stop, holds)
                    self._generations.sweep(holds)
                    self.failures = 0
                    self._wakeful.wait(0 if stop.is_set() else poll)
                except Exception as error:  # noqa: BLE001 - a follower outlives a database that is away for a while
                    self.failures += 1
                    log.warning("projections.retry", reason=f"{type(error).__name__}: {error}", after=back_off)
                    stop.wait(back_off)

    def wake(self) -> None:
        """There may be something new."""
        self._wakeful.set()

    def wait_for(self, position: int, *, timeout: float = 2.0, names: Sequence[str] = ()) -> bool:
        """Wait until projections (all, or these) show the event at a position; False when `timeout` seconds passed.

        For a door that answers a command with the state it led to. Another process may be the one that folds.
        """
        end = time.monotonic() + timeout
        while not self._shows(position, names):
            left = end - time.monotonic()
            if left <= 0:
                return False
            with self._moved:
                self._moved.wait(min(left, 0.05))
        return True

    def rebuild(self, name: str = "all", *, progress: Progress | None = None) -> None:
        """Build a projection (or all) anew from position 0 beside the live rows, and put it in their place.

        Readers see the old rows, which any runner keeps up to date, until the new ones have caught up; then the
        new. A rebuild that was killed goes on where it stopped with the next runner. InvalidInput for an unknown
        name.
        """
        wanted = self._named(name)
        self._generations.start_rebuild(tuple(wanted))
        builder = _Builder(
            self._record,
            self._engine,
            tuple(wanted.values()),
            self._clock,
            batch=self._batch,
            max_weight=self._max_weight,
        )
        while any(at.state == BUILDING for at in builder._generations.on_record()):
            builder.run_once()
            if progress is not None:
                for lag in builder.lag():
                    progress(lag.name, lag.position if lag.rebuilding_at is None else lag.rebuilding_at, lag.head)
        builder._generations.sweep()
        for done in wanted:
            self._failures.pop(done, None)

    def names(self) -> list[str]:
        """The projections there are."""
        return sorted(self._projections)

    def lag(self) -> list[Lag]:
        """Each projection's distance from the head of the record, by name."""
        found = self._generations.on_record()
        head = self._record.head()
        lags = []
        for name, projection in sorted(self._projections.items()):
            live = next((at for at in found if at.name == name and at.state == LIVE), None)
            building = next((at for at in found if at.name == name and at.state == BUILDING), None)
            failure = self._failures.get(name)
            if live is not None and live.version > projection.version:
                failure = f"its rows are of version {live.version}; this program makes {projection.version}"
            lags.append(
                Lag(
                    name=name,
                    position=live.position if live else 0,
                    head=head,
                    version=live.version if live else projection.version,
                    rebuilding_at=building.position if building else None,
                    failure=failure,
                )
            )
        return lags

    def _step(self, position: int, group: list[Position], head: int, failed: list[str]) -> int:
        kinds = sorted(frozenset().union(*(self._projections[at.name].kinds for at in group)))
        limit = self._limit
        batch = self._record.read(position, limit, kinds=kinds)
        self._adapt(batch)
        ended = len(batch) < limit
        # Nothing of these kinds is left up to `head`, so the position may pass the events of other kinds.
        reached = max(batch[-1].position if batch else 0, head) if ended else batch[-1].position
        moved = 0
        for at in group:
            try:
                self._fold(at, batch, reached)
                if ended and at.state == BUILDING:
                    self._generations.promote(at.name, self._record.head)
            except Exception as error:
                self._failures[at.name] = f"{type(error).__name__} in the batch after position {position}"
                log.exception("projection.failed", projection=at.name, after=position)
                failed.append(at.name)
            else:
                self._failures.pop(at.name, None)
                moved += 1
        return moved

    def _fold(self, at: Position, batch: Sequence[Recorded], reached: int) -> None:
        projection = self._projections[at.name]
        mine = [recorded for recorded in batch if recorded.event.kind in projection.kinds]
        with writing(self._engine) as connection:
            if not advance(connection, at, reached, self._clock.now()):
                log.info("projection.overtaken", projection=at.name, after=at.position)
                return
            if mine:
                projection.fold(connection, at.generation, mine)

    def _settle(self, group: Sequence[Position]) -> int:
        return sum(self._generations.promote(at.name, self._record.head) for at in group if at.state == BUILDING)

    def _adapt(self, batch: Sequence[Recorded]) -> None:
        weight = 0
        for recorded in batch:
            weigh = self._weights.get(recorded.event.kind)
            weight += 1 if weigh is None else weigh(recorded.event)
        if weight > self._max_weight:
            self._limit = max(1, len(batch) * self._max_weight // weight)
        elif weight * 2 <= self._max_weight:
            self._limit = min(self._batch, self._limit * 2)

    def _report(self, failed: Sequence[str], ahead: Sequence[str], head: int) -> None:
        if ahead:
            names = ", ".join(sorted(set(ahead)))
            for name in ahead:
                self._failures[name] = "it is ahead of the record"
            raise RecordBehind(
                f"The record ends at position {head}, but these projections have seen more of it: {names}. If an "
                "older backup was restored on purpose, rebuild them; else give Tocsin the record it had before."
            )
        if failed:
            names = ", ".join(sorted(set(failed)))
            raise ProjectionFailed(f"Could not fold the next batch: {names}. The log has the reason.")

    def _shows(self, position: int, names: Sequence[str]) -> bool:
        wanted = set(names) or set(self._projections)
        seen = {at.name: at.position for at in self._generations.on_record() if at.state == LIVE}
        return all(seen.get(name, 0) >= position for name in wanted)

    def _named(self, name: str) -> dict[str, Projection]:
        if name == "all":
            return dict(self._projections)
        if name not in self._projections:
            known = ", ".join(sorted(self._projections))
            raise InvalidInput(f"There is no projection {name[:40]!r}; there are: all, {known}.", field="name")
        return {name: self._projections[name]}


class _Builder(Runner):
    """Works on what is being built only: the live rows may be those of a record that is gone."""

    _states = frozenset({BUILDING})
