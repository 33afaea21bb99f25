"""The form of a filing: every item its duty demands, with what answers it. Pure.

An item is answered by what a person wrote, else by facts or by the organisation profile. Where the stage of the law
allows a report "as far as known", a person may say that an item is not yet known; the document then says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from incidents.facts import Facts, OrganisationProfile
from incidents.record.event import Model
from playbooks.duties.events import DutyOnRecord
from playbooks.filings.filing import Said, Standing
from playbooks.filings.sources import Answer, answer_of, suggestion_of

MAY_BE_UNKNOWN_AT = frozenset({"early_warning", "initial", "intermediate", "update"})
"""Stages whose reports are made as far as is known, and followed by another. A final report, a notice to people, a
record or a report under a contract is whole, or somebody answers for what it lacks."""

State = Literal["written", "from_facts", "from_profile", "not_applicable", "not_yet_known", "missing"]


class FormItem(Model):
    """One demanded item and what the filing says about it."""

    id: str
    text: str
    """What the law asks for, in the language of the form."""
    state: State
    answer: str = ""
    """For `not_yet_known`: what a person added, such as when it will follow."""
    may_be_unknown: bool = False
    suggestion: str = ""
    """What is known that bears on it, for whoever writes it."""
    written_by: str | None = None
    written_at: datetime | None = None


_STATES: Mapping[str, State] = {
    "facts": "from_facts",
    "profile": "from_profile",
    "not_applicable": "not_applicable",
}


def items_of(
    duty: DutyOnRecord,
    said: Mapping[str, Said],
    facts: Facts,
    profile: OrganisationProfile,
    language: str,
    *,
    at: datetime,
) -> tuple[FormItem, ...]:
    """The items that the duty demands, in the order of the law. `at`: when it goes out, which may be too late."""
    zone = ZoneInfo(duty.time_zone)
    late = duty.strict_due is not None and at > duty.strict_due
    found = []
    for name in duty.contents:
        answer = answer_of(name, facts, profile, duty.jurisdiction, language, zone, late=late)
        found.append(
            _item(name, duty, said.get(name), answer, language).model_copy(
                update={"suggestion": suggestion_of(name, facts, language, zone)}
            )
        )
    return tuple(found)


def may_be_unknown(duty: DutyOnRecord, profile: OrganisationProfile, facts: Facts) -> frozenset[str]:
    """The items that may be left as not yet known: none outside an early stage, and never who we are."""
    if duty.stage not in MAY_BE_UNKNOWN_AT:
        return frozenset()
    zone = ZoneInfo(duty.time_zone)
    return frozenset(
        name
        for name in duty.contents
        if (answer := answer_of(name, facts, profile, duty.jurisdiction, "en", zone)) is None
        or answer.source != "profile"
    )


def standing_of(
    duty: DutyOnRecord,
    said: Mapping[str, Said],
    facts: Facts,
    profile: OrganisationProfile,
    *,
    at: datetime,
    points: Sequence[UUID] = (),
    warnings: Sequence[str] = (),
) -> Standing:
    """What the filing is judged by. The digest is the same in every language of the form."""
    items = items_of(duty, said, facts, profile, "en", at=at)
    says = {item.id: [item.state, item.answer] for item in items}
    whole = json.dumps([duty.duty_id, duty.recipient, says], ensure_ascii=False, sort_keys=True)
    return Standing(
        digest=hashlib.sha256(whole.encode()).hexdigest(),
        missing={item.id: item.text for item in items if item.state == "missing"},
        not_yet_known=tuple(item.id for item in items if item.state == "not_yet_known"),
        points=tuple(sorted(points, key=str)),
        warnings=tuple(warnings),
    )


def words_of(duty: DutyOnRecord, item: str, language: str) -> str:
    """What the law asks for by this item: in the language, else in English, else its id."""
    texts = duty.content_texts.get(item, {})
    return texts.get(language) or texts.get(language.partition("-")[0]) or texts.get("en") or item


def _item(name: str, duty: DutyOnRecord, said: Said | None, answer: Answer | None, language: str) -> FormItem:
    text = words_of(duty, name, language)
    open_ended = duty.stage in MAY_BE_UNKNOWN_AT and (answer is None or answer.source != "profile")
    if said is not None:
        state: State = "not_yet_known" if said.item.not_yet_known else "written"
        return FormItem(
            id=name,
            text=text,
            state=state,
            answer=said.item.text,
            may_be_unknown=open_ended,
            written_by=said.by,
            written_at=said.at,
        )
    if answer is not None:
        state = _STATES[answer.source]
        return FormItem(id=name, text=text, state=state, answer=answer.text, may_be_unknown=open_ended)
    return FormItem(id=name, text=text, state="missing", may_be_unknown=open_ended)
