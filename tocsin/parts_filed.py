"""What incidents that became part of another had filed already, beside the duties of the whole."""

from __future__ import annotations

from uuid import UUID

from incidents.reference import reference_of
from playbooks.duties.service import DutyService
from projections.deadlines.deadlines import Deadline
from projections.paging import Page


def with_parts(page: Page[Deadline], duties: DutyService, incident_id: UUID) -> Page[Deadline]:
    """The same duties, each with the submissions of merged parts that may have told of the whole."""
    filed = duties.filed_for_parts(incident_id)
    if not filed:
        return page
    items = tuple(
        duty.model_copy(
            update={
                "filed_for_parts": tuple(
                    {"reference": reference_of(part), "submitted_at": at} for part, at in filed.get(duty.duty_id, ())
                )
            }
        )
        for duty in page.items
    )
    return page.model_copy(update={"items": items})
