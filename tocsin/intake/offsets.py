"""Taking partitions over, and putting forward how far they have been read.

A consumer that gets a partition raises its epoch, and only writes with the newest epoch count. So one that was stopped
while its partition went to another cannot write when it goes on: between the two there is no instant at which both may.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine, case, select, update
from sqlalchemy.dialects import postgresql, sqlite

from incidents.clock import Clock
from incidents.errors import Conflict
from incidents.record.database import reading, writing
from tocsin.intake.tables import kafka_offsets

_c = kafka_offsets.c


class Partition(NamedTuple):
    """A partition of a topic; compares equal to kafka-python's `TopicPartition`."""

    topic: str
    partition: int


class TakenOver(Conflict):
    """Another consumer has taken the partition over. Nothing of the batch was saved; the other one does it."""

    def __init__(self, partition: Partition) -> None:
        super().__init__(f"Partition {partition.partition} of {partition.topic} was taken over by another consumer.")
        self.partition = partition


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to read a partition on, as it was when it was taken over."""

    partition: Partition
    topic_id: str
    epoch: int
    next_offset: int | None
    """None: nothing of this topic was taken in yet."""


class Offsets:
    """The offsets of one consumer group, for one consumer of it."""

    def __init__(self, engine: Engine, clock: Clock, group: str, holder: str) -> None:
        self._engine = engine
        self._clock = clock
        self._group = group
        self._holder = holder

    def claim(self, partition: Partition, topic_id: str) -> Claim:
        """Take a partition over from whoever had it. A topic that was made anew is read from its beginning."""
        with writing(self._engine) as connection:
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            row = insert(kafka_offsets).values(
                consumer_group=self._group,
                topic=partition.topic,
                partition=partition.partition,
                topic_id=topic_id,
                next_offset=None,
                epoch=1,
                holder=self._holder,
                changed_at=self._clock.now(),
            )
            taken = row.on_conflict_do_update(
                index_elements=[_c.consumer_group, _c.topic, _c.partition],
                set_={
                    "epoch": _c.epoch + 1,
                    "next_offset": case((_c.topic_id == row.excluded.topic_id, _c.next_offset), else_=None),
                    "topic_id": row.excluded.topic_id,
                    "holder": row.excluded.holder,
                    "changed_at": row.excluded.changed_at,
                },
            ).returning(_c.epoch, _c.next_offset)
            epoch, next_offset = connection.execute(taken).one()
        return Claim(partition, topic_id, epoch, next_offset)

    def stored(self, partition: Partition, topic_id: str) -> int | None:
        """Where reading this topic goes on, by the database; None: nothing of it was taken in yet."""
        mine = (_c.consumer_group == self._group, _c.topic == partition.topic, _c.partition == partition.partition)
        with reading(self._engine) as connection:
            found: int | None = connection.execute(
                select(_c.next_offset).where(*mine, _c.topic_id == topic_id)
            ).scalar_one_or_none()
        return found

    def advance(self, connection: Connection, claim: Claim, next_offset: int) -> Claim:
        """Put a partition forward, in the transaction of the effects. TakenOver when the claim is no longer the newest.

        On PostgreSQL the row stays locked until the transaction ends: who takes the partition over meanwhile waits, and
        finds the new offset.
        """
        moved = connection.execute(
            update(kafka_offsets)
            .where(
                _c.consumer_group == self._group,
                _c.topic == claim.partition.topic,
                _c.partition == claim.partition.partition,
                _c.epoch == claim.epoch,
            )
            .values(next_offset=next_offset, changed_at=self._clock.now())
        )
        if moved.rowcount != 1:
            raise TakenOver(claim.partition)
        return replace(claim, next_offset=next_offset)


def step_over(
    engine: Engine, clock: Clock, group: str, partition: Partition, *, seen: int | None, to: int, holder: str
) -> None:
    """Let a partition be read on at `to`, whoever reads it. Conflict when it was put forward from `seen` meanwhile."""
    mine = (_c.consumer_group == group, _c.topic == partition.topic, _c.partition == partition.partition)
    values = {"next_offset": to, "epoch": _c.epoch + 1, "holder": holder, "changed_at": clock.now()}
    with writing(engine) as connection:
        moved = connection.execute(
            update(kafka_offsets).where(*mine, _c.next_offset.is_not_distinct_from(seen)).values(values)
        )
        if moved.rowcount != 1:
            raise Conflict("The partition was put forward meanwhile. Look at `tocsin alert offsets` again.")


@dataclass(frozen=True, slots=True)
class Stored:
    """How far a partition has been taken in."""

    group: str
    partition: Partition
    next_offset: int | None
    holder: str
    changed_at: datetime


def stored_offsets(engine: Engine) -> list[Stored]:
    """Of all groups and partitions, in order."""
    with reading(engine) as connection:
        rows = connection.execute(select(kafka_offsets).order_by(_c.consumer_group, _c.topic, _c.partition)).all()
    return [
        Stored(row.consumer_group, Partition(row.topic, row.partition), row.next_offset, row.holder, row.changed_at)
        for row in rows
    ]
