"""The book of staff warnings: claim before sending, make the writing durable, settle after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Engine, and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from incidents.clock import Clock
from incidents.errors import Conflict
from incidents.record.database import reading, writing
from notifier.warnings.letter import StaffWarning
from notifier.warnings.tables import staff_warnings

LEASE = timedelta(minutes=2)
"""How long a claim holds that was not followed by anything: its process was killed before it wrote."""
RETRY = timedelta(minutes=1)
"""Until a mail that the server would not take now is tried again."""

_c = staff_warnings.c


@dataclass(frozen=True, slots=True)
class Claimed:
    """A mail that is ours to send until the lease ends."""

    key: ColumnElement[bool]
    claim: UUID


class WarningBook:
    """The rows of one installation; any number of processes may use it at once."""

    def __init__(self, engine: Engine, clock: Clock, new_id: Callable[[], UUID]) -> None:
        self._engine = engine
        self._clock = clock
        self._new_id = new_id

    def claim(self, warning: StaffWarning, recipient: UUID) -> Claimed | None:
        """Take this mail, or None when it is done, uncertain, or somebody else's at the moment."""
        values = {
            "incident_id": warning.incident_id,
            "duty_id": warning.duty_id,
            "step": warning.step,
            "called_out_at": warning.called_out_at,
            "round": warning.round,
            "recipient": recipient,
        }
        key = and_(*(staff_warnings.c[name] == value for name, value in values.items()))
        now, claim = self._clock.now(), self._new_id()
        held: dict[str, Any] = {"claim": claim, "state": "claimed", "free_at": now + LEASE, "updated_at": now}
        look = select(_c.state, _c.free_at, _c.tries).where(key)
        with reading(self._engine) as connection:  # most calls end here: the write lock is for the few that do not
            if not _is_free(connection.execute(look).one_or_none(), now):
                return None
        try:
            with writing(self._engine) as connection:
                row = connection.execute(look.with_for_update()).one_or_none()
                if not _is_free(row, now):
                    return None
                if row is None:
                    connection.execute(insert(staff_warnings).values(**values, **held, tries=1))
                else:
                    connection.execute(update(staff_warnings).where(key).values(**held, tries=row.tries + 1))
        except IntegrityError:
            return None  # PostgreSQL: another process inserted the row between our look and our insert
        return Claimed(key, claim)

    def begin_writing(self, claimed: Claimed) -> None:
        """From here on the mail may be on its way. Conflict when the claim was lost: then nothing may be written."""
        if not self._move(claimed, "claimed", state="writing"):
            raise Conflict("Another process took this warning over.")

    def settle(self, claimed: Claimed, state: str, code: str | None) -> None:
        """What became of it: `sent`, `uncertain` or `refused`."""
        self._move(claimed, "writing", "claimed", state=state, code=code)

    def give_back(self, claimed: Claimed, code: str | None) -> None:
        """Nothing reached the server: to be tried again a little later."""
        free_at = self._clock.now() + RETRY
        self._move(claimed, "writing", "claimed", state="claimed", free_at=free_at, code=code)

    def _move(self, claimed: Claimed, *states: str, **values: str | datetime | None) -> bool:
        statement = (
            update(staff_warnings)
            .where(claimed.key, _c.claim == claimed.claim, _c.state.in_(states))
            .values(**values, updated_at=self._clock.now())
        )
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount == 1


def _is_free(row: Any, now: datetime) -> bool:
    return row is None or (row.state == "claimed" and row.free_at <= now)
