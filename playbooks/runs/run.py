"""A run: one execution of a playbook for one incident.

`advance` looks at what is true now and opens, completes or skips steps; it is called after every event that may
matter and has no effect when nothing changed. The plan it follows is the copy frozen at its start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from incidents.errors import IllegalTransition, NotFound
from incidents.facts.conditions import Verdict
from incidents.record import Aggregate, Context, folds, stable_id
from playbooks.definitions.definition import Playbook, Step
from playbooks.definitions.stored import read_stored
from playbooks.duties.register import DutyState
from playbooks.runs.events import (
    RunFinished,
    RunStarted,
    StepCompleted,
    StepStarted,
    TimerCancelled,
    TimerFired,
    TimerSet,
)

SKIPPED = "skipped"
UNDONE = frozenset({None, "rejected", "voided"})
"""Outcomes after which a step is to be done again."""
PEOPLE_COMPLETE = frozenset({"task"})
PEOPLE_SKIP = frozenset({"task", "draft_notice", "public_notice"})


@dataclass(frozen=True, slots=True)
class RunView:
    """What is true at this moment, as far as a run may ask."""

    judge: Callable[[str], Verdict]
    """Answers a CEL condition of the plan."""
    known_facts: frozenset[str]
    happened: frozenset[str]
    """Event kinds of the incident's lifecycle that stand (`incident.contained`)."""
    duties: Mapping[str, DutyState] = field(default_factory=dict)


@dataclass(slots=True)
class StepState:
    """How far one step is."""

    kind: str
    open: bool = False
    outcome: str | None = None
    started_at: datetime | None = None
    timer: TimerSet | None = None
    rounds: int = 0
    """How often it was opened: a rejected notice is drafted again."""
    details: dict[str, Any] = field(default_factory=dict)


class Run(Aggregate):
    """One run."""

    def __init__(self, run_id: UUID) -> None:
        super().__init__(run_id)
        self.incident_id: UUID | None = None
        self.playbook: Playbook | None = None
        self.drill = False
        self.steps: dict[str, StepState] = {}
        self.finished: str | None = None

    @staticmethod
    def id_for(incident_id: UUID, playbook: str) -> UUID:
        """Each playbook runs once per incident; starting it again finds the run that is there."""
        return stable_id("run", str(incident_id), playbook)

    @classmethod
    def start(cls, incident_id: UUID, playbook: Playbook, context: Context, *, drill: bool = False) -> Self:
        """Begin, with a frozen copy of the plan."""
        run = cls(cls.id_for(incident_id, playbook.id))
        run.emit(
            RunStarted,
            context,
            incident_id=incident_id,
            playbook=playbook.id,
            definition=playbook.model_dump(mode="json"),
            definition_digest=playbook.digest,
            drill=drill,
        )
        return run

    def advance(self, view: RunView, context: Context) -> None:
        """Open, complete and skip whatever the present state calls for, until nothing moves."""
        if self.playbook is None or (self.finished and not self._has_new_filings(view)):
            return
        before = -1
        while before != self.version:
            before = self.version
            for step in self.playbook.steps:
                self._advance_step(step, view, context)
        if all(self._done(step.id) for step in self.playbook.steps):
            self.emit(RunFinished, context, incident_id=self.incident_id, outcome="completed")

    def complete(self, step_id: str, context: Context, *, outcome: str = "done", comment: str = "") -> None:
        """A person says that a task is done."""
        state = self._open_step(step_id)
        if state.kind not in PEOPLE_COMPLETE:
            raise IllegalTransition(
                f"Step {step_id} completes by itself when its {state.kind.replace('_', ' ')} is there."
            )
        self._complete(step_id, outcome, context, comment=comment)

    def skip(self, step_id: str, context: Context, *, reason: str) -> None:
        """A person decides that a task or a notice is not needed, with a reason."""
        state = self._open_step(step_id)
        if state.kind not in PEOPLE_SKIP:
            raise IllegalTransition(f"A step of kind {state.kind} cannot be skipped.")
        self._complete(step_id, SKIPPED, context, comment=reason)

    def campaign_moved(self, draft_step: str, what: str, context: Context, *, comment: str = "") -> None:
        """The campaign of a draft step moved: `approval-requested`, `approved`, `rejected`, `voided` (its text or
        audience changed after approval was asked for or given) or `finished`."""
        if self.finished or self.playbook is None:
            return
        if what in UNDONE:
            self._take_back(draft_step, what, context, comment)
            return
        if what == "approval-requested":
            self._complete_if_open(draft_step, "done", context)
        for step in self.playbook.steps:
            if step.of == draft_step and step.kind == "approval" and what == "approved":
                # A person may be faster than the plan: the approval counts even if its step is not open yet.
                self._complete(step.id, "approved", context)
            elif step.of == draft_step and step.kind == "notify" and what == "finished":
                self._complete(step.id, "sent", context)

    def public_notice_published(self, step_id: str, context: Context) -> None:
        """The public notice of a step was published by a second person."""
        if not self.finished:
            self._complete_if_open(step_id, "published", context)

    def is_waiting_to_send(self, draft_step: str) -> bool:
        """Whether the plan has come to sending the notice of this draft step."""
        steps = self.playbook.steps if self.playbook else ()
        return any(step.of == draft_step and step.kind == "notify" and self._is_open(step.id) for step in steps)

    def abandon(self, context: Context, outcome: str) -> None:
        """End the run with steps left open: its incident was merged into another, where work goes on."""
        if self.finished:
            return
        for step_id in list(self.open_steps()):
            self._complete(step_id, outcome, context)
        self.emit(RunFinished, context, incident_id=self.incident_id, outcome=outcome)

    def fire(self, step_id: str, context: Context) -> None:
        """The time of a step's timer came; a timer that was cancelled, has fired or is not due stays silent."""
        state = self.steps.get(step_id)
        if state is None or state.timer is None or context.recorded_at < state.timer.due_at:
            return
        self.emit(
            TimerFired,
            context,
            incident_id=self.incident_id,
            timer_id=state.timer.timer_id,
            step=step_id,
        )

    def _take_back(self, draft_step: str, outcome: str, context: Context, comment: str) -> None:
        """What was approved or waits to be is not any more: the notice is drafted again."""
        if self.playbook is None or self._is_open(draft_step) or not self._done(draft_step):
            return
        for step in self.playbook.steps:
            state = self.steps.get(step.id)
            if step.of != draft_step or state is None or (not state.open and state.outcome in UNDONE):
                continue
            self._close(step.id, outcome, context, comment=comment)
        self._open(self.playbook.step(draft_step), context)

    def _has_new_filings(self, view: RunView) -> bool:
        """Whether a duty fell due that no filing of a finished run covers."""
        kinds = {kind for step in self.playbook.steps for kind in step.recipient_kinds} if self.playbook else set()
        return any(
            s.is_open and s.duty.status == "due" and s.duty.recipient_kind in kinds for s in view.duties.values()
        )

    def _advance_step(self, step: Step, view: RunView, context: Context) -> None:
        if self._done(step.id) and not (step.kind == "filings" and self._has_new_filings(view)):
            return
        if not self._is_open(step.id):
            if not all(self._done(earlier) for earlier in step.after):
                return
            if step.of and self.steps[step.of].outcome == SKIPPED:
                self._complete(step.id, SKIPPED, context)
                return
            if step.when is not None:
                verdict = view.judge(step.when)
                if verdict.is_false:
                    self._complete(step.id, SKIPPED, context)
                if not verdict.is_true:
                    return
            # What is satisfied already needs no reminder.
            self._open(step, context, remind=not _is_satisfied(step, view))
        if step.kind == "filings":
            self._advance_filings(step, view, context)
        elif _is_satisfied(step, view):
            self._complete(step.id, "done", context)

    def _advance_filings(self, step: Step, view: RunView, context: Context) -> None:
        """One task per due duty; the step itself is complete when no duty of its kinds is left open. It opens again
        when facts bring a new one."""
        covered = {
            duty_id: state
            for duty_id, state in view.duties.items()
            if state.duty.recipient_kind in step.recipient_kinds
        }
        for duty_id, state in covered.items():
            filing = f"{step.id}:{duty_id}"
            if self._is_open(filing) and not state.is_open:
                self._complete(filing, "filed" if state.fulfilled_at else SKIPPED, context)
            elif state.is_open and state.duty.status == "due" and not self._is_open(filing):
                self.emit(
                    StepStarted,
                    context,
                    incident_id=self.incident_id,
                    step=filing,
                    step_kind="filing",
                    title=step.title,
                    details={"duty_id": duty_id, "recipient": state.duty.recipient},
                )
        if not any(state.is_open for state in covered.values()):
            self._complete(step.id, "done", context)

    def _open(self, step: Step, context: Context, *, remind: bool = True) -> None:
        self.emit(
            StepStarted,
            context,
            incident_id=self.incident_id,
            step=step.id,
            step_kind=step.kind,
            title=step.title,
            details={
                name: value
                for name, value in (("template", step.template), ("of", step.of), ("facts", step.facts))
                if value
            },
        )
        if remind and step.remind_after is not None:
            rounds = self.steps[step.id].rounds
            self.emit(
                TimerSet,
                context,
                incident_id=self.incident_id,
                timer_id=stable_id("timer", str(self.id), step.id, str(rounds)),
                step=step.id,
                due_at=context.recorded_at + step.remind_after,
            )

    def _complete(self, step_id: str, outcome: str, context: Context, *, comment: str = "") -> None:
        if not self._done(step_id):
            self._close(step_id, outcome, context, comment=comment)

    def _close(self, step_id: str, outcome: str, context: Context, *, comment: str = "") -> None:
        state = self.steps.get(step_id)
        if state is not None and state.timer is not None:
            self.emit(
                TimerCancelled, context, incident_id=self.incident_id, timer_id=state.timer.timer_id, step=step_id
            )
        self.emit(
            StepCompleted,
            context,
            incident_id=self.incident_id,
            step=step_id,
            outcome=outcome,
            comment=comment,
        )

    def _complete_if_open(self, step_id: str, outcome: str, context: Context) -> None:
        if self._is_open(step_id):
            self._complete(step_id, outcome, context)

    def _open_step(self, step_id: str) -> StepState:
        state = self.steps.get(step_id)
        if state is None:
            raise NotFound(f"Step {step_id} of this run is not open yet, or does not exist.", field="step")
        if not state.open:
            raise IllegalTransition(f"Step {step_id} is complete: {state.outcome}.")
        return state

    def _is_open(self, step_id: str) -> bool:
        state = self.steps.get(step_id)
        return state is not None and state.open

    def _done(self, step_id: str) -> bool:
        state = self.steps.get(step_id)
        return state is not None and not state.open and state.outcome not in UNDONE

    def _kind_of(self, step_id: str) -> str:
        steps = self.playbook.steps if self.playbook else ()
        return next((step.kind for step in steps if step.id == step_id), "filing")

    def open_steps(self) -> Iterable[str]:
        """Ids of the steps that wait for somebody or something."""
        return [step_id for step_id, state in self.steps.items() if state.open]

    @folds(RunStarted)
    def _started(self, event: RunStarted) -> None:
        self.incident_id = event.incident_id
        self.playbook = read_stored(event.definition)
        self.drill = event.drill

    @folds(StepStarted)
    def _step_started(self, event: StepStarted) -> None:
        self.finished = None  # a duty that fell due after the end takes the run up again
        state = self.steps.setdefault(event.step, StepState(event.step_kind))
        state.open, state.outcome, state.started_at = True, None, event.recorded_at
        state.rounds += 1
        state.details = event.details

    @folds(StepCompleted)
    def _step_completed(self, event: StepCompleted) -> None:
        state = self.steps.setdefault(event.step, StepState(self._kind_of(event.step)))
        state.open, state.outcome = False, event.outcome

    @folds(TimerSet)
    def _timer_set(self, event: TimerSet) -> None:
        self.steps[event.step].timer = event

    @folds(TimerFired, TimerCancelled)
    def _timer_over(self, event: TimerFired | TimerCancelled) -> None:
        self.steps[event.step].timer = None

    @folds(RunFinished)
    def _finished(self, event: RunFinished) -> None:
        self.finished = event.outcome


def _is_satisfied(step: Step, view: RunView) -> bool:
    """Whether what the step waits for has happened (tasks) or is known (facts)."""
    if step.kind == "task":
        return any(kind in view.happened for kind in step.done_on)
    return step.kind == "facts" and view.known_facts.issuperset(step.facts)
