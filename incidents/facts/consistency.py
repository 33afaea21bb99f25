"""Facts that cannot all be true. Unknown facts contradict nothing; only what is stated on both sides does.

Two things are allowed on purpose. Counts by place may add up to less than the total: the residence of some may not be
known. And one may be aware of an incident before it happens: a threat can be known before it does harm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from incidents.errors import FieldFault, InvalidInput
from incidents.facts.vocabulary import vocabulary

_PARTS_OF: Final = (
    ("persons_by_country", "persons_affected"),
    ("persons_by_province", "persons_affected"),
    ("persons_notified_by_province", "persons_notified"),
)
_AT_MOST: Final = (("sensitive_persons_affected", "persons_affected"),)
_BEGINS_BEFORE: Final = (
    ("occurred_at", "contained_at"),
    ("occurred_at", "recovered_at"),
    ("occurred_at", "handled_at"),
    ("occurred_at", "investigation_ended_at"),
    ("initial_submitted_at", "intermediate_submitted_at"),
)

Contradiction = tuple[str, str, str]
"""The fact that is wrong or makes the other wrong, the other fact, and a sentence that names both."""


def contradictions(values: Mapping[str, Any]) -> Iterator[Contradiction]:
    """Every pair of typed `values` (fact name -> value, known facts only) that cannot both be true."""
    for part, whole in _PARTS_OF:
        if part in values and whole in values and sum(values[part].values()) > values[whole]:
            counted = sum(values[part].values())
            shown = ", ".join(f"{place} {count}" for place, count in list(values[part].items())[:5])
            yield whole, part, f"{whole} is {values[whole]}, but {part} counts {counted} ({shown})."
    for part, whole in _AT_MOST:
        if part in values and whole in values and values[part] > values[whole]:
            yield whole, part, f"{whole} is {values[whole]}, but {part} is {values[part]}."
    yield from _residents(values)
    yield from _places(values)
    yield from _what_did_not_happen(values)
    for first, then in _BEGINS_BEFORE:
        if first in values and then in values and _before(values[then], values[first]):
            yield then, first, f"{then} ({values[then].isoformat()}) lies before {first} ({values[first].isoformat()})."


def _before(one: datetime, other: datetime) -> bool:
    return one < other


def _residents(values: Mapping[str, Any]) -> Iterator[Contradiction]:
    if "persons_by_country" not in values or "persons_by_province" not in values:
        return
    by_country: dict[str, int] = {}
    for place, count in values["persons_by_province"].items():
        by_country[place[:2]] = by_country.get(place[:2], 0) + count
    for country, count in by_country.items():
        total = values["persons_by_country"].get(country, 0)
        if count > total:
            sentence = f"persons_by_country counts {total} in {country}, but persons_by_province counts {count} there."
            yield "persons_by_country", "persons_by_province", sentence


def _places(values: Mapping[str, Any]) -> Iterator[Contradiction]:
    if "countries" not in values or "provinces" not in values:
        return
    for province in sorted(values["provinces"]):
        if province[:2] not in values["countries"]:
            listed = ", ".join(sorted(values["countries"])) or "none"
            yield (
                "countries",
                "provinces",
                f"provinces names {province}, but countries ({listed}) lacks {province[:2]}.",
            )


def _what_did_not_happen(values: Mapping[str, Any]) -> Iterator[Contradiction]:
    for spec, gate, word in vocabulary().gated:
        if spec.name not in values or gate not in values or not values[spec.name]:
            continue
        if word in vocabulary()[gate].closed(values[gate]) or values[spec.name] == next(iter(spec.values), None):
            continue
        shown = ", ".join(sorted(values[gate])) or "nothing"
        stated = values[spec.name]
        said = ", ".join(sorted(stated)) if isinstance(stated, frozenset) else str(stated).lower()
        yield gate, spec.name, f"{spec.name} is {said}, but {gate} ({shown}) lacks {word}, without which it is none."


def refuse_contradictions(values: Mapping[str, Any], *, about: Collection[str] | None = None) -> None:
    """Raise `InvalidInput` naming both facts of each contradiction; with `about`, only those that touch these facts."""
    found = [
        (first, second, sentence)
        for first, second, sentence in contradictions(values)
        if about is None or first in about or second in about
    ]
    if found:
        errors = [FieldFault(first, sentence) for first, _, sentence in found]
        more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
        raise InvalidInput(f"These facts contradict each other: {found[0][2]}{more}", errors=errors)
