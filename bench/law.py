"""Deriving duties: the law packs against the same conditions written as plain Python functions, in the same run.

Both sides derive the same duties with the same code for periods and explanations; they differ in how a condition is
judged. `judging` times the conditions alone: what is known is laid out, then every `bound`, `trigger` and exemption of
every rule is judged. The results of both sides are compared before anything is timed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench.plain import PlainCondition, PlainLaw
from bench.rounds import Comparison, Work, compare
from incidents.facts import Facts
from incidents.facts.conditions import Condition, ConditionContext
from incidents.grading.grade import grade
from playbooks.law import Duty, Law, derive, load_law, standard_calendars

AT = datetime.fromisoformat("2026-11-20T12:00:00+08:00")
WITHIN = 0.25
"""The aim: within four times of plain Python."""

_KINDS: tuple[dict[str, Any], ...] = (
    {
        "event_kinds": ["personal_data_breach"], "nature": ["confidentiality"], "roles": ["controller"],
        "countries": ["CN", "DE"], "provinces": ["CN-HN"], "data_classes": ["personal"], "data_events": ["leaked"],
        "persons_affected": 200, "persons_by_country": {"CN": 120, "DE": 80}, "persons_by_province": {"CN-HN": 120},
        "risk_to_persons": "risk",
    },
    {
        "event_kinds": ["ransomware", "cyberattack"], "nature": ["confidentiality", "availability"],
        "roles": ["controller", "hipaa_covered_entity"], "countries": ["US", "SG"], "provinces": ["US-TX"],
        "data_classes": ["personal", "health"], "data_events": ["stolen"], "persons_affected": 9000,
        "persons_by_country": {"US": 8000, "SG": 1000}, "persons_by_province": {"US-TX": 5000, "US-CA": 3000},
        "encrypted": False, "malicious": True,
    },
    {
        "event_kinds": ["cyberattack"], "nature": ["availability"], "roles": ["financial_entity", "bank"],
        "countries": ["DE"], "persons_by_country": {}, "persons_affected": 0, "critical_services_affected": True,
    },
    {"event_kinds": ["cybersecurity_incident"], "roles": ["network_operator"], "countries": ["CN"]},
)  # fmt: skip


def incidents(count: int) -> list[Facts]:
    """Incidents of several kinds, each found at a time of its own."""
    made = []
    for number in range(count):
        found = (AT - timedelta(hours=6) + timedelta(seconds=number)).isoformat()
        more = {"aware_at": found, "discovered_at": found, "site_unreachable_minutes": number % 90}
        known = dict(_KINDS[number % len(_KINDS)])
        if "availability" not in known.get("nature", ("availability",)):
            del more["site_unreachable_minutes"]
        made.append(Facts.parse(known | more))
    return made


def changed(facts: Facts, number: int) -> Facts:
    """The incident after one fact changed."""
    match number % 4:
        case 0:
            return facts.revise({"persons_affected": 1_000_000 + number})
        case 1:
            return facts.revise({"malicious": number % 8 == 1})
        case 2:
            return facts.revise({"direct_loss": {"CNY": number}})
        case _:
            return facts.revise({"risk_to_persons": "high"})


def _plain_law() -> PlainLaw:
    law = load_law()
    return PlainLaw(law.packs, law.schemes)


def _derived(law: Law, facts: Facts) -> list[Duty]:
    return derive(facts, law, standard_calendars(), at=AT)


def _said(duties: Iterable[Duty]) -> set[tuple[object, ...]]:
    return {(duty.id, duty.status, duty.strict_due, duty.legal_end, duty.clock) for duty in duties}


def _agree(ours: Law, plain: Law, found: Iterable[Facts]) -> None:
    for facts in found:
        assert _said(_derived(ours, facts)) == _said(_derived(plain, facts)), "both sides must derive the same duties"


def _timed(law: Law, found: list[Facts]) -> Work:
    def work() -> int:
        for facts in found:
            _derived(law, facts)
        return len(found)

    return work


def whole_law(folder: Path, count: int, runs: int) -> Comparison:
    """The whole law for one incident, again and again."""
    del folder
    ours, plain, one = load_law(), _plain_law(), incidents(2)
    _agree(ours, plain, one)
    return compare(
        "law: derive one incident",
        aim=WITHIN,
        ours=lambda run: _timed(ours, [one[n % 2] for n in range(count)]),
        bare=lambda run: _timed(plain, [one[n % 2] for n in range(count)]),
        runs=runs,
    )


def after_a_change(folder: Path, count: int, runs: int) -> Comparison:
    """Many incidents, each derived anew after one of its facts changed."""
    del folder
    ours, plain = load_law(), _plain_law()
    found = [changed(facts, number) for number, facts in enumerate(incidents(count))]
    _agree(ours, plain, found[:40])
    return compare(
        "law: derive after one change",
        aim=WITHIN,
        ours=lambda run: _timed(ours, found),
        bare=lambda run: _timed(plain, found),
        runs=runs,
    )


def judging(folder: Path, count: int, runs: int) -> Comparison:
    """The conditions alone, for many incidents after one change each."""
    del folder
    law = load_law()
    levels = {scheme.key: scheme.ranks() for scheme in law.schemes.values()}
    every = list(dict.fromkeys(_conditions(law)))
    plain = [PlainCondition.of(condition, levels) for condition in every]
    found = [changed(facts, number) for number, facts in enumerate(incidents(count))]
    graded = [{s.key: grade(s, facts).rank_range(s) for s in law.schemes.values()} for facts in found]

    def work(conditions: list[Condition] | list[PlainCondition]) -> Work:
        def judge() -> int:
            for facts, grades in zip(found, graded, strict=True):
                context = ConditionContext(facts, grades=grades, levels=levels)
                for condition in conditions:
                    condition.evaluate(context)
            return len(found)

        return judge

    return compare(
        "law: judge every condition",
        aim=WITHIN,
        ours=lambda run: work(every),
        bare=lambda run: work(plain),
        runs=runs,
    )


def _conditions(law: Law) -> Iterable[Condition]:
    for _, rule in law.rules():
        yield rule.bound_condition
        yield rule.trigger_condition
        yield from (exemption.condition for exemption in rule.exemptions if exemption.condition is not None)
