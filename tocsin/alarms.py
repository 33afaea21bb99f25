"""The watch over clocks: calls out deadlines that press or have passed, and tasks that wait too long (promise 8).

It reads which ones from the projections, which may lag, and lets the aggregates decide, which never do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy import Engine

from incidents.clock import Clock
from incidents.errors import TocsinError
from incidents.record import Context
from playbooks.duties.service import DutyService
from playbooks.runs.service import RunService
from projections.deadlines.alarms import incidents_to_watch
from projections.tasks.reminders import due_reminders

log = structlog.get_logger(__name__)

ACTOR = "system:clock"


class AlarmsFailed(TocsinError):
    """Some alarms could not be raised."""

    code = "alarms-failed"
    title = "Some alarms could not be raised"


class Alarms:
    """One look at all clocks per call."""

    def __init__(
        self,
        engine: Engine,
        duties: DutyService,
        runs: RunService,
        clock: Clock,
        new_id: Callable[[], UUID],
    ) -> None:
        self._engine = engine
        self._duties = duties
        self._runs = runs
        self._clock = clock
        self._new_id = new_id
        self._failed: list[UUID] = []

    def run_once(self) -> int:
        """Call out what is due. Always 0: the next look is after the pause, not at once, because the projections
        need a moment to show what was just recorded."""
        now = self._clock.now()
        for incident_id in incidents_to_watch(self._engine, now=now):
            log.warning("duty.pressing", incident_id=str(incident_id))
            self._try(partial(self._duties.watch, incident_id, self._context()), incident_id)
        for run_id, step in due_reminders(self._engine, now=now):
            log.warning("step.overdue", run_id=str(run_id), step=step)
            self._try(partial(self._runs.fire, run_id, step, self._context()), run_id)
        if self._failed:
            failed, self._failed = self._failed, []
            raise AlarmsFailed(f"Could not call out {len(failed)} things; the log has the reasons.")
        return 0

    def _try(self, call_out: Callable[[], object], of: UUID) -> None:
        try:
            call_out()
        except Exception:
            # One incident that cannot be called out must not silence those after it; all failures are raised at the
            # end of the round, so that they are counted and seen by readiness.
            log.exception("alarm.failed", of=str(of))
            self._failed.append(of)

    def _context(self) -> Context:
        return Context(actor=ACTOR, cause=f"timer:{self._new_id()}", recorded_at=self._clock.now())
