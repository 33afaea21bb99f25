"""Commands on runs, by people, by timers and by campaigns. Every command is idempotent by its cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

import structlog

from incidents.errors import IllegalTransition, NotFound
from incidents.incident.incident import Incident
from incidents.privacy import refuse_contacts
from incidents.record import Context, Record, retrying
from playbooks.definitions.definition import Playbook
from playbooks.definitions.stored import UnreadablePlan, read_stored
from playbooks.runs.events import RunStarted
from playbooks.runs.run import Run

log = structlog.get_logger(__name__)


class RunService:
    """What can be done to runs from outside."""

    def __init__(self, record: Record, playbooks: Mapping[str, Playbook]) -> None:
        self._record = record
        self._playbooks = playbooks

    def start(self, incident_id: UUID, playbook_id: str, context: Context, *, drill: bool = False) -> Run:
        """Start a playbook for an incident; if it runs already, that run is returned."""
        playbook = self._playbooks.get(playbook_id)
        if playbook is None:
            known = ", ".join(sorted(self._playbooks))
            raise NotFound(f"There is no playbook {playbook_id}; there are: {known}.", field="playbook")
        incident = self._record.load(Incident, incident_id)
        if not incident.is_open:
            raise IllegalTransition(f"The incident is {incident.phase.value}; a playbook runs for an open one.")

        def command() -> Run:
            run = self._record.find(Run, Run.id_for(incident_id, playbook_id))
            if run is None:
                run = Run.start(incident_id, playbook, context, drill=drill)
                self._record.commit(run)
            return run

        return retrying(command)

    def complete(self, run_id: UUID, step: str, context: Context, *, outcome: str = "done", comment: str = "") -> Run:
        """A person says that a task is done."""
        refuse_contacts(comment, "comment")
        return self._change(run_id, context, lambda run: run.complete(step, context, outcome=outcome, comment=comment))

    def skip(self, run_id: UUID, step: str, context: Context, *, reason: str) -> Run:
        """A person decides that a step is not needed."""
        refuse_contacts(reason, "reason")
        return self._change(run_id, context, lambda run: run.skip(step, context, reason=reason))

    def campaign_moved(self, run_id: UUID, step: str, what: str, context: Context, *, comment: str = "") -> Run:
        """A campaign that belongs to a run moved."""
        return self._change(run_id, context, lambda run: run.campaign_moved(step, what, context, comment=comment))

    def public_notice_published(self, run_id: UUID, step: str, context: Context) -> Run:
        """The public notice of a run's step was published."""
        return self._change(run_id, context, lambda run: run.public_notice_published(step, context))

    def fire(self, run_id: UUID, step: str, context: Context) -> Run:
        """The time of a step's timer came."""
        return self._change(run_id, context, lambda run: run.fire(step, context))

    def step_titles(self, run_id: UUID) -> Mapping[str, Mapping[str, str]]:
        """What the steps of a run are called, by step and language tag, as in the plan that it froze; empty where
        there is no such run or its plan cannot be read."""
        started = next(self._record.stream(run_id), None)
        if not isinstance(started, RunStarted):
            return {}
        try:
            plan = read_stored(started.definition)
        except UnreadablePlan as reason:
            log.warning("plan-unreadable", run=str(run_id), reason=reason.detail)
            return {}
        return {step.id: step.title for step in plan.steps}

    def _change(self, run_id: UUID, context: Context, decide: Callable[[Run], None]) -> Run:
        def command() -> Run:
            run = self._record.load(Run, run_id)
            if not run.has_done(context):
                decide(run)
                self._record.commit(run)
            return run

        return retrying(command)
