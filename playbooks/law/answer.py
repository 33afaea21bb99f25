"""What the command `tocsin duties` answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from incidents.facts.facts import Facts
from incidents.facts.organisation import OrganisationProfile
from playbooks.law.calendars import Calendars, standard_calendars
from playbooks.law.delays import DelayRequest
from playbooks.law.derive import derive
from playbooks.law.law import Law, load_law


def duties_json(
    facts: Mapping[str, Any] | Facts,
    at: datetime,
    profile: OrganisationProfile | None = None,
    *,
    law: Law | None = None,
    calendar: Calendars | None = None,
    submissions: Mapping[str, datetime] | None = None,
    grades: Mapping[str, str] | None = None,
    delays: Sequence[DelayRequest] = (),
) -> list[dict[str, Any]]:
    """The duties that a facts document raises at `at`, as JSON objects, possible ones first.

    Raises `InvalidInput` for faulty facts and `ValueError` when `at` has no offset.
    """
    known = facts if isinstance(facts, Facts) else Facts.parse(facts)
    duties = derive(
        known,
        law or load_law(),
        calendar or standard_calendars(),
        at=at,
        profile=profile,
        submissions=submissions,
        grades=grades,
        delays=delays,
    )
    return [duty.model_dump(mode="json") for duty in duties]
