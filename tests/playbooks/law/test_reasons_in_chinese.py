"""A reader of Chinese is told facts, grades and clocks in Chinese words, not by ids."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from incidents.facts import Facts
from playbooks.law.calendars import standard_calendars
from playbooks.law.derive import derive
from playbooks.law.law import load_law

SCENARIOS = sorted(Path(__file__).parent.joinpath("facts").glob("*.yaml"))
IN_WORDS = {"bound", "trigger", "grade", "clock", "assumption", "settle"}
RAW = re.compile(r"\b[a-z]+(?:_[a-z0-9]+)+\b")
"""How ids of facts, their values, criteria and clock events are written."""


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_no_id_stands_where_a_word_belongs(path: Path) -> None:
    scenario = yaml.safe_load(path.read_text(encoding="utf-8"))
    duties = derive(
        Facts.parse(scenario["facts"]),
        load_law(),
        standard_calendars(),
        at=datetime.fromisoformat(scenario["at"]),
        grades={"cn-2025": "major"} if "CN" in scenario["facts"].get("countries", ()) else None,
    )
    raw = {
        found
        for duty in duties
        for reason in duty.why
        if reason.kind in IN_WORDS
        for found in RAW.findall(reason.text["zh"])
    }
    assert not raw


def test_a_grade_names_scheme_level_and_criteria_in_the_readers_language() -> None:
    scenario = yaml.safe_load(SCENARIOS[1].read_text(encoding="utf-8"))
    duties = derive(
        Facts.parse(scenario["facts"]),
        load_law(),
        standard_calendars(),
        at=datetime.fromisoformat(scenario["at"]),
    )
    grades = {reason.text["zh"] for duty in duties for reason in duty.why if reason.kind == "grade"}
    assert grades
    assert not [text for text in grades if re.search(r"[a-z]{4,}", text)]
