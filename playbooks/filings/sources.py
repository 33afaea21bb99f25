"""Which facts answer which demanded item: read once from `sources.yaml`, applied to the facts of an incident."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal
from zoneinfo import ZoneInfo

from incidents.facts import Facts, OrganisationProfile, vocabulary
from incidents.facts.places import regions
from incidents.facts.strict_yaml import load_yaml
from incidents.record.event import Model
from playbooks.filings.values import in_words, label


class Source(Model):
    """What answers one item."""

    facts: tuple[str, ...] = ()
    profile: tuple[Literal["organisation", "contact"], ...] = ()
    residents: bool = False
    suggest: tuple[str, ...] = ()
    only_if: Literal["late", "ransomware"] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What facts or profile say about an item."""

    text: str
    source: Literal["facts", "profile", "not_applicable"]


_NOT_ASKED = {
    "late": {"en": "Not applicable: within the period.", "zh-Hans": "不适用：未逾期。"},
    "ransomware": {"en": "Not applicable: no ransomware.", "zh-Hans": "不适用：非勒索软件事件。"},
}


@cache
def sources() -> Mapping[str, Source]:
    """Item id to what answers it."""
    text = files("playbooks.filings").joinpath("sources.yaml").read_text("utf-8")
    return {name: Source.model_validate(entry) for name, entry in load_yaml(text).items()}


def answer_of(
    item: str,
    facts: Facts,
    profile: OrganisationProfile,
    jurisdiction: str,
    language: str,
    zone: ZoneInfo,
    *,
    late: bool = False,
) -> Answer | None:
    """The answer that facts or profile give; None where a person has to write it. `late`: the deadline has passed."""
    source = sources().get(item)
    if source is None:
        return None
    if (source.only_if == "late" and not late) or (source.only_if == "ransomware" and _no_ransom(facts)):
        return Answer(_NOT_ASKED[source.only_if][language], "not_applicable")
    if source.profile:
        parts = [_of_profile(part, profile, language) for part in source.profile]
        return Answer("; ".join(parts), "profile") if all(parts) else None
    text = _of_facts(source, facts, jurisdiction, language, zone)
    return Answer(text, "facts") if text else None


def _of_facts(source: Source, facts: Facts, jurisdiction: str, language: str, zone: ZoneInfo) -> str:
    if source.residents and (count := _residents(facts, jurisdiction)) is not None:
        return f"{jurisdiction}: {count}"
    known = all(name in facts.known() for name in source.facts)
    return _stated(source.facts, facts, language, zone) if source.facts and known else ""


def suggestion_of(item: str, facts: Facts, language: str, zone: ZoneInfo) -> str:
    """What is known that bears on the item; empty when nothing is."""
    source = sources().get(item)
    if source is None:
        return ""
    known = facts.known()
    return _stated([name for name in (*source.facts, *source.suggest) if name in known], facts, language, zone)


def _stated(names: tuple[str, ...] | list[str], facts: Facts, language: str, zone: ZoneInfo) -> str:
    colon, stop = ("：", "；") if language.startswith("zh") else (": ", "; ")
    words = vocabulary()
    return stop.join(f"{label(words[name], language)}{colon}{in_words(facts, name, language, zone)}" for name in names)


def _of_profile(part: str, profile: OrganisationProfile, language: str) -> str:
    if part == "organisation":
        ids = ", ".join(f"{one.scheme} {one.value}" for one in profile.legal_ids)
        name = profile.names.get(language, profile.name)
        return f"{name} ({ids})" if ids else name
    contact = profile.dpo or profile.incident_contact
    if contact is None:
        return ""
    said = (contact.called(language), contact.email, contact.phone, contact.address)
    return ", ".join(part for part in said if part)


def _no_ransom(facts: Facts) -> bool:
    """Whether it is known that no ransom is at issue."""
    kinds = facts.get("event_kinds")
    return isinstance(kinds, frozenset) and "ransomware" not in kinds and facts.get("ransom_demanded") is not True


def _residents(facts: Facts, jurisdiction: str) -> int | None:
    """How many affected people live in the place of the law; None where that is not known."""
    name = "persons_by_province" if "-" in jurisdiction else "persons_by_country"
    counts = facts.known().get(name)
    if not isinstance(counts, Mapping):
        return None
    places = regions().get(jurisdiction.lower(), (jurisdiction,))
    return sum(int(counts.get(place, 0)) for place in places)
