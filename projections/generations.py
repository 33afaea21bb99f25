"""Which generations exist, which of them this program may work on, and how a new one takes the place of the old."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog
from sqlalchemy import Connection, Engine, delete, select, tuple_
from sqlalchemy.exc import IntegrityError

from incidents.clock import Clock
from incidents.record.database import reading, writing
from projections.positions import (
    BUILDING,
    LIVE,
    RETIRED,
    Position,
    forget,
    open_generation,
    positions_of,
    set_state,
)
from projections.projection import Projection

log = structlog.get_logger(__name__)

_DELETE_SLICE = 5_000


class Generations:
    """The books of a set of projections."""

    def __init__(self, engine: Engine, projections: Mapping[str, Projection], clock: Clock) -> None:
        self._engine = engine
        self._projections = projections
        self._clock = clock

    def on_record(self) -> list[Position]:
        """All generations of these projections."""
        with reading(self._engine) as connection:
            return positions_of(connection, *self._projections)

    def workable(self) -> list[Position]:
        """The generations whose rows were made by the folds of this program; opens those that are missing.

        The live rows of another version are left as they are: older ones until the new generation that is opened
        here has caught up, newer ones because a newer program of ours is looking after them.
        """
        found = self.on_record()
        if any(_lacks(projection, found) for projection in self._projections.values()):
            found = self._open_missing()
        return [at for at in found if at.state in (LIVE, BUILDING) and at.version == self._projections[at.name].version]

    def overtaken(self) -> list[Position]:
        """The live generations that a newer program made."""
        return [at for at in self.on_record() if at.state == LIVE and at.version > self._projections[at.name].version]

    def start_rebuild(self, names: Sequence[str]) -> None:
        """Open a new generation of each, at position 0; one that was being built is given up."""
        self.workable()
        now = self._clock.now()
        with writing(self._engine) as connection:
            found = positions_of(connection, *names, lock=True)
            for at in found:
                if at.state == BUILDING:
                    set_state(connection, at, RETIRED, now)
            for name in names:
                version = self._projections[name].version
                mine = [at for at in found if at.name == name]
                open_generation(connection, name, mine, version=version, state=BUILDING, now=now)

    def promote(self, name: str, head: Callable[[], int]) -> bool:
        """Turn a building generation live if it has caught up with the live one. `head` reads the record's newest
        position: it is asked once nobody can move the two, because what it said before may be long ago.

        Its transaction changes two rows of the books, so a reader sees the old rows or the new, never both or none.
        """
        now = self._clock.now()
        with writing(self._engine) as connection:
            found = positions_of(connection, name, lock=True)
            building = next((at for at in found if at.state == BUILDING), None)
            live = next((at for at in found if at.state == LIVE), None)
            if building is None or building.version != self._projections[name].version:
                return False
            if live is not None:
                # Rows of a record that was longer than this one (a backup was restored) need not be reached.
                if building.position < min(live.position, head()):
                    return False
                set_state(connection, live, RETIRED, now)
            set_state(connection, building, LIVE, now)
        log.info("projection.live", projection=name, generation=building.generation, position=building.position)
        return True

    def sweep(self, holds: Callable[[str], bool] = lambda _name: True) -> None:
        """Remove the rows of retired generations, in slices, so that no other writer waits long."""
        for at in self.on_record():
            if at.state == RETIRED and holds(at.name):
                while self._delete_slice(at):
                    pass

    def _delete_slice(self, at: Position) -> bool:
        """Whether there may be more. Number and rows go in one transaction, and only while the books say that they are
        retired: the number may be given to another generation afterwards, whose rows are not to be touched."""
        with writing(self._engine) as connection:
            found = positions_of(connection, at.name, lock=True)  # one sweeper at a time
            if not any(now.generation == at.generation and now.state == RETIRED for now in found):
                return False
            for table in self._projections[at.name].tables:
                key = list(table.primary_key.columns)
                some = select(*key).where(table.c.generation == at.generation).limit(_DELETE_SLICE)
                if connection.execute(delete(table).where(tuple_(*key).in_(some))).rowcount > 0:
                    return True
            forget(connection, at)
            return False

    def _open_missing(self) -> list[Position]:
        try:
            with writing(self._engine) as connection:
                for projection in self._projections.values():
                    self._open_if_missing(connection, projection)
        except IntegrityError:
            log.info("projections.opened-elsewhere")  # another runner opened the same generation first
        return self.on_record()

    def _open_if_missing(self, connection: Connection, projection: Projection) -> None:
        found = positions_of(connection, projection.name, lock=True)
        state = _lacks(projection, found)
        if state is None:
            return
        now = self._clock.now()
        for at in found:
            if at.state == BUILDING:
                set_state(connection, at, RETIRED, now)
        open_generation(connection, projection.name, found, version=projection.version, state=state, now=now)


def _lacks(projection: Projection, found: Sequence[Position]) -> str | None:
    """The state of the generation that has to be opened for a projection, None when there is nothing to open."""
    mine = [at for at in found if at.name == projection.name]
    live = next((at for at in mine if at.state == LIVE), None)
    if live is None:
        return LIVE
    if live.version >= projection.version:
        return None
    building = next((at for at in mine if at.state == BUILDING), None)
    return None if building is not None and building.version >= projection.version else BUILDING
