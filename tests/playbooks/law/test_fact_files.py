"""Ten incidents of different kinds, each with every duty it gives, read line by line against the research tables.

A file says when it is judged and the facts. `expect` holds one entry per duty: its line (status, id, date), the
research record that raises it, and the reason in a sentence. `read` names the jurisdictions that were read record by
record, and `not_raised` says of every other record of theirs why it raises nothing (`x-*` stands for all records that
begin so). `not_in_the_reference` names law that bears on the case and that the tables do not hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from incidents.facts import Facts
from incidents.facts.strict_yaml import load_yaml
from playbooks.law import Duty, DutyStatus, derive, load_law, standard_calendars
from tests.reference import needs_reference, table

TABLES = ("obligations-cn-vn.yaml", "obligations-world.yaml")
LAW = load_law()
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
    return derive(Facts.parse(document["facts"]), LAW, standard_calendars(), at=at)


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = load_yaml(path.read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_fact_file_gives_these_duties_and_no_others(path: Path) -> None:
    document = read(path)
    assert sorted(map(line, derived(document))) == sorted(entry["duty"] for entry in document["expect"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_duty_names_the_record_that_its_rule_carries_and_a_reason(path: Path) -> None:
    for entry in read(path)["expect"]:
        rule_id = entry["duty"].split()[1].partition(":")[0]
        found = LAW.rule(rule_id)
        assert found is not None
        own = found[1].carries or (rule_id,)
        assert entry["record"] in own or rule_id.startswith(f"{entry['record']}-"), "a rule split off carries its stem"
        assert len(entry["why"]) > 20, entry


@needs_reference
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_record_of_the_jurisdictions_read_is_raised_or_has_a_reason_why_not(path: Path) -> None:
    document = read(path)
    raised = {entry["record"] for entry in document["expect"]}
    left_out = dict(_left_out(document))
    records = [record["id"] for name in TABLES for record in table(name) if record["jurisdiction"] in document["read"]]

    assert raised <= set(records), "a duty of a jurisdiction that nobody read"
    for record in records:
        reasons = [pattern for pattern in left_out if fnmatchcase(record, pattern)]
        assert len(reasons) + (record in raised) == 1, (record, reasons)
    assert not [pattern for pattern in left_out if not any(fnmatchcase(record, pattern) for record in records)]


def _left_out(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for entry in document["not_raised"]:
        for pattern in entry["records"]:
            yield pattern, entry["why"]


def test_there_are_ten_of_different_kinds() -> None:
    assert len(FILES) == 10
    assert len({tuple(entry["duty"] for entry in read(path)["expect"]) for path in FILES}) == 10


def test_what_the_tables_do_not_hold_is_said() -> None:
    assert sum(bool(read(path)["not_in_the_reference"]) for path in FILES) >= 7


def test_every_reason_of_every_duty_stands_in_both_languages() -> None:
    for path in FILES:
        for duty in derived(read(path)):
            kinds = {reason.kind for reason in duty.why}
            assert {"rule", "bound", "trigger", "condition", "clock", "source"} <= kinds, duty.id
            assert ("counsel" in kinds) == (duty.confidence == "low"), duty.id
            assert ("deadline" in kinds) >= (duty.strict_due is not None), duty.id
            assert all(reason.text["en"].strip() and reason.text["zh"].strip() for reason in duty.why), duty.id
