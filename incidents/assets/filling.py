"""Which facts of an incident its linked assets fill, without touching what people stated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from incidents.assets.events import AssetDescription
from incidents.facts import UNKNOWN, Facts, OrganisationProfile, join, parse_changes, vocabulary
from incidents.facts.values import Json
from incidents.incident.incident import Incident

COUNTS = frozenset({"persons_affected", "persons_by_country", "persons_by_province", "sensitive_persons_affected"})
"""Counts that must agree with each other: where people stated one of them, the register adds none."""

Assets = Sequence[AssetDescription]
_Tell = Callable[[Assets, Facts], Any]


@dataclass(frozen=True, slots=True)
class Filling:
    """What the linked assets tell of an incident."""

    facts: Mapping[str, Json]
    """To be stated, in normal form; `unknown` where an asset told something before that no longer holds."""
    kept: tuple[str, ...]
    """Facts that the assets could tell as well, but that people stated."""


def fill(incident: Incident, assets: Assets, profile: OrganisationProfile | None) -> Filling:
    """The facts that follow from all assets linked to an incident.

    - What people stated for the incident stays as it is.
    - Sets are complete lists, so assets add their words to what the organisation's profile says. A set that is about
      the organisation as a whole is only added to: assets cannot tell the complete list.
    - Persons are added up. Somebody whose data is in two assets is counted twice: the higher figure is the safe one
      until people state how many there are. As long as one asset's persons are not counted, the number is unknown.
    """
    by_people = {name: value for name, value in incident.facts.items() if name not in incident.facts_from_assets}
    closed = COUNTS if COUNTS & by_people.keys() else frozenset()
    base = join(profile, Facts.parse(by_people))
    facts: dict[str, Any] = {}
    kept = []
    for name, tell in _TELLS.items():
        value = tell(assets, base)
        if name in by_people or name in closed:
            if value is not None:
                kept.append(name)
            value = None
        if value is not None:
            facts[name] = value
        elif name in incident.facts_from_assets:
            facts[name] = UNKNOWN
    return Filling(parse_changes(facts), tuple(kept))


def _union(name: str, words: Callable[[AssetDescription], Sequence[str] | frozenset[str]]) -> _Tell:
    is_of_organisation = vocabulary()[name].scope == "organisation"

    def tell(assets: Assets, base: Facts) -> list[str] | None:
        added = frozenset(word for asset in assets for word in words(asset))
        before = base.get(name)
        if isinstance(before, frozenset):
            return sorted(added | before) if added - before else None
        return sorted(added) if added and not is_of_organisation else None

    return tell


def _persons(assets: Assets, _base: Facts) -> int | None:
    counted = [asset.persons_total for asset in assets if asset.is_personal]
    return sum(number for number in counted if number is not None) if counted and None not in counted else None


def _persons_by_country(assets: Assets, _base: Facts) -> dict[str, int] | None:
    spread = [asset.persons_everywhere for asset in assets if asset.is_personal]
    if not spread or None in spread:
        return None
    sums: Counter[str] = Counter()
    for one in spread:
        sums.update(one)
    return dict(sorted(sums.items()))


_TELLS: Mapping[str, _Tell] = {
    "data_classes": _union("data_classes", lambda asset: asset.fact_classes),
    "persons_affected": _persons,
    "persons_by_country": _persons_by_country,
    "countries": _union("countries", lambda asset: asset.countries),
    "sectors": _union("sectors", lambda asset: asset.sectors),
    "system_classes": _union("system_classes", lambda asset: asset.system_classes),
}
