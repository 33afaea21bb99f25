"""Derives all open incidents anew when the law in use is another than before: a pack was changed, a program or a
profile came with a restart, or a day began on which a rule enters into force.

What is done is on record (`derived_with`), so that a kill between a reload and its effects loses nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from uuid import UUID

import structlog
from sqlalchemy import Engine, delete, insert, select

from incidents.clock import Clock
from incidents.errors import Conflict
from incidents.facts import OrganisationProfile
from incidents.record import Context, Record, retrying, stable_id
from incidents.record.database import reading, writing
from playbooks.automation import Automation
from playbooks.law.book import LawBook
from tocsin.upkeep.looked_after import looked_after
from tocsin.upkeep.tables import derived_with

log = structlog.get_logger(__name__)

ACTOR = "system:upkeep"
NAME = "open-incidents"


class Rederiving:
    """One look per call; does nothing as long as law, profile, program and day are those of the last time."""

    def __init__(
        self,
        engine: Engine,
        record: Record,
        automation: Automation,
        book: LawBook,
        profile: OrganisationProfile,
        clock: Clock,
        *,
        settle: float = 0.0,
        goes_on: Callable[[], bool] = lambda: True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """With `settle`, all are derived once more so many seconds later: other processes on the same database may have
        read the new law a little after this one, and have derived with the old one meanwhile."""
        self._engine = engine
        self._record = record
        self._automation = automation
        self._book = book
        self._other = (hashlib.sha256(profile.model_dump_json().encode()).hexdigest(), version("tocsin"))
        self._clock = clock
        self._settle = settle
        self._goes_on = goes_on
        self._monotonic = monotonic
        self._settled_at: tuple[str, float] | None = None

    def run_once(self) -> int:
        """Derive what is to be derived. Returns 0: the next look is after the pause."""
        wanted = self._digest()
        if self._done() == wanted or not self._is_time(wanted):
            return 0
        if not self._all(wanted):
            return 0
        if self._settle and self._settled_at is None:
            self._settled_at = (wanted, self._monotonic() + self._settle)
            return 0
        self._settled_at = None
        with writing(self._engine) as connection:
            connection.execute(delete(derived_with).where(derived_with.c.name == NAME))
            connection.execute(insert(derived_with).values(name=NAME, digest=wanted, done_at=self._clock.now()))
        return 0

    def _is_time(self, wanted: str) -> bool:
        if self._settled_at is None:
            return True
        digest, at = self._settled_at
        if digest != wanted:
            self._settled_at = None  # it changed again meanwhile
            return True
        return self._monotonic() >= at

    def _all(self, wanted: str) -> bool:
        """Derive every incident that is looked after. False when it was broken off or something failed."""
        changed = incidents = failed = 0
        for incident_id in looked_after(self._engine):
            if not self._goes_on():
                return False
            incidents += 1
            try:
                changed += retrying(lambda of=incident_id: self._one(of, wanted))  # type: ignore[misc]
            except Exception:
                # One that cannot be derived must not keep the law from all others; as long as one is left, the work
                # counts as not done and is tried again.
                log.exception("upkeep.failed", incident_id=str(incident_id))
                failed += 1
        log.info("upkeep.derived", incidents=incidents, changed=changed, failed=failed)
        if failed:
            raise Conflict(f"{failed} incidents could not be derived anew; the log has the reasons.")
        return True

    def _one(self, incident_id: UUID, wanted: str) -> int:
        cause = f"timer:{stable_id('rederived', wanted, str(incident_id))}"
        context = Context(actor=ACTOR, cause=cause, recorded_at=self._clock.now())
        changed = self._automation.look_again(incident_id, context)
        self._record.commit(*changed)
        return int(bool(changed))

    def _done(self) -> str | None:
        with reading(self._engine) as connection:
            found: str | None = connection.execute(
                select(derived_with.c.digest).where(derived_with.c.name == NAME)
            ).scalar_one_or_none()
        return found

    def _digest(self) -> str:
        law = self._book.law
        parts = (law.digest, *self._other, _part_of_time(self._clock.now(), law.edges))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _part_of_time(now: datetime, edges: Collection[date]) -> str:
    """The day; around one on which a rule begins or ends to bind, the quarter of an hour: that day begins at another
    time in every zone, from 14 hours before it begins in UTC to 12 hours after."""
    now = now.astimezone(UTC)
    day = now.date()
    if not {day, day + timedelta(days=1)}.intersection(edges):
        return day.isoformat()
    return f"{day.isoformat()} {now.hour}:{now.minute // 15}"
