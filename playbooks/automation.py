"""What follows by itself from a recorded event: the incident is graded anew, its duties are derived, its runs advance.

All of it is computed from recorded state and saved in one transaction with the follower's position, so that grade,
duties and runs never disagree, and a kill at any moment repeats the computation with the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import structlog

from incidents.clock import Clock
from incidents.facts import Condition, ConditionContext, Facts, OrganisationProfile, Verdict
from incidents.facts.conditions import ConditionFailed, InvalidCondition, Outcome
from incidents.grading.grade import GradeResult, grade
from incidents.incident.events import (
    AlertLinked,
    FactsStated,
    IncidentAbsorbed,
    IncidentClosed,
    IncidentContained,
    IncidentEradicated,
    IncidentGraded,
    IncidentMerged,
    IncidentRecovered,
    IncidentReopened,
    IncidentReported,
    IncidentTriaged,
)
from incidents.incident.incident import Incident
from incidents.incident.known import known_facts
from incidents.incident.lifecycle import Phase
from incidents.record import Aggregate, Context, Event, Record, Recorded
from incidents.record.partitioned import Divisions, PartitionedFollower
from playbooks.definitions.definition import Playbook
from playbooks.duties.events import (
    DelayEnded,
    DelayRequested,
    DutyFulfilled,
    DutyOnRecord,
    DutyResumed,
    DutyWaived,
    WaiverOverturned,
)
from playbooks.duties.merged import parts_of, whole_of
from playbooks.duties.on_record import all_on_record
from playbooks.duties.register import DutyRegister
from playbooks.law.book import LawBook
from playbooks.law.calendars import Calendars
from playbooks.law.delays import DelayRequest
from playbooks.law.derive import derive
from playbooks.law.law import Law
from playbooks.runs.events import RunStarted, StepCompleted
from playbooks.runs.run import Run, RunView

log = structlog.get_logger(__name__)

ACTOR = "system:automation"
NAME = "automation"
"""Of the follower."""

MOVES_BY: tuple[type[Event], ...] = (
    IncidentReported,
    AlertLinked,
    IncidentTriaged,
    FactsStated,
    IncidentGraded,
    IncidentContained,
    IncidentEradicated,
    IncidentRecovered,
    IncidentClosed,
    IncidentReopened,
    IncidentMerged,
    IncidentAbsorbed,
    DutyFulfilled,
    DutyWaived,
    WaiverOverturned,
    DelayRequested,
    DelayEnded,
    DutyResumed,
    RunStarted,
    StepCompleted,
)
"""The events after which something may follow."""


def incident_of(event: Event) -> UUID:
    """The incident an event belongs to: the one it names, or its own stream."""
    incident_id: UUID = getattr(event, "incident_id", event.originator_id)
    return incident_id


class Automation:
    """The handler behind the follower of that name. Decides from recorded state only."""

    def __init__(
        self,
        record: Record,
        *,
        law: LawBook,
        calendar: Calendars,
        profile: OrganisationProfile,
        playbooks: Mapping[str, Playbook],
        clock: Clock,
    ) -> None:
        self._record = record
        self._book = law
        self._calendar = calendar
        self._profile = profile
        self._playbooks = playbooks
        self._clock = clock

    @property
    def _law(self) -> Law:
        """The law in use at this moment; a changed pack counts from the next event on."""
        return self._book.law

    def follower(self, divisions: Divisions) -> PartitionedFollower:
        """The follower that drives it: what belongs to one incident is handled in order, incidents side by side."""
        kinds = [event.kind for event in MOVES_BY]
        return PartitionedFollower(
            self._record, NAME, self, divisions, kinds=kinds, key_of=incident_of, newest_of=incident_of
        )

    def __call__(self, recorded: Recorded) -> Sequence[Aggregate]:
        event = recorded.event
        return self.look_again(incident_of(event), Context.of_event(event, self._clock, actor=ACTOR))

    def look_again(self, incident_id: UUID, context: Context) -> list[Aggregate]:
        """What follows now for an incident: the aggregates that changed, to be saved together. Often none."""
        incident = self._record.find(Incident, incident_id)
        if incident is None:
            return []
        if incident.phase is Phase.MERGED:
            # What happens to a part, such as that a request to wait ends, may move the duties of the whole.
            whole = whole_of(self._record, incident)
            on = self.look_again(whole.id, context) if whole.phase is not Phase.MERGED else []
            return [*self._hand_over(incident, context), *on]
        facts = known_facts(incident, self._profile)
        grades = self._grade(incident, facts, context)
        register = self.derive(incident, context)
        runs = self._advance(incident, register, facts, grades, context)
        return [aggregate for aggregate in (incident, register, *runs) if aggregate.has_pending]

    def _hand_over(self, incident: Incident, context: Context) -> list[Aggregate]:
        """A merged incident owes nothing any more: what it knew went to the incident it is part of, and so did the
        duties that follow from it. Its own are lifted, its runs end."""
        changed: list[Aggregate] = []
        register = self._record.find(DutyRegister, DutyRegister.id_for(incident.id))
        if register is not None:
            self._settle(incident, register, context)
            register.hand_over(incident.id, f"The incident was merged into {incident.merged_into}.", context)
            changed.append(register)
        for playbook in self._playbooks:
            run = self._record.find(Run, Run.id_for(incident.id, playbook))
            if run is not None:
                run.abandon(context, "merged")
                changed.append(run)
        return [aggregate for aggregate in changed if aggregate.has_pending]

    def _grade(self, incident: Incident, facts: Facts, context: Context) -> dict[str, GradeResult]:
        """Grade by every scheme of a place that concerns the incident (or whose place is not known)."""
        results = {}
        for name, scheme in self._law.schemes.items():
            results[name] = result = grade(scheme, facts)
            countries = facts.get("countries")
            if incident.facts and (not isinstance(countries, frozenset) or scheme.jurisdiction in countries):
                incident.grade(
                    context,
                    scheme=scheme.id,
                    scheme_version=scheme.version,
                    level=result.level,
                    met=tuple(state.criterion for state in result.met),
                    open_criteria=tuple(state.criterion for state in result.open),
                )
        return results

    def derive(self, incident: Incident, context: Context) -> DutyRegister:
        """The register with what differs from law and facts of now emitted, but not saved. No difference: no events."""
        register_id = DutyRegister.id_for(incident.id)
        register = self._record.find(DutyRegister, register_id) or DutyRegister(register_id)
        self._settle(incident, register, context)
        register.update(incident.id, self._demanded(incident, register, context.recorded_at), context)
        return register

    def _settle(self, incident: Incident, register: DutyRegister, context: Context) -> None:
        """What is recorded after a deadline passed does not move it, though the watch over clocks has not called it out
        yet: whether it was missed is judged by what was on record when it passed."""
        for duty_id, due in register.passed(context.recorded_at).items():
            then = self._record.find_as_of(Incident, incident.id, due)
            before = self._record.find_as_of(DutyRegister, register.id, due)
            if then is None or before is None or duty_id not in before.duties:
                continue
            demanded = self._demanded(then, before, due)
            # Facts that were on record in time, and were not looked at before the deadline, do count.
            if any(duty.duty_id == duty_id and duty.strict_due == due for duty in before.in_turn(demanded)):
                register.miss(incident.id, duty_id, context)

    def _demanded(self, incident: Incident, register: DutyRegister, at: datetime) -> list[DutyOnRecord]:
        overrides = {
            scheme: event.level
            for scheme, event in incident.grades.items()
            if event.override_reason is not None and event.level is not None
        }
        delays = self._delays(incident, register)
        derived = derive(
            known_facts(incident, self._profile),
            self._law,
            self._calendar,
            # A clock that goes after the one by which a request was recorded does not make it one of the future.
            at=max((at, *(request.stated_at for request in delays))),
            profile=self._profile,
            submissions=register.submissions,
            grades=overrides,
            delays=delays,
        )
        return all_on_record(derived)

    def _delays(self, incident: Incident, register: DutyRegister) -> list[DelayRequest]:
        """Requests to wait: this incident's, and those of incidents that became part of it."""
        parts = (
            self._record.find(DutyRegister, DutyRegister.id_for(part)) for part in parts_of(self._record, incident)
        )
        return [request for one in (register, *parts) if one is not None for request in one.delays.values()]

    def _advance(
        self,
        incident: Incident,
        register: DutyRegister,
        facts: Facts,
        grades: Mapping[str, GradeResult],
        context: Context,
    ) -> list[Run]:
        conditions = ConditionContext(
            facts,
            grades={
                self._law.schemes[name].key: result.rank_range(self._law.schemes[name])
                for name, result in grades.items()
            },
            levels={scheme.key: scheme.ranks() for scheme in self._law.schemes.values()},
        )

        def judge(text: str) -> Verdict:
            try:
                return Condition.compile(text).evaluate(conditions)
            except (InvalidCondition, ConditionFailed) as error:
                # A plan frozen long ago may ask for a fact that is gone. Its step waits for a person; the duties of
                # the incident must not wait with it.
                log.error("automation.condition", condition=text, reason=error.detail)
                return Verdict(Outcome.UNKNOWN)

        view = RunView(
            judge=judge,
            known_facts=frozenset(facts.known()),
            happened=frozenset(f"incident.{phase.value}" for phase in incident.phase_times),
            duties=register.duties,
        )
        runs = []
        for playbook in self._playbooks.values():
            run = self._record.find(Run, Run.id_for(incident.id, playbook.id))
            if run is None and incident.is_open and judge(playbook.starts_when).is_true:
                run = Run.start(incident.id, playbook, context)
            if run is not None:
                run.advance(view, context)
                runs.append(run)
        return runs
