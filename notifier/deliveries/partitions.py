"""On PostgreSQL a large campaign has partitions of its own, which are taken off and dropped as a whole in the end.

They are made before the campaign's sending is opened, so nobody has a row yet. To attach a partition the server looks
through the one for all others, to be sure that nothing in it belongs into the new one, and keeps everybody out
meanwhile. So it is told beforehand: a constraint is added unproven (a moment), proven while everybody goes on
(`VALIDATE`), and then attaching takes a moment too. Each statement that keeps others out waits for its table for a
short time only, in a transaction of its own, and is tried again; every step may be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from incidents.errors import Conflict
from incidents.record.database import reading, writing
from notifier.deliveries.tables import campaign_recipients, deliveries, sendings

R = TypeVar("R")

log = structlog.get_logger(__name__)

TABLES = (deliveries.name, campaign_recipients.name)
LOCK_SECONDS = 2
"""How long a change waits for a table at a time: whoever comes later waits behind it."""
TRIES = 10
PAUSE = 1.0
"""Seconds between two tries."""

_TURN = "pg_advisory_xact_lock(hashtext('tocsin_delivery_partitions'))"
_BUSY = ("55P03", "40P01")
"""lock_not_available, deadlock_detected"""
_GONE = "42704"
"""undefined_object: somebody else was faster"""


@dataclass(frozen=True, slots=True)
class Own:
    """The partitions of one campaign, both together."""

    campaign_id: UUID
    attached: bool
    bytes: int


class Partitions:
    """The partitions of one database; on SQLite there are none, and nothing here has an effect."""

    def __init__(
        self, engine: Engine, *, threshold: int, tries: int = TRIES, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """`threshold`: recipients from which on a campaign gets its own; 0: none does."""
        self._engine = engine
        self._there = engine.dialect.name == "postgresql"
        self._threshold = threshold
        self._tries = tries
        self._sleep = sleep

    def prepare(self, campaign_id: UUID, recipients: int) -> bool:
        """Before the sending of a campaign is opened: make its partitions if it is large. Whether it has them.

        Conflict when the tables are in use all the time and a step has to be repeated; a campaign whose partitions
        cannot even be begun goes into the one for all, because being sent matters more than where its rows lie.
        """
        if not self._there or not self._threshold or recipients < self._threshold:
            return False
        try:
            begun = all(self._alone(partial(_begin, table=table, campaign_id=campaign_id)) for table in TABLES)
        except Conflict:
            log.error("partition.not-begun", campaign=str(campaign_id), recipients=recipients)
            self._for_each(_forget, campaign_id)
            return False
        if not begun:
            return False
        for table in TABLES:
            self._prove(table, campaign_id)
        self._for_each(_attach, campaign_id)
        log.info("partition.made", campaign=str(campaign_id), recipients=recipients)
        return True

    def standing(self) -> list[Own]:
        """The campaigns that have partitions, and those whose partitions were taken off and not dropped yet."""
        if not self._there:
            return []
        with reading(self._engine) as connection:
            rows = connection.execute(text(_LIST)).all()
        return [Own(UUID(row.campaign), row.attached, row.bytes) for row in rows]

    def analyze(self, campaign_id: UUID) -> bool:
        """Let the planner of queries know what is in the partitions. False when the campaign has none."""
        found = [own for own in self.standing() if own.campaign_id == campaign_id and own.attached]
        for table in TABLES if found else ():
            with writing(self._engine) as connection, unhurried(connection):
                _run(connection, f"ANALYZE {partition_of(table, campaign_id)}")
        return bool(found)

    def drop(self, campaign_id: UUID) -> bool:
        """Take the campaign's partitions off and drop them. False when it has none. May be repeated."""
        if not any(own.campaign_id == campaign_id for own in self.standing()):
            return False
        self._for_each(_detach, campaign_id)
        self._for_each(_drop, campaign_id)
        log.info("partition.dropped", campaign=str(campaign_id))
        return True

    def mend(self) -> int:
        """Clear up what a kill left between two steps, of campaigns that are being sent by now. Returns how much."""
        if not self._there:
            return 0
        with reading(self._engine) as connection:
            left = connection.execute(text(_LEFT)).all()
            opened = set(connection.execute(select(sendings.c.campaign_id)).scalars()) if left else set()
        mended = [(row.parent, UUID(row.campaign)) for row in left if UUID(row.campaign) in opened]
        for table, campaign_id in mended:
            self._alone(partial(_forget, table=table, campaign_id=campaign_id))
            log.warning("partition.mended", table=table, campaign=str(campaign_id))
        return len(mended)

    def _prove(self, table: str, campaign_id: UUID) -> None:
        """Have the server see that nobody of the campaign is in the partition for all others. Nobody waits."""
        try:
            with writing(self._engine) as connection, unhurried(connection):
                _run(connection, f"ALTER TABLE {table}_rest VALIDATE CONSTRAINT {_apart(campaign_id)}")
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _GONE:
                raise

    def _for_each(self, work: Callable[..., object], campaign_id: UUID) -> None:
        for table in TABLES:
            self._alone(partial(work, table=table, campaign_id=campaign_id))

    def _alone(self, work: Callable[[Connection], R]) -> R:
        """In a transaction that waits for its locks for a short while only, and tries again."""
        for attempt in range(1, self._tries + 1):
            try:
                with writing(self._engine) as connection:
                    _run(connection, f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                    connection.execute(text(f"SELECT {_TURN}"))
                    return work(connection)
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) not in _BUSY:
                    raise
                log.info("partition.waits", attempt=attempt)
                if attempt < self._tries:
                    self._sleep(PAUSE)
        raise Conflict(
            "The tables of deliveries were in use all the time: look for a long transaction or a backup. "
            "It is tried again."
        )


def partition_of(table: str, campaign_id: UUID) -> str:
    """The name of a campaign's own partition."""
    return f"{table}_{campaign_id.hex}"


def _apart(campaign_id: UUID) -> str:
    return f"apart_{campaign_id.hex}"


def _begin(connection: Connection, table: str, campaign_id: UUID) -> bool:
    """Make the partition, and have the one for all others take nobody of the campaign. False: it is being sent."""
    own = partition_of(table, campaign_id)
    if _is_attached(connection, own):
        return True
    known = select(sendings.c.campaign_id).where(sendings.c.campaign_id == campaign_id)
    if connection.execute(known).first() is not None:
        return False
    _run(connection, f"CREATE TABLE IF NOT EXISTS {own} (LIKE {table} INCLUDING DEFAULTS INCLUDING INDEXES)")
    if not _has_constraint(connection, table, campaign_id):
        check = f"CHECK (campaign_id <> '{campaign_id}'::uuid) NOT VALID"
        _run(connection, f"ALTER TABLE {table}_rest ADD CONSTRAINT {_apart(campaign_id)} {check}")
    return True


def _attach(connection: Connection, table: str, campaign_id: UUID) -> None:
    own = partition_of(table, campaign_id)
    if not _is_attached(connection, own):
        _run(connection, f"ALTER TABLE {table} ATTACH PARTITION {own} FOR VALUES IN ('{campaign_id}')")
    _run(connection, f"ALTER TABLE {table}_rest DROP CONSTRAINT IF EXISTS {_apart(campaign_id)}")


def _detach(connection: Connection, table: str, campaign_id: UUID) -> None:
    own = partition_of(table, campaign_id)
    if _is_attached(connection, own):
        _run(connection, f"ALTER TABLE {table} DETACH PARTITION {own}")


def _drop(connection: Connection, table: str, campaign_id: UUID) -> None:
    _run(connection, f"DROP TABLE IF EXISTS {partition_of(table, campaign_id)}")


def _forget(connection: Connection, table: str, campaign_id: UUID) -> None:
    """Take back what `_begin` did, where it did not come to attaching."""
    own = partition_of(table, campaign_id)
    if _has_constraint(connection, table, campaign_id):
        _run(connection, f"ALTER TABLE {table}_rest DROP CONSTRAINT {_apart(campaign_id)}")
    if not _is_attached(connection, own):
        _run(connection, f"DROP TABLE IF EXISTS {own}")


def _is_attached(connection: Connection, own: str) -> bool:
    return bool(
        connection.execute(
            text("SELECT relispartition FROM pg_class WHERE oid = to_regclass(:own)"), {"own": own}
        ).scalar()
    )


def _has_constraint(connection: Connection, table: str, campaign_id: UUID) -> bool:
    found = connection.execute(
        text("SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass(:table) AND conname = :name"),
        {"table": f"{table}_rest", "name": _apart(campaign_id)},
    )
    return found.first() is not None


def unhurried(connection: Connection) -> AbstractContextManager[None]:
    """For a look through a large table, which takes longer than a statement may otherwise."""
    if connection.dialect.name != "postgresql":
        return nullcontext()
    from incidents.record.connections import without_limits  # the driver comes with the extra `postgres`

    return without_limits(connection)


def _run(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement.replace("%", "%%"))  # names and ids of ours only


_LIST = """
SELECT right(c.relname, 32) AS campaign, bool_and(c.relispartition) AS attached,
       sum(pg_total_relation_size(c.oid)) AS bytes
FROM pg_class c
WHERE c.relkind = 'r' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('deliveries'))
  AND c.relname ~ '^(deliveries|campaign_recipients)_[0-9a-f]{32}$'
GROUP BY 1 ORDER BY 1
"""
_LEFT = """
SELECT replace(c.relname, '_rest', '') AS parent, right(k.conname, 32) AS campaign
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.conname ~ '^apart_[0-9a-f]{32}$' AND c.oid IN (to_regclass('deliveries_rest'),
                                                       to_regclass('campaign_recipients_rest'))
"""
