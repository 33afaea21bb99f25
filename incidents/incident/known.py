"""What is known of an incident: facts stated, facts the lifecycle tells, facts of the organisation."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from incidents.facts import Facts, FactType, OrganisationProfile, join, vocabulary
from incidents.incident.incident import Incident
from incidents.incident.lifecycle import Phase

_TOLD_BY_PHASE = {
    "discovered_at": Phase.TRIAGED,
    "aware_at": Phase.TRIAGED,
    "contained_at": Phase.CONTAINED,
    "recovered_at": Phase.RECOVERED,
    "handled_at": Phase.CLOSED,
}
"""Times nobody should have to type twice. Triage is when a person confirmed it: the latest moment at which the
organisation can be said to have found it and to be aware. Whoever knows an earlier one states the fact."""


def known_facts(incident: Incident, profile: OrganisationProfile | None = None) -> Facts:
    """All facts that law may be asked with. What was stated goes before what the lifecycle tells, and that before
    what is true of the organisation in general."""
    told: dict[str, str] = {}
    if incident.alerts:
        told["detected_at"] = _text(min(alert.detected_at for alert in incident.alerts.values()))
    for name, phase in _TOLD_BY_PHASE.items():
        if phase in incident.phase_times:
            told[name] = _text(incident.phase_times[phase])
    return join(profile, Facts.parse(told).revise(incident.facts))


def handed_over(part: Incident, whole: Incident) -> dict[str, Any]:
    """What a merged incident knows that the one it is part of does not: facts unknown there, and earlier times.

    Counts are not added up: the same people may be in both. Whoever merges looks at them again.
    """
    here, there = known_facts(part), known_facts(whole)

    def is_news(name: str) -> bool:
        return there.get(name) is None or (name in _INSTANTS and _before(here.instant(name), there.instant(name)))

    return {name: value for name, value in here.known().items() if is_news(name)}


def _before(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and one < other


_INSTANTS = frozenset(spec.name for spec in vocabulary() if spec.type is FactType.INSTANT)


def _text(instant: datetime) -> str:
    return instant.isoformat()
