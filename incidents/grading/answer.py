"""What the command `tocsin grade` answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from incidents.facts.facts import Facts, join
from incidents.facts.organisation import OrganisationProfile
from incidents.grading.grade import grade
from incidents.grading.scheme import GradingScheme, scheme_named


def grade_json(
    scheme: str | GradingScheme,
    facts: Mapping[str, Any] | Facts,
    *,
    profile: OrganisationProfile | None = None,
    drafts: bool = False,
) -> dict[str, Any]:
    """Grade a facts document by a scheme (id, key or object) as JSON.

    Keys: `scheme`, `version`, `level`, `rank`, `title`, `reportable`, `highest_possible`, `settled`, `met`, `open`,
    `draft_met`, `draft_open`, `open_facts`, `qualitative`. Raises `InvalidInput` for faulty facts and `NotFound` for an
    unknown scheme.
    """
    chosen = scheme_named(scheme) if isinstance(scheme, str) else scheme
    known = join(profile, facts if isinstance(facts, Facts) else Facts.parse(facts))
    answer = grade(chosen, known, drafts=drafts).model_dump(mode="json")
    above = [item for item in chosen.qualitative if chosen.level(item.level).rank > answer["rank"]]
    answer["qualitative"] = [item.model_dump(mode="json", include={"level", "any_of"}) for item in above]
    return answer
