"""The Chinese four-level scheme: every number, just at and just below, and what stays open."""

from __future__ import annotations

import re
from typing import Any

import pytest

from incidents.errors import InvalidInput, NotFound
from incidents.facts import Facts
from incidents.grading import grade, load_schemes, parse_scheme, scheme_named
from incidents.grading.answer import grade_json
from incidents.grading.scheme import Criterion, CriterionStatus
from tests.reference import needs_reference, table

SCHEME = load_schemes()["cn-2025"]

# (criterion, facts that meet it exactly, the fact that holds the number and the value just below it)
# Figures from the grading guide in force since 2025-11-01 and, for draft_only, the draft of December 2023.
PORTAL = {"unreachable_site_classes": ["provincial_or_higher_party_gov_portal"]}
CITY_PORTAL = {"unreachable_site_classes": ["prefecture_or_higher_party_gov_portal"]}
PLATFORM = {"tampered_site_classes": ["super_large_platform"]}
LARGE = {"tampered_site_classes": ["large_or_higher_platform"]}
EDGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "site-unreachable-particularly-major",
        PORTAL | {"site_unreachable_minutes": 1440},
        {"site_unreachable_minutes": 1439},
    ),
    ("site-unreachable-major", CITY_PORTAL | {"site_unreachable_minutes": 360}, {"site_unreachable_minutes": 359}),
    (
        "site-unreachable-relatively-major",
        CITY_PORTAL | {"site_unreachable_minutes": 120},
        {"site_unreachable_minutes": 119},
    ),
    ("cii-whole-particularly-major", {"cii_whole_outage_minutes": 360}, {"cii_whole_outage_minutes": 359}),
    (
        "cii-main-particularly-major",
        {"cii_main_function_outage_minutes": 1440},
        {"cii_main_function_outage_minutes": 1439},
    ),
    ("cii-whole-major", {"cii_whole_outage_minutes": 120}, {"cii_whole_outage_minutes": 119}),
    ("cii-main-major", {"cii_main_function_outage_minutes": 360}, {"cii_main_function_outage_minutes": 359}),
    ("cii-whole-relatively-major", {"cii_whole_outage_minutes": 10}, {"cii_whole_outage_minutes": 9}),
    ("cii-main-relatively-major", {"cii_main_function_outage_minutes": 30}, {"cii_main_function_outage_minutes": 29}),
    (
        "population-particularly-major",
        {"provinces_affected": 1, "population_share_percent_province": 50},
        {"population_share_percent_province": "49.999"},
    ),
    (
        "population-major",
        {"prefectures_affected": 1, "population_share_percent_prefecture": 50},
        {"population_share_percent_prefecture": "49.999"},
    ),
    (
        "population-relatively-major",
        {"prefectures_affected": 1, "population_share_percent_prefecture": 30},
        {"population_share_percent_prefecture": "29.999"},
    ),
    (
        "utilities-particularly-major",
        {"persons_daily_needs_affected": 10_000_000},
        {"persons_daily_needs_affected": 9_999_999},
    ),
    ("utilities-major", {"persons_daily_needs_affected": 1_000_000}, {"persons_daily_needs_affected": 999_999}),
    ("utilities-relatively-major", {"persons_daily_needs_affected": 100_000}, {"persons_daily_needs_affected": 99_999}),
    ("personal-info-particularly-major", {"persons_affected": 100_000_000}, {"persons_affected": 99_999_999}),
    ("personal-info-major", {"persons_affected": 10_000_000}, {"persons_affected": 9_999_999}),
    ("personal-info-relatively-major", {"persons_affected": 1_000_000}, {"persons_affected": 999_999}),
    (
        "tamper-home-particularly-major",
        PLATFORM | {"illegal_content_homepage_minutes": 360},
        {"illegal_content_homepage_minutes": 359},
    ),
    (
        "tamper-page-particularly-major",
        PLATFORM | {"illegal_content_other_page_minutes": 1440},
        {"illegal_content_other_page_minutes": 1439},
    ),
    (
        "tamper-reposts-particularly-major",
        PLATFORM | {"illegal_content_reposts": 100_000},
        {"illegal_content_reposts": 99_999},
    ),
    (
        "tamper-views-particularly-major",
        PLATFORM | {"illegal_content_views_or_clicks": 1_000_000},
        {"illegal_content_views_or_clicks": 999_999},
    ),
    ("tamper-home-major", LARGE | {"illegal_content_homepage_minutes": 120}, {"illegal_content_homepage_minutes": 119}),
    ("tamper-page-major", {"illegal_content_other_page_minutes": 720}, {"illegal_content_other_page_minutes": 719}),
    ("tamper-reposts-major", {"illegal_content_reposts": 10_000}, {"illegal_content_reposts": 9_999}),
    ("tamper-views-major", {"illegal_content_views_or_clicks": 100_000}, {"illegal_content_views_or_clicks": 99_999}),
    (
        "tamper-home-relatively-major",
        {"illegal_content_homepage_minutes": 30},
        {"illegal_content_homepage_minutes": 29},
    ),
    (
        "tamper-page-relatively-major",
        {"illegal_content_other_page_minutes": 120},
        {"illegal_content_other_page_minutes": 119},
    ),
    ("tamper-reposts-relatively-major", {"illegal_content_reposts": 1_000}, {"illegal_content_reposts": 999}),
    (
        "tamper-views-relatively-major",
        {"illegal_content_views_or_clicks": 10_000},
        {"illegal_content_views_or_clicks": 9_999},
    ),
    ("loss-particularly-major", {"direct_loss": {"CNY": 100_000_000}}, {"direct_loss": {"CNY": "99999999.99"}}),
    ("loss-major", {"direct_loss": {"CNY": 20_000_000}}, {"direct_loss": {"CNY": "19999999.99"}}),
    ("loss-relatively-major", {"direct_loss": {"CNY": 5_000_000}}, {"direct_loss": {"CNY": "4999999.99"}}),
]
WORDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        f"data-{level}",
        {
            "data_classes": [kind],
            "data_events": ["stolen"],
            "threat_to_national_security_or_stability": threat,
        },
        {"threat_to_national_security_or_stability": "some"},
    )
    for level, kind, threat in (
        ("particularly-major", "core_data", "particularly_serious"),
        ("major", "core_data", "serious"),
        ("relatively-major", "important_data", "rather_serious"),
    )
] + [
    (
        f"tamper-authority-{level}",
        {"spread_determined_by_provincial_authority": spread},
        {"spread_determined_by_provincial_authority": "none"},
    )
    for level, spread in (
        ("particularly-major", "extremely_wide"),
        ("major", "wide"),
        ("relatively-major", "rather_wide"),
    )
]


def met(facts: dict[str, Any]) -> set[str]:
    result = grade(SCHEME, Facts.parse(facts), drafts=True)
    return {state.criterion for state in result.met}


@pytest.mark.parametrize(
    ("criterion", "at", "below"), EDGES + WORDS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_number_itself_counts_and_one_less_does_not(
    criterion: str, at: dict[str, Any], below: dict[str, Any]
) -> None:
    assert criterion in met(at)
    assert criterion not in met(at | below)
    level = next(c.level for c in SCHEME.criteria if c.id == criterion)
    assert SCHEME.level(grade(SCHEME, Facts.parse(at), drafts=True).level).rank >= SCHEME.level(level).rank


def test_every_criterion_has_an_edge() -> None:
    assert {criterion for criterion, _, _ in EDGES + WORDS} == {criterion.id for criterion in SCHEME.criteria}


def test_figures_only_seen_in_a_draft_never_decide() -> None:
    facts = Facts.parse({"persons_daily_needs_affected": 1_000_000})
    result = grade(SCHEME, facts)
    assert result.level == "general"
    assert {state.criterion for state in result.draft_met} == {"utilities-major", "utilities-relatively-major"}
    assert all(state.status is CriterionStatus.DRAFT_ONLY for state in result.draft_met)
    assert grade(SCHEME, facts, drafts=True).level == "major"
    counted = {state.criterion for state in (*result.met, *result.open)}
    assert not counted & {c.id for c in SCHEME.criteria if c.status is CriterionStatus.DRAFT_ONLY}


def test_the_highest_level_met_wins() -> None:
    result = grade(SCHEME, Facts.parse({"persons_affected": 1_000_000, "direct_loss": {"CNY": 100_000_000}}))
    assert result.level == "particularly_major"
    assert result.settled
    assert result.open == ()
    assert result.met[0].criterion == "loss-particularly-major"


def test_what_is_not_known_stays_open_with_the_facts_that_settle_it() -> None:
    result = grade(SCHEME, Facts.parse({"persons_affected": 1_000_000, "nature": ["confidentiality"]}))
    assert (result.level, result.highest_possible, result.settled) == ("relatively_major", "particularly_major", False)
    open_facts = {state.criterion: state.facts for state in result.open}
    assert open_facts["loss-major"] == ("direct_loss",)
    assert "loss-relatively-major" not in open_facts, "it could not lift the level"
    assert "cii-whole-particularly-major" not in open_facts, "availability was not lost"


def test_a_small_leak_with_everything_known_is_general_and_settled() -> None:
    small = {
        "persons_affected": 200,
        "nature": ["confidentiality"],
        "data_classes": ["personal"],
        "direct_loss": {"CNY": 0},
        "provinces_affected": 0,
        "prefectures_affected": 0,
    }
    result = grade(SCHEME, Facts.parse(small))
    assert (result.level, result.settled, result.reportable, result.met) == ("general", True, False, ())


def test_the_answer_of_the_command() -> None:
    answer = grade_json("cn-2025", {"persons_affected": 10_000_000})
    assert (answer["level"], answer["rank"], answer["title"]["zh"]) == ("major", 3, "重大")
    assert answer["met"][0]["criterion"] == "personal-info-major"
    assert answer["open"]
    assert [item["level"] for item in answer["qualitative"]] == ["particularly_major"]
    assert grade_json("cn_2025", {})["level"] == "general"
    with pytest.raises(NotFound, match="cn-2025"):
        grade_json("cn-2024", {})
    with pytest.raises(InvalidInput):
        grade_json("cn-2025", {"persons": 1})


@needs_reference
def test_the_scheme_says_what_the_research_table_says() -> None:
    research = table("cn-incident-grading.yaml")
    assert [c["id"] for c in research["criteria"]] == [c.id for c in SCHEME.criteria]
    for wanted, ours in zip(research["criteria"], SCHEME.criteria, strict=True):
        assert (wanted["level"], wanted["status"], wanted["confidence"], wanted["source"]) == (
            ours.level,
            ours.status,
            ours.confidence,
            list(ours.source),
        )
        assert _numbers(ours) == sorted(line["value"] for line in wanted["all_of"] if isinstance(line["value"], int))
    assert {level["id"]: level["rank"] for level in research["levels"]} == SCHEME.ranks()


def _numbers(criterion: Criterion) -> list[int]:
    return sorted(int(number) for number in re.findall(r">= (\d+)", criterion.when))


MINIMAL = """
schema: 1
id: p-levels
key: p_levels
version: '1'
checked_on: 2026-01-01
jurisdiction: ZZ
title: {en: Priorities}
instrument: House rule
in_force_from: null
floor: p4
confidence: high
levels:
  - {id: p4, rank: 1, title: {en: P4}}
  - {id: p1, rank: 4, title: {en: P1}}
criteria:
  - id: many-users
    level: p1
    status: final
    when: facts.users_affected >= 1000
    text: {en: Many users}
    confidence: high
"""


def test_another_scheme_is_data() -> None:
    scheme = parse_scheme(MINIMAL, name="p.yaml")
    assert grade(scheme, Facts.parse({"users_affected": 1000})).level == "p1"
    result = grade(scheme, Facts())
    assert (result.level, result.highest_possible, result.open_facts) == ("p4", "p1", ("users_affected",))
    assert scheme_named("p_levels", {"p-levels": scheme}) is scheme


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("floor: p4", "floor: p9", "no level “p9”"),
        ("level: p1", "level: p9", "no level “p9”"),
        ("users_affected >= 1000", "users_afected >= 1000", "Did you mean “users_affected”"),
        ("rank: 4", "rank: 1", "every rank once"),
        ("schema: 1", "schema: 2", "Input should be 1"),
        ("confidence: high\nlevels", "confidence: sure\nlevels", "high"),
        ("id: p-levels", "id: [", "not valid YAML"),
        ("version: '1'", "version: '1'\nextra: 1", "Extra inputs"),
    ],
)
def test_a_faulty_scheme_is_refused_by_place(old: str, new: str, says: str) -> None:
    assert old in MINIMAL
    with pytest.raises(InvalidInput) as caught:
        parse_scheme(MINIMAL.replace(old, new), name="p.yaml")
    assert says in caught.value.detail
    assert "p.yaml" in caught.value.detail
