"""Leases: who does, at the moment, what one process at a time should do.

A lease is a row that its holder renews; when the holder dies it runs out, and somebody else takes it. Times are the
database's, so wrong clocks do not matter. The holder trusts its lease for as long as its own uptime says it cannot have
run out yet: a process that was stopped and goes on knows without asking that it holds nothing.

A lease saves double work; it does not make that work right. Between looking at a lease and writing, a process may be
stopped for an hour. So what is written must be refused by what it is written to: a follower's position is saved with
its effects and only grows, an aggregate's version is taken once, a delivery has a fence of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Dialect, Engine, case, delete, func, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from incidents.clock import uptime
from incidents.record.database import UtcDateTime, reading, writing
from incidents.record.tables import leases

_c = leases.c


@dataclass(frozen=True, slots=True)
class Lease:
    """A right that was had when it was last asked for. `trusted_until` in this machine's uptime."""

    name: str
    fence: int
    trusted_until: float


@dataclass(frozen=True, slots=True)
class Row:
    """A lease as it stands. `live`: whether it has not run out, by the database's clock."""

    holder: str
    fence: int
    live: bool


class Leases:
    """The leases of one installation, for one holder. Any number of holders may use them at once."""

    def __init__(
        self, engine: Engine, holder: str, duration: timedelta, *, uptime: Callable[[], float] = uptime
    ) -> None:
        self._engine = engine
        self.holder = holder
        self._duration = duration
        self.uptime = uptime

    def acquire(self, names: Collection[str]) -> dict[str, Lease]:
        """Take or keep those that are free, have run out, or are ours. Returns them."""
        got: dict[str, Lease] = {}
        for name in sorted(names):
            asked = self.uptime()
            with writing(self._engine) as connection:  # one row a transaction: nobody can block another crosswise
                fence = connection.execute(self._taking(connection.dialect, name)).scalar_one_or_none()
            if fence is not None:
                got[name] = Lease(name, fence, asked + self._duration.total_seconds())
        return got

    def renew(self, names: Collection[str]) -> dict[str, Lease]:
        """Keep those that are still ours and have not run out. Returns them."""
        asked = self.uptime()
        with writing(self._engine) as connection:
            now = database_now(connection)
            kept = connection.execute(
                update(leases)
                .where(_c.name.in_(sorted(names)), _c.holder == self.holder, _c.until > now)
                .values(until=database_now(connection, self._duration))
                .returning(_c.name, _c.fence)
            ).all()
        return {row.name: Lease(row.name, row.fence, asked + self._duration.total_seconds()) for row in kept}

    def release(self, names: Collection[str]) -> None:
        """Give back what is ours, at once. The row stays, so that its fence goes on growing."""
        with writing(self._engine) as connection:
            connection.execute(
                update(leases)
                .where(_c.name.in_(sorted(names)), _c.holder == self.holder)
                .values(until=literal(datetime(1970, 1, 1, tzinfo=UTC), UtcDateTime))
            )

    def rows(self, prefix: str) -> Mapping[str, Row]:
        """The leases whose names start so."""
        with reading(self._engine) as connection:
            now = database_now(connection)
            live = case((_c.until > now, True), else_=False).label("live")
            found = connection.execute(
                select(_c.name, _c.holder, _c.fence, live).where(_c.name.startswith(prefix, autoescape=True))
            )
            return {row.name: Row(row.holder, row.fence, bool(row.live)) for row in found}

    def forget(self, prefix: str, after: timedelta) -> None:
        """Delete rows whose names start so and that ran out long ago: they name processes that are gone."""
        with writing(self._engine) as connection:
            long_ago = database_now(connection, -after)
            connection.execute(delete(leases).where(_c.name.startswith(prefix, autoescape=True), _c.until < long_ago))

    def _taking(self, dialect: Dialect, name: str) -> Any:
        """One statement that takes the lease or leaves it. The fence grows whenever it was not ours without a break."""
        insert = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
        now, until = _now(dialect), _now(dialect, self._duration)
        new = insert(leases).values(name=name, holder=self.holder, fence=1, until=until)
        unbroken = (_c.holder == self.holder) & (_c.until > now)
        return new.on_conflict_do_update(
            index_elements=[_c.name],
            set_={
                "holder": self.holder,
                "fence": case((unbroken, _c.fence), else_=_c.fence + 1),
                "until": until,
            },
            where=(_c.holder == self.holder) | (_c.until <= now),
        ).returning(_c.fence)


def database_now(connection: Connection, after: timedelta = timedelta()) -> ColumnElement[datetime]:
    """The database's present instant, or one so long after it, for use in a statement."""
    return _now(connection.dialect, after)


def _now(dialect: Dialect, after: timedelta = timedelta()) -> ColumnElement[datetime]:
    if dialect.name == "sqlite":  # one machine, one clock; written as UtcDateTime writes it
        shift = f"{after.total_seconds():+.3f} seconds"
        return func.strftime("%Y-%m-%d %H:%M:%f000", "now", shift, type_=UtcDateTime)
    return func.clock_timestamp(type_=UtcDateTime) + literal(after)
