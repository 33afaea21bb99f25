"""Incidents that became one: which ones an incident is made of, and which one an incident is part of in the end."""

from __future__ import annotations

from uuid import UUID

from incidents.incident.incident import Incident
from incidents.record import Record


def parts_of(record: Record, incident: Incident) -> list[UUID]:
    """All incidents that became part of this one, directly or through another."""
    found: dict[UUID, None] = {}
    waiting = sorted(incident.absorbed)
    while waiting:
        part = waiting.pop(0)
        if part not in found:
            found[part] = None
            of_part = record.find(Incident, part)
            waiting += sorted(of_part.absorbed) if of_part is not None else []
    return list(found)


def whole_of(record: Record, incident: Incident) -> Incident:
    """The incident that this one is part of in the end; itself when it was merged into none."""
    seen = {incident.id}
    while incident.merged_into is not None and incident.merged_into not in seen:
        seen.add(incident.merged_into)
        incident = record.load(Incident, incident.merged_into)
    return incident
