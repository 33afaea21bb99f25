"""The example matrix P1 to P4: every cell, every number at its edge, and what unknown facts leave open."""

from __future__ import annotations

from typing import Any

import pytest

from incidents.facts import Facts
from incidents.grading import grade, load_schemes
from incidents.grading.grade import GradeResult

SCHEME = load_schemes()["internal-p"]
QUIET: dict[str, Any] = {
    "critical_services_affected": False,
    "death_or_serious_health_damage": False,
    "service_adversely_affected": False,
    "users_affected": 0,
    "persons_affected": 0,
    "ongoing": False,
    "publicly_known": False,
    "malicious": False,
    "service_outage_minutes": 0,
}
IMPACT: dict[str, dict[str, Any]] = {
    "low": {"users_affected": 499, "persons_affected": 999},
    "medium": {"users_affected": 9_999, "persons_affected": 99_999, "service_adversely_affected": True},
    "high": {"critical_services_affected": True, "users_affected": 10_000, "service_adversely_affected": True},
}
URGENCY: dict[str, dict[str, Any]] = {
    "low": {"malicious": True, "service_outage_minutes": 500},
    "medium": {"ongoing": True, "service_outage_minutes": 29},
    "high": {"ongoing": True, "malicious": True},
}
MATRIX = {
    ("high", "high"): "p1",
    ("high", "medium"): "p2",
    ("high", "low"): "p3",
    ("medium", "high"): "p2",
    ("medium", "medium"): "p3",
    ("medium", "low"): "p4",
    ("low", "high"): "p3",
    ("low", "medium"): "p4",
    ("low", "low"): "p4",
}


def graded(facts: dict[str, Any]) -> GradeResult:
    return grade(SCHEME, Facts.parse(facts))


@pytest.mark.parametrize(("cell", "level"), MATRIX.items(), ids=[f"{i}-{u}" for i, u in MATRIX])
def test_every_cell_of_the_matrix(cell: tuple[str, str], level: str) -> None:
    result = graded(QUIET | IMPACT[cell[0]] | URGENCY[cell[1]])
    assert (result.level, result.settled, result.reportable) == (level, True, False)


# (facts, what they give, one step below, what that gives); everything else is quiet
BURNING = {"ongoing": True, "malicious": True}
DOWN = {"ongoing": True, "service_outage_minutes": 30}
EDGES: list[tuple[dict[str, Any], str, dict[str, Any], str]] = [
    (BURNING | {"users_affected": 10_000}, "p1", {"users_affected": 9_999}, "p2"),
    (BURNING | {"persons_affected": 100_000}, "p1", {"persons_affected": 99_999}, "p2"),
    (BURNING | {"critical_services_affected": True}, "p1", {"critical_services_affected": False}, "p3"),
    (BURNING | {"death_or_serious_health_damage": True}, "p1", {"death_or_serious_health_damage": False}, "p3"),
    (BURNING | {"users_affected": 500}, "p2", {"users_affected": 499}, "p3"),
    (BURNING | {"persons_affected": 1_000}, "p2", {"persons_affected": 999}, "p3"),
    (BURNING | {"service_adversely_affected": True}, "p2", {"service_adversely_affected": False}, "p3"),
    (BURNING | {"users_affected": 500}, "p2", {"malicious": False}, "p3"),
    (BURNING | {"users_affected": 500}, "p2", {"ongoing": False}, "p4"),
    (DOWN, "p3", {"service_outage_minutes": 29}, "p4"),
    (DOWN | {"users_affected": 10_000}, "p1", {"service_outage_minutes": 29}, "p2"),
    (DOWN | {"users_affected": 500}, "p2", {"service_outage_minutes": 29}, "p3"),
    ({"publicly_known": True, "users_affected": 10_000}, "p2", {"publicly_known": False}, "p3"),
    ({"publicly_known": True, "persons_affected": 100_000}, "p2", {"persons_affected": 99_999}, "p3"),
    ({"publicly_known": True, "critical_services_affected": True}, "p2", {"critical_services_affected": False}, "p4"),
    ({"publicly_known": True, "death_or_serious_health_damage": True}, "p2", {"publicly_known": False}, "p3"),
    ({"publicly_known": True, "users_affected": 500}, "p3", {"users_affected": 499}, "p4"),
    ({"publicly_known": True, "persons_affected": 1_000}, "p3", {"persons_affected": 999}, "p4"),
    ({"publicly_known": True, "service_adversely_affected": True}, "p3", {"publicly_known": False}, "p4"),
    ({"persons_affected": 100_000}, "p3", {"persons_affected": 99_999}, "p4"),
    ({"users_affected": 10_000}, "p3", {"users_affected": 9_999}, "p4"),
]  # fmt: skip


@pytest.mark.parametrize(("at", "level", "below", "lower"), EDGES)
def test_the_number_itself_counts_and_one_less_does_not(
    at: dict[str, Any], level: str, below: dict[str, Any], lower: str
) -> None:
    assert graded(QUIET | at).level == level
    assert graded(QUIET | at | below).level == lower


def test_a_priority_names_every_cell_that_is_met() -> None:
    result = graded(QUIET | IMPACT["high"] | URGENCY["high"])
    assert [state.criterion for state in result.met] == [criterion.id for criterion in SCHEME.criteria]
    assert not result.open


def test_unknown_facts_leave_higher_priorities_open() -> None:
    result = graded(QUIET | {"users_affected": 10_000, "ongoing": "unknown", "malicious": True})
    assert (result.level, result.highest_possible, result.settled) == ("p3", "p1", False)
    assert result.open_facts == ("ongoing",)
    assert graded({}).highest_possible == "p1"
