"""From a duty to the place whose authority is meant, and from a place to the wider ones around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from incidents.facts import Facts, OrganisationProfile
from incidents.facts.places import regions


def role_of(duty_id: str) -> str:
    """The recipient role in a duty's id (`rule:role:stage`); empty when there is none."""
    parts = duty_id.split(":")
    return parts[1] if len(parts) > 2 else ""


def around(place: str) -> Iterator[str]:
    """The place itself, then its country, then the regions of law that the country belongs to (smallest first)."""
    yield place
    country = place[:2]
    if country != place:
        yield country
    members = regions()
    for name in sorted(members, key=lambda name: len(members[name])):
        if country in members[name]:
            yield name.upper()


def place_of(jurisdiction: str, facts: Facts, profile: OrganisationProfile | None = None) -> str:
    """Where the authority of a duty is to be looked for.

    Of a region: the country of the main establishment there, else of an establishment, else the only one concerned.
    Of a country: the province of the establishment there, else the only province concerned. Otherwise the
    jurisdiction itself.
    """
    members = regions().get(jurisdiction.lower())
    if members is not None:
        return _country_in(members, facts, profile) or jurisdiction
    own = profile.establishment_in((jurisdiction,)) if profile is not None else None
    if own is not None and own.place != jurisdiction:
        return own.place
    provinces = facts.get("provinces")
    there = [code for code in provinces if code[:2] == jurisdiction] if isinstance(provinces, frozenset) else []
    return there[0] if len(there) == 1 else jurisdiction


def _country_in(members: tuple[str, ...], facts: Facts, profile: OrganisationProfile | None) -> str | None:
    main = facts.get("main_establishment")
    if isinstance(main, str) and main in members:
        return main
    own = profile.establishment_in(members) if profile is not None else None
    if own is not None:
        return own.place
    for name in ("countries", "persons_by_country"):
        stated = facts.get(name)
        there = [code for code in members if isinstance(stated, frozenset | Mapping) and code in stated]
        if len(there) == 1:
            return there[0]
    return None
