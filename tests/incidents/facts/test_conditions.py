"""Conditions: three-valued logic, what is missing, and faults found before anything runs."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.facts import Condition, ConditionContext, Facts, Outcome
from incidents.facts.conditions import ConditionFailed, InvalidCondition, RankRange

LEVELS = {"cn_2025": {"general": 1, "relatively_major": 2, "major": 3, "particularly_major": 4}}


def verdict(text: str, **facts: Any) -> tuple[Outcome, tuple[str, ...]]:
    found = Condition.compile(text).evaluate(ConditionContext(Facts.parse(facts)))
    return found.outcome, found.open_facts


THREE = {True: Outcome.TRUE, False: Outcome.FALSE, None: Outcome.UNKNOWN}


def kleene_and(a: bool | None, b: bool | None) -> bool | None:
    return False if a is False or b is False else None if a is None or b is None else True


@pytest.mark.parametrize(("a", "b"), list(product([True, False, None], repeat=2)))
def test_and_or_not_are_kleene(a: bool | None, b: bool | None) -> None:
    facts = {name: value for name, value in (("malicious", a), ("encrypted", b)) if value is not None}
    both = kleene_and(a, b)
    either = kleene_and(None if a is None else not a, None if b is None else not b)
    assert verdict("facts.malicious && facts.encrypted", **facts)[0] is THREE[both]
    assert verdict("facts.malicious || facts.encrypted", **facts)[0] is THREE[None if either is None else not either]
    assert verdict("!facts.malicious", **facts)[0] is THREE[None if a is None else not a]


NAMES = ["malicious", "encrypted", "key_safe", "ransom_paid"]
EXPRESSIONS = st.recursive(
    st.sampled_from([f"facts.{name}" for name in NAMES]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        inner.map(lambda text: f"!({text})"),
    ),
    max_leaves=6,
)


@given(EXPRESSIONS, st.dictionaries(st.sampled_from(NAMES), st.booleans()))
def test_a_decided_condition_stays_decided_and_open_facts_can_decide_it(text: str, known: dict[str, bool]) -> None:
    condition = Condition.compile(text)
    found = condition.evaluate(ConditionContext(Facts.parse(known)))
    missing = [name for name in NAMES if name not in known]
    outcomes = set()
    for values in product([True, False], repeat=len(missing)):
        full = Facts.parse(known | dict(zip(missing, values, strict=True)))
        outcomes.add(condition.evaluate(ConditionContext(full)).outcome)
    assert Outcome.UNKNOWN not in outcomes
    if not found.is_unknown:
        assert outcomes == {found.outcome}, "a decided outcome never changes when more becomes known"
    elif len(outcomes) == 2:
        assert found.open_facts, "an open condition says what would settle it"
        assert set(found.open_facts) <= set(missing)


def test_only_facts_that_can_still_change_it_are_named() -> None:
    text = (
        "(facts.malicious && facts.persons_affected > 10) || (facts.suspected_crime && facts.persons_affected > 1000)"
    )
    assert verdict(text, persons_affected=200) == (Outcome.UNKNOWN, ("malicious",))
    assert verdict(text, persons_affected=2000) == (Outcome.UNKNOWN, ("malicious", "suspected_crime"))
    assert verdict(text, persons_affected=5) == (Outcome.FALSE, ())
    assert verdict(text)[0] is Outcome.UNKNOWN


def test_sets_maps_money_regions_and_times() -> None:
    europe = "facts.countries.exists(c, c in regions.eea) || facts.persons_by_country.exists(c, c in regions.eea)"
    assert verdict(europe, countries=["CN"], persons_by_country={"NO": 1})[0] is Outcome.TRUE
    assert verdict(europe, countries=["CN"]) == (Outcome.UNKNOWN, ("persons_by_country",))
    assert verdict(europe, countries=["CN"], persons_by_country={})[0] is Outcome.FALSE
    texas = "'US-TX' in facts.persons_by_province && facts.persons_by_province['US-TX'] >= 250"
    assert verdict(texas, persons_by_province={"US-CA": 900})[0] is Outcome.FALSE
    assert verdict(texas, persons_by_province={"US-TX": 250})[0] is Outcome.TRUE
    loss = "facts.direct_loss['CNY'] >= 5000000"
    assert verdict(loss, direct_loss={"EUR": 9_000_000}) == (Outcome.UNKNOWN, ("direct_loss",))
    assert verdict(loss, direct_loss={"CNY": "4999999.99"})[0] is Outcome.FALSE
    assert verdict("'personal' in facts.data_classes", data_classes=["biometric"])[0] is Outcome.TRUE
    late = "facts.classified_at - facts.aware_at > duration('24h')"
    times = {"aware_at": "2026-09-08T08:00:00+02:00", "classified_at": "2026-09-09T12:00:00+02:00"}
    assert verdict(late, **times)[0] is Outcome.TRUE
    assert verdict(late, aware_at=times["aware_at"]) == (Outcome.UNKNOWN, ("classified_at",))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("facts.malicious &&", "not CEL"),
        ("facts.malicios", "Did you mean “malicious”"),
        ("facts.malicious >= 1", "malicious is bool"),
        ("facts.risk_to_persons == 'hihg'", "Did you mean “high”"),
        ("facts.risk_to_persons in ['risk', 'hihg']", "Did you mean “high”"),
        ("'helth' in facts.data_classes", "Did you mean “health”"),
        ("facts.data_classes.exists(x, x in ['persnal'])", "no value “persnal”"),
        ("facts.data_classes.exists(x, x == 'persnal')", "no value “persnal”"),
        ("facts.data_classes == 'personal'", "is a set"),
        ("facts.persons_affected > '5'", "does not fit"),
        ("facts.persons_by_country >= 5", "compare one entry"),
        ("facts.persons_by_country['China'] >= 5", "no entry “China”"),
        ("facts.persons_by_country['CN'] >= 5", "ask “'CN' in facts.persons_by_country &&”"),
        ("facts.persons_affected['CN'] >= 5", "has no entries"),
        ("'china' in facts.countries", "does not fit"),
        ("'hunan' in facts.provinces", "does not fit"),
        ("facts.persons_affected + 'x' == 'y'", "cannot be evaluated"),
        ("facts.persons_affected", "instead of true or false"),
        ("facts.malicious || persons_affected > 5", "“persons_affected” is not known here"),
        ("has(facts.malicious)", "“has()” is not allowed"),
        ("facts.countries.exists(c, c in regions.europe)", "no region"),
        ("grades.cn_2025 >= levels.cn_2025.huge", "no level “cn_2025.huge”"),
        ("grades.us_2025 >= 2", "no grading scheme"),
        ("facts == facts", "must be followed by the name of a fact"),
        ("nosuch(facts.malicious)", "cannot be evaluated"),
        ("true || " + "x" * 5000, "at most"),
    ],
)
def test_a_faulty_condition_is_refused_before_it_runs(text: str, says: str) -> None:
    with pytest.raises(InvalidCondition) as caught:
        Condition.compile(text, levels=LEVELS)
    assert says in caught.value.detail


def test_a_word_in_a_string_is_not_a_fact() -> None:
    assert Condition.compile("facts.detected_by == 'self' // facts.nonsense").facts == ("detected_by",)


def test_grades_are_judged_over_the_whole_range() -> None:
    condition = Condition.compile("grades.cn_2025 >= levels.cn_2025.relatively_major", levels=LEVELS)

    def judged(low: int, high: int) -> Any:
        grade = RankRange(low, high, {2: ("direct_loss", "malicious"), 3: ("malicious",)})
        return condition.evaluate(ConditionContext(Facts(), grades={"cn_2025": grade}, levels=LEVELS))

    assert judged(2, 4).is_true
    assert judged(1, 1).is_false
    assert judged(1, 3).open_facts == ("direct_loss", "malicious")


def test_a_missing_grade_is_a_fault_not_an_unknown() -> None:
    condition = Condition.compile("grades.cn_2025 >= 2", levels=LEVELS)
    with pytest.raises(ConditionFailed, match="cn_2025"):
        condition.evaluate(ConditionContext(Facts()))


def test_a_missing_entry_that_is_no_fact_is_a_fault_not_an_unknown() -> None:
    condition = Condition.compile("levels.cn_2025.major > 1")
    with pytest.raises(ConditionFailed, match="cn_2025"):
        condition.evaluate(ConditionContext(Facts()))


def test_a_type_error_is_never_taken_for_unknown() -> None:
    # The right side is only reached with the left one false; sample values find the fault when the text is compiled.
    with pytest.raises(InvalidCondition, match="cannot be evaluated"):
        Condition.compile("facts.malicious && size(facts.persons_affected) > 1")
