"""The difference between duties on record and duties derived."""

from __future__ import annotations

from typing import Any

from incidents.facts import Facts
from playbooks.law import Duty, DutyStatus, derive, diff, load_law, standard_calendars
from tests.playbooks.law.test_derive import AT, BREACH


def derived(**changes: Any) -> list[Duty]:
    facts = Facts.parse(BREACH).revise(changes)
    return derive(facts, load_law(), standard_calendars(), at=AT)


def test_nothing_changes_when_nothing_changed() -> None:
    assert not diff(derived(), derived())
    reread = [Duty.model_validate_json(duty.model_dump_json()) for duty in derived()]
    assert not diff(reread, derived()), "what was stored and read back is the same duty"


def test_new_duties_are_identified_and_settled_ones_lifted() -> None:
    changes = diff(derived(), derived(risk_to_persons="risk"))
    lifted = {duty.rule for duty in changes.lifted if duty.jurisdiction == "EU"}
    assert lifted == {"eu-gdpr-34-individuals", "eu-gdpr-34-3c-public"}
    back = diff(derived(risk_to_persons="risk"), derived())
    assert {duty.rule for duty in back.identified if duty.jurisdiction == "EU"} == lifted
    assert diff([], derived()).identified == tuple(derived())


def test_a_revision_names_what_changed() -> None:
    changes = diff(derived(), derived(aware_at="2026-11-20T08:05:00+08:00"))
    gdpr = next(r for r in changes.revised if r.after.rule == "eu-gdpr-33-1-authority")
    assert set(gdpr.fields) == {"clock", "strict_due", "legal_end"}
    settled = diff(derived(), derived(risk_to_persons="high"))
    people = next(r for r in settled.revised if r.after.rule == "eu-gdpr-34-individuals")
    assert (people.before.status, people.after.status) == (DutyStatus.POSSIBLE, DutyStatus.DUE)
    assert "status" in people.fields


def test_another_explanation_is_not_another_duty() -> None:
    assert not diff(derived(), derived(records_affected=5))
    one = derived()[0]
    assert not diff([one], [one.model_copy(update={"why": (), "note": "reworded", "pack_version": "9"})])
