"""How far the relay has come, kept in the database that also holds the record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from incidents.clock import Clock
from incidents.errors import InvalidInput
from incidents.record.database import reading, writing
from tocsin.relay.tables import relay_positions


@dataclass(frozen=True, slots=True)
class Position:
    """What is on file for a topic. Every save names the one it follows, and fails when another was faster."""

    position: int
    generation: int
    topic_id: str
    """Empty until the topic was seen for the first time."""
    saved_at: datetime
    ends: Mapping[int, int] = field(default_factory=dict)
    """Partition to the offset after the last message that is known to be in it."""


class Positions:
    """The row of one topic."""

    def __init__(self, engine: Engine, clock: Clock, topic: str) -> None:
        self._engine = engine
        self._clock = clock
        self.topic = topic

    def find(self) -> Position | None:
        """What is on file; None before the first relay."""
        wanted = select(
            relay_positions.c.position,
            relay_positions.c.generation,
            relay_positions.c.topic_id,
            relay_positions.c.saved_at,
            relay_positions.c.offsets,
        ).where(relay_positions.c.topic == self.topic)
        with reading(self._engine) as connection:
            row = connection.execute(wanted).one_or_none()
        if row is None:
            return None
        ends = {int(partition): end for partition, end in json.loads(row.offsets).items()}
        return Position(row.position, row.generation, row.topic_id, row.saved_at, ends)

    def load(self) -> Position:
        """What is on file; the beginning of the record where nothing is."""
        found = self.find()
        if found is not None:
            return found
        try:
            with writing(self._engine) as connection:
                connection.execute(
                    insert(relay_positions).values(
                        topic=self.topic,
                        position=0,
                        generation=0,
                        topic_id="",
                        offsets="{}",
                        saved_at=self._clock.now(),
                    )
                )
        except IntegrityError:
            pass  # another relay began at the same moment
        return self.load()

    def advance(self, seen: Position, to: int, ends: Mapping[int, int]) -> Position | None:
        """Put it forward to `to`; `ends` are the partitions that were written to, and where they end now.

        None when it is no longer where it was seen: somebody else relays, or put it back.
        """
        return self._save(seen, replace(seen, position=to, ends={**seen.ends, **ends}))

    def adopt(self, seen: Position, topic_id: str, *, from_start: bool) -> Position | None:
        """Note the topic's id; with `from_start`, everything is to be sent again. None as in `advance`."""
        if from_start:
            return self._save(
                seen, replace(seen, position=0, generation=seen.generation + 1, topic_id=topic_id, ends={})
            )
        return self._save(seen, replace(seen, topic_id=topic_id, ends={}))

    def put_back(self, to: int) -> Position:
        """Send again everything after `to`, whoever is at work. InvalidInput when the relay is not that far yet."""
        while True:
            seen = self.load()
            if not 0 <= to <= seen.position:
                raise InvalidInput(
                    f"The relay of {self.topic} is at position {seen.position}: it can be put back to 0 up to there, "
                    f"not to {to}. Events after it are sent anyway.",
                    field="--from",
                )
            # The topic is looked at anew: whoever puts a relay back has seen what became of it.
            saved = self._save(seen, replace(seen, position=to, generation=seen.generation + 1, topic_id="", ends={}))
            if saved is not None:
                return saved

    def _save(self, seen: Position, new: Position) -> Position | None:
        new = replace(new, saved_at=self._clock.now())
        change = (
            update(relay_positions)
            .where(
                relay_positions.c.topic == self.topic,
                relay_positions.c.position == seen.position,
                relay_positions.c.generation == seen.generation,
                relay_positions.c.topic_id == seen.topic_id,
            )
            .values(
                position=new.position,
                generation=new.generation,
                topic_id=new.topic_id,
                offsets=json.dumps(dict(new.ends)),
                saved_at=new.saved_at,
            )
        )
        with writing(self._engine) as connection:
            saved = connection.execute(change).rowcount
        return new if saved else None
