"""Conditions of law packs, grading schemes and playbooks: CEL with three-valued logic over facts.

A condition sees these names:

- `facts`: known facts (an unknown fact is absent, which makes what depends on it unknown);
- `grades`: the rank each scheme gives the incident, e.g. `grades.cn_2025`;
- `levels`: the ranks of a scheme's levels, e.g. `grades.cn_2025 >= levels.cn_2025.relatively_major`;
- `regions`: lists of country codes, e.g. `facts.countries.exists(c, c in regions.eea)`.

CEL's `&&` and `||` absorb an error on either side, and a missing map entry is an error. With unknown facts absent this
is Kleene's logic: `unknown || true` is true, `unknown && false` is false, everything else stays unknown.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Final

import cel

from incidents.errors import TocsinError
from incidents.facts.condition_key import KeyPart, key_parts
from incidents.facts.condition_text import Token, Use, faults, members, tokens, uses
from incidents.facts.facts import Facts
from incidents.facts.places import regions
from incidents.facts.vocabulary import FactSpec, FactType, vocabulary

MAX_TEXT: Final = 4_000
_ROOTS: Final = frozenset({"facts", "grades", "levels", "regions"})
_MAX_TRIALS: Final = 256
_MAX_REMEMBERED: Final = 1_024
# `has()` would turn "unknown" into "no", and make a condition change its mind when a fact becomes known.
_FORBIDDEN: Final = frozenset({"has"})


class Outcome(StrEnum):
    """The three truth values."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


class InvalidCondition(TocsinError, ValueError):
    """The text is not a condition over the vocabulary. `detail` says what is wrong and where."""

    code = "invalid-condition"
    title = "Invalid condition"


class ConditionFailed(TocsinError):
    """A condition could not be evaluated, and not because a fact is unknown: a fault of the pack, not of the facts."""

    code = "condition-failed"
    title = "Condition failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a condition says: the outcome, and while it is unknown the facts whose value can still change it."""

    outcome: Outcome
    open_facts: tuple[str, ...] = ()
    used: tuple[str, ...] = ()

    @property
    def is_true(self) -> bool:
        """Whether the condition certainly holds."""
        return self.outcome is Outcome.TRUE

    @property
    def is_false(self) -> bool:
        """Whether the condition certainly does not hold."""
        return self.outcome is Outcome.FALSE

    @property
    def is_unknown(self) -> bool:
        """Whether facts are missing to say."""
        return self.outcome is Outcome.UNKNOWN


@dataclass(frozen=True, slots=True)
class RankRange:
    """What a scheme says so far: at least `low`, at most `high`; `open_facts` by rank they could lift it to."""

    low: int
    high: int
    open_facts: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


class ConditionContext:
    """Everything conditions may see for one incident at one moment. Build once, evaluate many conditions against it."""

    def __init__(
        self,
        facts: Facts,
        *,
        grades: Mapping[str, RankRange] | None = None,
        levels: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        self.facts: Mapping[str, Any] = facts.for_conditions()
        self.grades: Mapping[str, RankRange] = grades or {}
        self._levels = {scheme: dict(ranks) for scheme, ranks in (levels or {}).items()}
        self._cel: dict[tuple[tuple[str, int], ...], cel.Context] = {}
        self._grade_keys: dict[str, Hashable] = {}

    def variables(
        self, facts: Mapping[str, Any], ranks: Mapping[str, int], roots: frozenset[str] = _ROOTS
    ) -> dict[str, Any]:
        """The variables of one evaluation; only those named in `roots`, because handing them over costs time."""
        every = {"facts": facts, "grades": ranks, "levels": self._levels, "regions": _regions()}
        return {name: value for name, value in every.items() if name in roots}

    def grade_key(self, scheme: str) -> Hashable:
        """What conditions can tell about a grade."""
        if scheme not in self._grade_keys:
            grade = self.grades.get(scheme)
            # The levels too: their ranks decide what a name of a level means.
            ranks = tuple(self._levels.get(scheme, {}).items())
            self._grade_keys[scheme] = grade and (grade.low, grade.high, tuple(grade.open_facts.items()), ranks)
        return self._grade_keys[scheme]

    def cel_context(self, ranks: Sequence[tuple[str, int]]) -> cel.Context:
        """The prepared context with these ranks; kept, because preparing costs more than evaluating."""
        key = tuple(ranks)
        if key not in self._cel:
            low = {scheme: grade.low for scheme, grade in self.grades.items()}
            self._cel[key] = cel.Context(self.variables(self.facts, low | dict(key)))
        return self._cel[key]


@cache
def _no_facts() -> Facts:
    return Facts()


@cache
def _regions() -> dict[str, list[str]]:
    return {name: list(codes) for name, codes in regions().items()}


@dataclass(frozen=True, slots=True)
class Condition:
    """One compiled condition. Make it with `Condition.compile`; it is immutable and may be shared."""

    text: str
    facts: tuple[str, ...]
    schemes: tuple[str, ...]
    _uses: tuple[Use, ...] = field(repr=False, compare=False)
    _program: cel.Program = field(repr=False, compare=False)
    _roots: frozenset[str] = field(repr=False, compare=False)
    _key_parts: tuple[KeyPart, ...] = field(repr=False, compare=False)
    _verdicts: dict[Hashable, Verdict] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def compile(text: str, *, levels: Mapping[str, Mapping[str, int]] | None = None) -> Condition:
        """Compile and check a condition.

        `levels` (scheme -> level -> rank) lets names of schemes and levels be checked too. Raises `InvalidCondition`
        for a syntax fault, a name that is no fact, a comparison that does not fit the fact's type, or `has()`.
        """
        return _compiled(text, _Levels(levels) if levels else None)

    def evaluate(self, context: ConditionContext) -> Verdict:
        """Evaluate against what is known. Raises `ConditionFailed` on anything but an unknown fact.

        A verdict is remembered by what the condition can tell apart, so that deriving many incidents, or one again
        after a fact changed, runs CEL only where something new is asked.
        """
        key = self._key(context)
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._evaluated(context)
            if len(self._verdicts) >= _MAX_REMEMBERED:
                self._verdicts.clear()
            self._verdicts[key] = verdict
        return verdict

    def _key(self, context: ConditionContext) -> Hashable:
        facts = context.facts
        parts = tuple([part(facts) for part in self._key_parts])
        return (*parts, *map(context.grade_key, self.schemes)) if self.schemes else parts

    def _evaluated(self, context: ConditionContext) -> Verdict:
        outcomes = {
            self._run(context.cel_context(ranks), context): dict(ranks) for ranks in self._rank_choices(context)
        }
        if len(outcomes) == 1 and Outcome.UNKNOWN not in outcomes:
            return Verdict(next(iter(outcomes)), used=self._used(context))
        open_facts = [*self._open_facts(context), *self._grade_facts(context, outcomes)]
        return Verdict(Outcome.UNKNOWN, tuple(dict.fromkeys(open_facts)), self._used(context))

    def _used(self, context: ConditionContext) -> tuple[str, ...]:
        return tuple(name for name in self.facts if name in context.facts)

    def _rank_choices(self, context: ConditionContext) -> Iterator[tuple[tuple[str, int], ...]]:
        spans = []
        for scheme in self.schemes:
            grade = context.grades.get(scheme)
            if grade is None:
                raise ConditionFailed(f"No grade of the scheme “{scheme}” was given for the condition: {self.text}")
            spans.append([(scheme, rank) for rank in range(grade.low, grade.high + 1)])
        return itertools.product(*spans)

    def _run(self, variables: cel.Context | dict[str, Any], context: ConditionContext) -> Outcome:
        try:
            value = self._program.execute(variables)
        except KeyError as missing:
            name = missing.args[0] if missing.args else None
            if name in self.facts or any(use.key == name for use in self._uses):
                return Outcome.UNKNOWN
            raise ConditionFailed(f"The condition asks for “{name}”, which does not exist: {self.text}") from missing
        except (TypeError, RuntimeError, ValueError) as fault:
            raise ConditionFailed(f"The condition cannot be evaluated: {self.text}: {fault}") from fault
        if value is True:
            return Outcome.TRUE
        if value is False:
            return Outcome.FALSE
        raise ConditionFailed(f"The condition gives {value!r} instead of true or false: {self.text}")

    def _grade_facts(self, context: ConditionContext, outcomes: Mapping[Outcome, Mapping[str, int]]) -> Iterator[str]:
        if len(outcomes) == 1:
            return
        for scheme in self.schemes:
            grade = context.grades[scheme]
            low = self._run(context.cel_context([(scheme, grade.low)]), context)
            for rank in range(grade.low + 1, grade.high + 1):
                if self._run(context.cel_context([(scheme, rank)]), context) != low:
                    yield from grade.open_facts.get(rank, ())

    def _open_facts(self, context: ConditionContext) -> tuple[str, ...]:
        """The unknown facts that can change the outcome: each has two values that give two outcomes."""
        unknown = tuple(name for name in self.facts if not self._settled(name, context))
        if len(unknown) <= 1 and not self.schemes:
            return unknown
        choices = {name: self._trial_values(name) for name in unknown}
        size = 1
        for values in choices.values():
            size *= len(values)
        if size > _MAX_TRIALS or len(unknown) == len(self.facts):
            return unknown
        base = {name: context.facts[name] for name in self.facts if name in context.facts}
        ranks = {scheme: context.grades[scheme].high for scheme in self.schemes}
        spans = [choices[name] for name in unknown]
        results = {}
        for trial in itertools.product(*(range(len(span)) for span in spans)):
            tried = {name: span[at] for name, span, at in zip(unknown, spans, trial, strict=True)}
            results[trial] = self._run(context.variables(base | tried, ranks, self._roots), context)
        return tuple(name for at, name in enumerate(unknown) if _matters(at, results))

    def _settled(self, name: str, context: ConditionContext) -> bool:
        if name not in context.facts:
            return False
        if vocabulary()[name].type is FactType.MONEY:
            return all(use.key in context.facts[name] for use in self._uses if use.fact == name and use.key)
        return True

    def _trial_values(self, name: str) -> list[Any]:
        return _trial_values(vocabulary()[name], [use for use in self._uses if use.fact == name])


def _matters(at: int, results: Mapping[tuple[int, ...], Outcome]) -> bool:
    """Whether two trials that differ only in place `at` differ in outcome."""
    seen: dict[tuple[int, ...], Outcome] = {}
    for trial, outcome in results.items():
        others = trial[:at] + trial[at + 1 :]
        if seen.setdefault(others, outcome) != outcome:
            return True
    return False


def _trial_values(spec: FactSpec, where: Sequence[Use]) -> list[Any]:
    """A few values of the fact that can tell apart everything the condition asks about it."""
    literals = [literal for use in where for literal in use.literals]
    keys = sorted({use.key for use in where if use.key is not None})
    numbers = sorted({float(literal.text) for literal in literals if literal.kind == "number"})
    steps: list[Any] = [0, *(int(n) if n.is_integer() else n for n in numbers), int(max(numbers, default=0)) + 1]
    strings = sorted({literal.text for literal in literals if literal.kind == "string"})
    match spec.type:
        case FactType.BOOL:
            return [False, True]
        case FactType.INT | FactType.DECIMAL:
            return steps
        case FactType.ENUM:
            others = [value for value in spec.values if value not in strings][:1]
            return [*strings, *others]
        case FactType.SET | FactType.COUNTRIES | FactType.PROVINCES:
            words = strings or (list(spec.values) if spec.values else sorted(_regions()["eea"]))
            return [[], *([word] for word in strings), words]
        case FactType.COUNT_BY_COUNTRY | FactType.COUNT_BY_PROVINCE | FactType.MONEY:
            places = sorted({*keys, *strings}) or ["DE" if spec.type is FactType.COUNT_BY_COUNTRY else "US-CA"]
            empty = dict.fromkeys(places, 0) if spec.type is FactType.MONEY else {}
            return [empty, *(dict.fromkeys(places, step) for step in steps)]
        case _:
            return []


def _unknown_names(found: Sequence[Token], levels: Mapping[str, Mapping[str, int]] | None) -> Iterator[str]:
    for _, _, path in members(list(found), "regions"):
        if len(path) != 1 or path[0] not in regions():
            yield f"there is no region “{'.'.join(path)}”; known: {', '.join(regions())}"
    for _, _, path in members(list(found), "levels"):
        if len(path) != 2 or (levels is not None and path[1] not in levels.get(path[0], {})):
            yield f"there is no level “{'.'.join(path)}”"
    for _, _, path in members(list(found), "grades"):
        if len(path) != 1 or (levels is not None and path[0] not in levels):
            yield f"there is no grading scheme “{'.'.join(path)}”"


class _Levels:
    """Ranks of levels by scheme, as a key: equal when they say the same."""

    def __init__(self, ranks: Mapping[str, Mapping[str, int]]) -> None:
        self.ranks = ranks
        self._key = tuple(sorted((scheme, tuple(sorted(levels.items()))) for scheme, levels in ranks.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Levels) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=8_192)
def _compiled(text: str, levels: _Levels | None) -> Condition:
    if len(text) > MAX_TEXT:
        raise InvalidCondition(f"A condition has at most {MAX_TEXT} characters, not {len(text)}.")
    try:
        program = cel.compile(text)
    except ValueError as fault:
        raise InvalidCondition(f"This is not CEL: {fault}") from fault
    ranks = levels.ranks if levels is not None else None
    try:
        found = tokens(text)
        named = uses(found)
        problems = [*faults(named, vocabulary()), *_unknown_names(found, ranks)]
    except ValueError as fault:
        raise InvalidCondition(f"{fault}: {text}") from fault
    roots = {name for name in program.variables() if name in _ROOTS}
    bound = {found[i + 2].text for i, t in enumerate(found[:-2]) if t.text in _MACROS and found[i + 1].text == "("}
    problems += [
        f"“{name}” is not known here; a condition may use {', '.join(sorted(_ROOTS))}"
        for name in program.variables()
        if name not in roots and name not in bound
    ]
    problems += [f"“{t.text}()” is not allowed" for t in found if t.kind == "name" and t.text in _FORBIDDEN]
    if problems:
        raise InvalidCondition(f"{'; '.join(dict.fromkeys(problems))} In: {text}")
    condition = Condition(
        text,
        tuple(dict.fromkeys(use.fact for use in named)),
        tuple(dict.fromkeys(path[0] for _, _, path in members(found, "grades"))),
        tuple(named),
        program,
        frozenset(roots),
        key_parts(found, named, [vocabulary()[name] for name in dict.fromkeys(use.fact for use in named)]),
    )
    _try_types(condition, ranks or {})
    return condition


_MACROS: Final = frozenset({"exists", "all", "exists_one", "filter", "map"})


_FEW_SAMPLES: Final = 16


_LISTS: Final = frozenset({FactType.SET, FactType.COUNTRIES, FactType.PROVINCES})


def _all_compared(condition: Condition) -> bool:
    """Whether the check of the text has seen all that is done with the facts: comparisons, yes or no, words of sets."""
    compared = {use.fact for use in condition._uses if use.literals}

    def seen(use: Use) -> bool:
        kind = vocabulary()[use.fact].type
        asked = use.fact in compared or "regions" in condition._roots
        return bool(use.literals) or (use.relation is None and (kind is FactType.BOOL or (kind in _LISTS and asked)))

    return all(map(seen, condition._uses))


def _samples(spans: Sequence[Sequence[Any]], *, few: bool) -> Iterator[tuple[Any, ...]]:
    """Every combination where there are few; else each value once among the least and once among the greatest others.

    The first values are false for most questions and the last ones true, so that neither `||` nor `&&` hides a fault
    behind them; with `few` these two are all.
    """
    if few:
        yield tuple(span[0] for span in spans)
        yield tuple(span[-1] for span in spans)
        return
    size = 1
    for span in spans:
        size *= len(span)
    if size <= _FEW_SAMPLES:
        yield from itertools.product(*spans)
        return
    for others in (0, -1):
        base = [span[others] for span in spans]
        yield tuple(base)
        for at, span in enumerate(spans):
            for value in span[1:] if others == 0 else span[:-1]:
                yield (*base[:at], value, *base[at + 1 :])


def _try_types(condition: Condition, levels: Mapping[str, Mapping[str, int]]) -> None:
    """Run the condition on sample values of its facts, so that a wrong type shows now and not during an incident."""
    if (condition._roots & {"grades", "levels"} and not levels) or set(condition.schemes) - set(levels):
        return
    spans = [
        _trial_values(vocabulary()[name], [u for u in condition._uses if u.fact == name]) for name in condition.facts
    ]
    if any(not span for span in spans):
        return
    context = ConditionContext(_no_facts(), levels=levels if condition._roots & {"levels"} else {})
    ranks = dict.fromkeys(condition.schemes, 0)
    for trial in _samples(spans, few=_all_compared(condition)):
        values = dict(zip(condition.facts, trial, strict=True))
        try:
            condition._run(context.variables(values, ranks, condition._roots), context)
        except ConditionFailed as fault:
            raise InvalidCondition(fault.detail) from fault
