"""Where the authority of a rule sits: the time zone and calendar its periods are counted in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from incidents.facts.facts import Facts
from incidents.facts.organisation import OrganisationProfile
from incidents.facts.places import country_zones, regions
from playbooks.law.pack import Forum, Rule


@dataclass(frozen=True, slots=True)
class Seat:
    """The zone and the place whose calendar counts; `why` names the fact that decided."""

    zone: ZoneInfo
    place: str
    why: str


def seat(forum: Forum, rule: Rule, facts: Facts, profile: OrganisationProfile | None) -> Seat:
    """The seat for one incident.

    Within a region: the country of the main establishment, else an establishment there, else the only country of the
    region that the incident concerns; otherwise the default of the pack.
    """
    if forum.region is None:
        return Seat(ZoneInfo(rule.time_zone or forum.time_zone), forum.calendar, "pack")
    members = regions()[forum.region]
    main = facts.get("main_establishment")
    if isinstance(main, str) and main in members:
        return _in_country(main, "main_establishment")
    own = profile.establishment_in(members) if profile is not None else None
    if own is not None:
        zone = own.time_zone or country_zones()[own.country]
        return Seat(ZoneInfo(zone), own.place, "establishments")
    for name in ("countries", "persons_by_country"):
        stated = facts.get(name)
        there = [code for code in members if isinstance(stated, frozenset | Mapping) and code in stated]
        if len(there) == 1:
            return _in_country(there[0], name)
    return Seat(ZoneInfo(forum.time_zone), forum.calendar, "pack")


def _in_country(country: str, why: str) -> Seat:
    return Seat(ZoneInfo(country_zones()[country]), country, why)
