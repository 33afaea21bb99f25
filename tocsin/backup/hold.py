"""The hold on all sending after a restore.

A restored database believes that messages are still to be sent which the lost one may have sent after the backup, and
the machine it came from may still be running and sending. So nothing leaves until a named person has looked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update

from incidents.clock import Clock
from incidents.errors import Conflict, InvalidInput
from incidents.record.database import reading, writing
from tocsin.backup.tables import sending_hold


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing is sent, and since when."""

    placed_at: datetime
    reason: str


class SendingHold:
    """Whether sending waits for a person."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def current(self) -> Hold | None:
        """The hold in force; None when sending is free."""
        wanted = select(sending_hold.c.placed_at, sending_hold.c.reason).where(sending_hold.c.released_at.is_(None))
        with reading(self._engine) as connection:
            row: Any = connection.execute(wanted.order_by(sending_hold.c.number.desc()).limit(1)).first()
        return Hold(row.placed_at, row.reason) if row is not None else None

    def hold(self, reason: str) -> None:
        """Hold all sending from now on."""
        if not reason.strip():
            raise InvalidInput("Say why nothing may be sent; it is kept.", field="reason")
        with writing(self._engine) as connection:
            place_hold(connection, self._clock.now(), reason.strip()[:2000])

    def release(self, actor: str, reason: str) -> None:
        """Let sending go on. Conflict when nothing is held."""
        if not reason.strip():
            raise InvalidInput("Say why sending may go on; it is kept.", field="reason")
        values = {"released_at": self._clock.now(), "released_by": actor, "release_reason": reason.strip()[:2000]}
        with writing(self._engine) as connection:
            done = connection.execute(update(sending_hold).where(sending_hold.c.released_at.is_(None)).values(**values))
        if not done.rowcount:
            raise Conflict("Nothing is held: sending is free.")


def place_hold(connection: Connection, at: datetime, reason: str) -> None:
    """Hold all sending from now on."""
    number = connection.execute(select(func.coalesce(func.max(sending_hold.c.number), 0))).scalar_one() + 1
    connection.execute(insert(sending_hold).values(number=number, placed_at=at, reason=reason))
