"""Duties whose names a page needs, to say in words what a notice lacks."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from projections.deadlines.deadlines import Deadline, deadlines
from tocsin.services import Services

MOST = 500
"""Duties of one incident that are looked through."""


def duties_behind(services: Services, incident_id: UUID, *ids: Sequence[str]) -> tuple[Deadline, ...]:
    """The incident's duties; none where no id of a duty or of an item waits for its name."""
    if not any(ids):
        return ()
    now = services.clock.now()
    return deadlines(services.engine, now=now, incident_id=incident_id, include="all", limit=MOST).items
