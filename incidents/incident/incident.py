"""The incident: what we declared, from alerts or from a person's report."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from incidents.errors import IllegalTransition, InvalidInput
from incidents.incident.events import (
    AlertLinked,
    AlertSummary,
    AssetLinked,
    FactsStated,
    IncidentAbsorbed,
    IncidentAssigned,
    IncidentClosed,
    IncidentContained,
    IncidentEradicated,
    IncidentGraded,
    IncidentMerged,
    IncidentRecovered,
    IncidentReopened,
    IncidentReported,
    IncidentTriaged,
    NoteAdded,
)
from incidents.incident.lifecycle import OPEN_PHASES, TRANSITIONS, Phase
from incidents.record import Aggregate, Context, Event, folds

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far ahead of our clock another clock's "it happened" may be before we call it a mistake."""

UNKNOWN = "unknown"


class Incident(Aggregate):
    """One incident. Commands refuse what the lifecycle does not allow; folds never refuse."""

    def __init__(self, incident_id: UUID) -> None:
        super().__init__(incident_id)
        self.title = ""
        self.phase = Phase.REPORTED
        self.facts: dict[str, Any] = {}
        self.grades: dict[str, IncidentGraded] = {}
        self.alerts: dict[UUID, AlertSummary] = {}
        self.assets: dict[UUID, AssetLinked] = {}
        self.facts_from_assets: frozenset[str] = frozenset()
        """Facts whose value comes from the asset register and was not stated by people since."""
        self.assignee: str | None = None
        self.correlation_key: str | None = None
        self.merged_into: UUID | None = None
        self.absorbed: set[UUID] = set()
        self.phase_times: dict[Phase, datetime] = {}

    @property
    def is_open(self) -> bool:
        """Whether work on it goes on here (neither closed nor merged)."""
        return self.phase in OPEN_PHASES

    @classmethod
    def report(
        cls,
        incident_id: UUID,
        context: Context,
        *,
        title: str,
        summary: str = "",
        reported_by: str = "person",
        correlation_key: str | None = None,
    ) -> Self:
        """Declare an incident. The first event of its stream."""
        incident = cls(incident_id)
        _refuse_future(context)
        incident.emit(
            IncidentReported,
            context,
            title=title,
            summary=summary,
            reported_by=reported_by,
            correlation_key=correlation_key,
        )
        return incident

    def link_alert(self, context: Context, alert: AlertSummary) -> None:
        """Add an alert; the same alert a second time changes nothing."""
        if alert.alert_id in self.alerts:
            return
        self._check("link an alert", context)
        self.emit(AlertLinked, context, alert=alert)

    def link_asset(
        self,
        context: Context,
        asset_id: UUID,
        *,
        version: int,
        name: str,
        facts: Mapping[str, Any],
        kept: tuple[str, ...],
    ) -> None:
        """A data asset is concerned; `facts` are what all linked assets tell now (with `unknown` for what no longer
        holds). The same version a second time changes nothing."""
        before = self.assets.get(asset_id)
        if before is not None and before.asset_version == version:
            return
        self._check("link an asset", context)
        told = tuple(sorted(fact for fact, value in facts.items() if value != UNKNOWN))
        self._state(context, facts, f"Asset register: {name}")
        self.emit(AssetLinked, context, asset_id=asset_id, asset_version=version, name=name, facts=told, kept=kept)

    def triage(self, context: Context, assessment: str = "") -> None:
        """A person looked and decided that it is real."""
        self._check("triage", context)
        self.emit(IncidentTriaged, context, assessment=assessment)

    def contain(self, context: Context, comment: str = "") -> None:
        """The harm no longer grows."""
        self._check("contain", context)
        self.emit(IncidentContained, context, comment=comment)

    def eradicate(self, context: Context, comment: str = "") -> None:
        """The cause is gone."""
        self._check("eradicate", context)
        self.emit(IncidentEradicated, context, comment=comment)

    def recover(self, context: Context, comment: str = "") -> None:
        """Systems and services work as before."""
        self._check("recover", context)
        self.emit(IncidentRecovered, context, comment=comment)

    def close(self, context: Context, comment: str = "") -> None:
        """End the handling. Before recovery (a false alarm, say) it needs the reason in words."""
        self._check("close", context)
        if self.phase is not Phase.RECOVERED and not comment.strip():
            raise InvalidInput(
                f"The incident is {self.phase.value}, not recovered: say in a comment why it can be closed.",
                field="comment",
            )
        self.emit(IncidentClosed, context, comment=comment)

    def reopen(self, context: Context, reason: str) -> None:
        """It was not over: back to triaged."""
        self._check("reopen", context)
        self.emit(IncidentReopened, context, reason=reason)

    def merge_into(self, target: Incident, context: Context, reason: str = "") -> None:
        """This incident is part of `target`; both must be saved together."""
        if target.id == self.id:
            raise InvalidInput("An incident cannot be merged into itself.", field="into")
        self._check("merge", context)
        target._check("absorb", context)
        self.emit(IncidentMerged, context, into=target.id, reason=reason)
        target.emit(IncidentAbsorbed, context, incident=self.id)

    def assign(self, context: Context, assignee: str) -> None:
        """Give it an owner."""
        self._check("assign", context)
        if assignee != self.assignee:
            self.emit(IncidentAssigned, context, assignee=assignee)

    def add_note(self, context: Context, text: str) -> None:
        """Add a note to the timeline."""
        self._check("add a note", context)
        self.emit(NoteAdded, context, text=text)

    def state_facts(self, context: Context, changes: Mapping[str, Any], *, source: str = "") -> None:
        """State or revise facts (already validated and normalised). Records only what really changes; a value that
        came from the asset register is recorded once more when somebody states it, for then it is theirs."""
        confirmed = {name for name in self.facts_from_assets & changes.keys() if changes[name] == self.facts.get(name)}
        self._state(context, changes, source, confirmed)

    def _state(
        self, context: Context, changes: Mapping[str, Any], source: str, confirmed: AbstractSet[str] = frozenset()
    ) -> None:
        self._check("state facts", context)
        differ = {name for name, value in changes.items() if self.facts.get(name, UNKNOWN) != value}
        stated = {name: value for name, value in changes.items() if name in differ or name in confirmed}
        if stated:
            revised = tuple(sorted(name for name in differ if name in self.facts))
            self.emit(FactsStated, context, facts=stated, revised=revised, source=source)

    def grade(
        self,
        context: Context,
        *,
        scheme: str,
        scheme_version: str,
        level: str | None,
        met: tuple[str, ...],
        open_criteria: tuple[str, ...],
        override_reason: str | None = None,
    ) -> None:
        """Record a level when it, or what it rests on, changed.

        A person's override stands until a person takes it back: computed grades do not replace it.
        """
        before = self.grades.get(scheme)
        if before is not None:
            if before.override_reason is not None and override_reason is None:
                return
            same = (before.level, before.met, before.open, before.override_reason, before.scheme_version)
            if same == (level, met, open_criteria, override_reason, scheme_version):
                return
        elif level is None and override_reason is None and not open_criteria:
            return
        self._check("grade", context)
        self.emit(
            IncidentGraded,
            context,
            scheme=scheme,
            scheme_version=scheme_version,
            level=level,
            met=met,
            open=open_criteria,
            override_reason=override_reason,
        )

    def _check(self, command: str, context: Context) -> None:
        possible = TRANSITIONS[command]
        if self.phase not in possible:
            hint = f" It was merged into {self.merged_into}; go on there." if self.merged_into else ""
            states = ", ".join(sorted(phase.value for phase in possible))
            raise IllegalTransition(
                f"Cannot {command}: the incident is {self.phase.value}; this needs one of: {states}.{hint}"
            )
        _refuse_future(context)

    @folds(IncidentReported)
    def _reported(self, event: IncidentReported) -> None:
        self.title = event.title
        self.correlation_key = event.correlation_key
        self.phase_times[Phase.REPORTED] = event.happened_at

    @folds(AlertLinked)
    def _alert_linked(self, event: AlertLinked) -> None:
        self.alerts[event.alert.alert_id] = event.alert

    @folds(FactsStated)
    def _facts_stated(self, event: FactsStated) -> None:
        for name, value in event.facts.items():
            if value == UNKNOWN:
                self.facts.pop(name, None)
            else:
                self.facts[name] = value
        self.facts_from_assets -= event.facts.keys()

    @folds(AssetLinked)
    def _asset_linked(self, event: AssetLinked) -> None:
        self.assets[event.asset_id] = event
        self.facts_from_assets = frozenset(event.facts)

    @folds(IncidentGraded)
    def _graded(self, event: IncidentGraded) -> None:
        self.grades[event.scheme] = event

    @folds(IncidentAssigned)
    def _assigned(self, event: IncidentAssigned) -> None:
        self.assignee = event.assignee

    @folds(
        IncidentTriaged,
        IncidentContained,
        IncidentEradicated,
        IncidentRecovered,
        IncidentClosed,
        IncidentReopened,
    )
    def _moved(self, event: Event) -> None:
        self.phase = _PHASE_AFTER[type(event)]
        if isinstance(event, IncidentReopened):
            for later in (Phase.CONTAINED, Phase.ERADICATED, Phase.RECOVERED, Phase.CLOSED):
                self.phase_times.pop(later, None)
            # Reopening does not make anybody know of it later than they did.
            self.phase_times.setdefault(Phase.TRIAGED, event.happened_at)
        else:
            self.phase_times[self.phase] = event.happened_at

    @folds(IncidentMerged)
    def _merged(self, event: IncidentMerged) -> None:
        self.phase = Phase.MERGED
        self.merged_into = event.into

    @folds(IncidentAbsorbed)
    def _absorbed(self, event: IncidentAbsorbed) -> None:
        self.absorbed.add(event.incident)


_PHASE_AFTER: dict[type[Event], Phase] = {
    IncidentTriaged: Phase.TRIAGED,
    IncidentContained: Phase.CONTAINED,
    IncidentEradicated: Phase.ERADICATED,
    IncidentRecovered: Phase.RECOVERED,
    IncidentClosed: Phase.CLOSED,
    IncidentReopened: Phase.TRIAGED,
}


def _refuse_future(context: Context) -> None:
    if context.happened_at is not None and context.happened_at > context.recorded_at + CLOCK_TOLERANCE:
        raise InvalidInput(
            f"It cannot have happened at {context.happened_at.isoformat()}: that is in the future.",
            field="happened_at",
        )
