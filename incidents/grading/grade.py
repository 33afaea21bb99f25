"""The level a scheme gives an incident from its facts, and what could still lift it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from incidents.facts.conditions import ConditionContext, RankRange
from incidents.facts.facts import Facts
from incidents.grading.scheme import Criterion, CriterionStatus, GradingScheme


class CriterionState(BaseModel):
    """A criterion that is met, or that is open because `facts` are not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: str
    level: str
    text: Mapping[str, str]
    status: CriterionStatus
    confidence: str
    note: str = ""
    facts: tuple[str, ...] = ()


class GradeResult(BaseModel):
    """What a scheme says about an incident.

    `level` is certain as a lower bound: what is known reaches it. `highest_possible` is what unknown facts could still
    make of it. `open` lists only criteria that could lift it above `level`. `draft_*` were not counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: str
    version: str
    level: str
    rank: int
    title: Mapping[str, str]
    reportable: bool
    highest_possible: str
    settled: bool
    met: tuple[CriterionState, ...]
    open: tuple[CriterionState, ...]
    draft_met: tuple[CriterionState, ...] = ()
    draft_open: tuple[CriterionState, ...] = ()
    open_facts: tuple[str, ...] = ()

    def rank_range(self, scheme: GradingScheme) -> RankRange:
        """The result as conditions on `grades` need it."""
        by_rank: dict[int, list[str]] = {}
        for state in self.open:
            by_rank.setdefault(scheme.level(state.level).rank, []).extend(state.facts)
        # A fact that can lift the incident to a rank also lifts it over every rank below.
        names = sorted(by_rank)
        gathered = {
            level.rank: tuple(dict.fromkeys(f for rank in names if rank >= level.rank for f in by_rank[rank]))
            for level in scheme.levels
        }
        return RankRange(self.rank, scheme.level(self.highest_possible).rank, gathered)


class _Sorted(NamedTuple):
    met: list[CriterionState]
    open: list[CriterionState]


def _state(criterion: Criterion, facts: tuple[str, ...]) -> CriterionState:
    return CriterionState(
        criterion=criterion.id,
        level=criterion.level,
        text=dict(criterion.text),
        status=criterion.status,
        confidence=criterion.confidence,
        note=criterion.note,
        facts=facts,
    )


def _sort(criteria: Iterable[Criterion], context: ConditionContext) -> _Sorted:
    found = _Sorted([], [])
    for criterion in criteria:
        verdict = criterion.condition.evaluate(context)
        if verdict.is_true:
            found.met.append(_state(criterion, verdict.used))
        elif verdict.is_unknown:
            found.open.append(_state(criterion, verdict.open_facts))
    return found


def grade(
    scheme: GradingScheme, facts: Facts, *, drafts: bool = False, context: ConditionContext | None = None
) -> GradeResult:
    """Grade `facts` by `scheme`. With `drafts`, criteria whose figure was only seen in a draft count too.

    `context` may be passed when the caller has one for the same facts.
    """
    context = context or ConditionContext(facts)
    counted = _sort((c for c in scheme.criteria if drafts or c.status is not CriterionStatus.DRAFT_ONLY), context)
    apart = _sort((c for c in scheme.criteria if not drafts and c.status is CriterionStatus.DRAFT_ONLY), context)

    def rank(state: CriterionState) -> int:
        return scheme.level(state.level).rank

    level = scheme.ranked(max([scheme.level(scheme.floor).rank, *map(rank, counted.met)]))
    still = sorted((state for state in counted.open if rank(state) > level.rank), key=rank, reverse=True)
    highest = scheme.ranked(max([level.rank, *map(rank, still)]))
    return GradeResult(
        scheme=scheme.id,
        version=scheme.version,
        level=level.id,
        rank=level.rank,
        title=dict(level.title),
        reportable=level.reportable,
        highest_possible=highest.id,
        settled=not still,
        met=tuple(sorted(counted.met, key=rank, reverse=True)),
        open=tuple(still),
        draft_met=tuple(apart.met),
        draft_open=tuple(state for state in apart.open if rank(state) > level.rank),
        open_facts=tuple(dict.fromkeys(fact for state in still for fact in state.facts)),
    )
