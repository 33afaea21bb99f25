"""What is known of an incident: facts stated, facts the lifecycle tells, facts of the organisation."""

from __future__ import annotations

from datetime import datetime

from incidents.facts import Facts, OrganisationProfile, join
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


def _text(instant: datetime) -> str:
    return instant.isoformat()
