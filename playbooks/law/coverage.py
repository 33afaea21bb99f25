"""What the packs cover: by jurisdiction, and which rules carry each record of the research tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date

from pydantic import BaseModel, ConfigDict

from playbooks.law.law import Law
from playbooks.law.pack import Pack, Rule, Status


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InstrumentCoverage(_Frozen):
    """One instrument. `in_force` counts its rules that bind on the day asked about."""

    id: str
    title: Mapping[str, str]
    citation: str
    status: Status
    in_force_from: date | None
    in_force_to: date | None
    version: str
    checked_on: date
    rules: int
    cases: int
    in_force: int
    confidence: Mapping[str, int]


class JurisdictionCoverage(_Frozen):
    """The instruments of one jurisdiction and their sums."""

    jurisdiction: str
    instruments: tuple[InstrumentCoverage, ...]
    rules: int
    cases: int
    in_force: int
    confidence: Mapping[str, int]


class Coverage(_Frozen):
    """Everything at a glance. `records` maps the id of a research record to the rules that carry it."""

    on: date
    jurisdictions: tuple[JurisdictionCoverage, ...]
    instruments: int
    rules: int
    cases: int
    in_force: int
    records: Mapping[str, tuple[str, ...]]


def is_in_force(pack: Pack, rule: Rule, on: date) -> bool:
    """Whether the rule binds on that day."""
    begins = rule.in_force_from or pack.instrument.in_force_from
    ends = rule.in_force_to or pack.instrument.in_force_to
    status = rule.status or pack.instrument.status
    if status is Status.NOT_YET_IN_FORCE and begins is None:
        return False
    binding = status in (Status.IN_FORCE, Status.NOT_YET_IN_FORCE)
    return binding and (begins is None or begins <= on) and (ends is None or on <= ends)


def coverage(law: Law, on: date) -> Coverage:
    """What `law` covers, and what of it is in force on the day `on`."""
    by_place: dict[str, list[InstrumentCoverage]] = {}
    for pack in law.packs:
        by_place.setdefault(pack.instrument.jurisdiction, []).append(_of_instrument(pack, on))
    places = tuple(_of_place(place, sorted(found, key=lambda i: i.id)) for place, found in sorted(by_place.items()))
    records: dict[str, list[str]] = {}
    for _, rule in law.rules():
        for record in rule.records:
            records.setdefault(record, []).append(rule.id)
    return Coverage(
        on=on,
        jurisdictions=places,
        instruments=len(law.packs),
        rules=sum(place.rules for place in places),
        cases=sum(place.cases for place in places),
        in_force=sum(place.in_force for place in places),
        records={record: tuple(rules) for record, rules in sorted(records.items())},
    )


def _of_instrument(pack: Pack, on: date) -> InstrumentCoverage:
    instrument = pack.instrument
    return InstrumentCoverage(
        id=instrument.id,
        title=instrument.title,
        citation=instrument.citation,
        status=instrument.status,
        in_force_from=instrument.in_force_from,
        in_force_to=instrument.in_force_to,
        version=instrument.version,
        checked_on=instrument.checked_on,
        rules=len(pack.rules),
        cases=len(pack.cases),
        in_force=sum(is_in_force(pack, rule, on) for rule in pack.rules),
        confidence=_levels(Counter(rule.confidence for rule in pack.rules)),
    )


def _of_place(place: str, found: list[InstrumentCoverage]) -> JurisdictionCoverage:
    levels: Counter[str] = Counter()
    for one in found:
        levels.update(one.confidence)
    return JurisdictionCoverage(
        jurisdiction=place,
        instruments=tuple(found),
        rules=sum(one.rules for one in found),
        cases=sum(one.cases for one in found),
        in_force=sum(one.in_force for one in found),
        confidence=_levels(levels),
    )


def _levels(counted: Mapping[str, int]) -> dict[str, int]:
    return {level: counted.get(level, 0) for level in ("high", "medium", "low")}
