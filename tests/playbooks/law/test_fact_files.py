"""Ten incidents of different kinds, each with every duty it gives, read line by line against the research tables.

A file says when it is judged, the facts, and under `expect` one line per duty: status, id, and its date.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from incidents.facts import Facts
from incidents.facts.strict_yaml import load_yaml
from playbooks.law import Duty, DutyStatus, derive, load_law, standard_calendars

FILES = sorted((Path(__file__).parent / "facts").glob("*.yaml"))


def line(duty: Duty) -> str:
    """`due <id> <strict> [/ <legal end>]`, `possible <id> from <earliest> by <facts>` and the like."""
    said = f"{duty.status} {duty.id}"
    if duty.strict_due is not None and duty.legal_end is not None:
        said += f" {duty.strict_due.isoformat()}"
        if duty.legal_end != duty.strict_due:
            said += f" / {duty.legal_end.isoformat()}"
    elif duty.reminder_at is not None:
        said += f" reminder {duty.reminder_at.isoformat()}"
    if duty.status is DutyStatus.POSSIBLE:
        said += f" from {duty.earliest_deadline.isoformat()}" if duty.earliest_deadline else ""
        said += f" by {', '.join(sorted(duty.settle_by))}"
    if duty.status is DutyStatus.WAITING_FOR_CLOCK:
        said += f" after {duty.clock.event}"
    if duty.confidence == "low":
        said += " (low confidence)"
    return said


def derived(document: dict[str, Any]) -> list[Duty]:
    """The duties of a file."""
    at = datetime.fromisoformat(document["at"])
    return derive(Facts.parse(document["facts"]), load_law(), standard_calendars(), at=at)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_fact_file_gives_these_duties_and_no_others(path: Path) -> None:
    document = load_yaml(path.read_text(encoding="utf-8"))
    assert sorted(map(line, derived(document))) == sorted(document["expect"])


def test_there_are_ten_of_different_kinds() -> None:
    assert len(FILES) == 10
    assert len({tuple(load_yaml(path.read_text(encoding="utf-8"))["expect"]) for path in FILES}) == 10


def test_every_reason_of_every_duty_stands_in_both_languages() -> None:
    for path in FILES:
        for duty in derived(load_yaml(path.read_text(encoding="utf-8"))):
            kinds = {reason.kind for reason in duty.why}
            assert {"rule", "bound", "trigger", "condition", "clock", "source"} <= kinds, duty.id
            assert ("counsel" in kinds) == (duty.confidence == "low"), duty.id
            assert ("deadline" in kinds) >= (duty.strict_due is not None), duty.id
            assert all(reason.text["en"].strip() and reason.text["zh"].strip() for reason in duty.why), duty.id
