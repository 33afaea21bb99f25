"""DORA major incidents and NIS2 significant incidents: every number, just at and just beyond, and how they combine."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from incidents.facts import Facts
from incidents.grading import GradingScheme, grade, load_schemes
from tests.reference import needs_reference, table

DORA = load_schemes()["dora-major"]
NIS2 = load_schemes()["nis2-significance"]

# (criterion, facts that just meet it, facts that just do not). Figures: Delegated Regulation 2024/1772 arts. 6, 8, 9.
DORA_EDGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("critical-services", {"critical_services_affected": True}, {"critical_services_affected": False}),
    ("clients-percent", {"clients_affected_percent": "10.000001"}, {"clients_affected_percent": 10}),
    ("clients-number", {"clients_affected": 100_001}, {"clients_affected": 100_000}),
    ("counterparts-percent", {"counterparts_affected_percent": "30.000001"}, {"counterparts_affected_percent": 30}),
    ("transactions-percent", {"transactions_affected_percent": "10.000001"}, {"transactions_affected_percent": 10}),
    ("relevant-clients", {"relevant_clients_affected": True}, {"relevant_clients_affected": False}),
    ("reputation", {"reputational_impact": True}, {"reputational_impact": False}),
    ("duration", {"incident_duration_minutes": 1441}, {"incident_duration_minutes": 1440}),
    ("downtime", {"critical_function_downtime_minutes": 121}, {"critical_function_downtime_minutes": 120}),
    ("member-states", {"member_states_affected": 2}, {"member_states_affected": 1}),
    ("data-losses", {"data_losses_hinder_business": True}, {"data_losses_hinder_business": False}),
    ("costs", {"direct_loss": {"EUR": "100000.01"}}, {"direct_loss": {"EUR": 100_000}}),
    (
        "malicious-access",
        {"critical_services_affected": True, "malicious_access_with_data_loss": True},
        {"malicious_access_with_data_loss": False},
    ),
    (
        "recurring",
        {"recurring_incident": True, "roles": ["insurer"]},
        {"roles": ["insurer", "dora_simplified_or_micro"]},
    ),
    (
        "two-thresholds",
        {"critical_services_affected": True, "member_states_affected": 2, "direct_loss": {"EUR": "100000.01"}},
        {"critical_services_affected": False},
    ),
]
# The six thresholds of art. 9(1) to 9(6), without 9(5)(b): the criteria that are alternatives within one.
THRESHOLDS = [
    ["clients-percent", "clients-number", "counterparts-percent", "transactions-percent", "relevant-clients"],
    ["reputation"],
    ["duration", "downtime"],
    ["member-states"],
    ["data-losses"],
    ["costs"],
]
SMALL: dict[str, Any] = {key: value for _, _, below in DORA_EDGES[1:12] for key, value in below.items()} | {
    "malicious_access_with_data_loss": False,
    "recurring_incident": False,
    "roles": ["insurer"],
    "critical_services_affected": True,
}
"""An incident that hits critical services and stays just at or below every number."""
AT = {criterion: at for criterion, at, _ in DORA_EDGES}

CLOUD = {"sectors": ["cloud"], "roles": ["important_entity"]}
CENTRE = {"sectors": ["data_centre"], "roles": ["important_entity"]}
LIMITED = CLOUD | {"limited_availability_minutes": 61}
NIS2_EDGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("severe-disruption", {"severe_operational_disruption": True}, {"severe_operational_disruption": False}),
    ("financial-loss", {"substantial_loss": True}, {"substantial_loss": False}),
    ("damage-to-others", {"considerable_damage_to_others": True}, {"considerable_damage_to_others": False}),
    ("digital-loss-amount", CLOUD | {"direct_loss": {"EUR": "500000.01"}}, {"direct_loss": {"EUR": 500_000}}),
    ("digital-loss-share", CLOUD | {"loss_percent_of_turnover": "5.000001"}, {"loss_percent_of_turnover": 5}),
    ("digital-trade-secret", CLOUD | {"trade_secret_exfiltrated": True}, {"trade_secret_exfiltrated": False}),
    ("digital-death-health", CLOUD | {"death_or_serious_health_damage": True}, {"sectors": ["health"]}),
    (
        "digital-malicious-access",
        CLOUD | {"malicious": True, "severe_operational_disruption": True},
        {"malicious": False},
    ),
    ("digital-recurring", CLOUD | {"recurring_incident": True}, {"recurring_incident": False}),
    ("cloud-outage", CLOUD | {"service_outage_minutes": 31}, {"service_outage_minutes": 30}),
    ("cloud-limited-share", LIMITED | {"users_affected_percent": "5.000001"}, {"users_affected_percent": 5}),
    ("cloud-limited-users", LIMITED | {"users_affected": 1_000_001}, {"users_affected": 1_000_000}),
    ("cloud-malicious-data", CLOUD | {"malicious": True, "data_events": ["altered"]}, {"data_events": []}),
    ("data-centre-outage", CENTRE | {"service_outage_minutes": 1}, {"service_outage_minutes": 0}),
    ("data-centre-limited", CENTRE | {"limited_availability_minutes": 61}, {"limited_availability_minutes": 60}),
    ("data-centre-malicious-data", CENTRE | {"malicious": True, "data_events": ["stolen"]}, {"malicious": False}),
]


def met(scheme: GradingScheme, facts: dict[str, Any]) -> set[str]:
    return {state.criterion for state in grade(scheme, Facts.parse(facts)).met}


def level(facts: dict[str, Any], scheme: GradingScheme = DORA) -> str:
    return grade(scheme, Facts.parse(facts)).level


@pytest.mark.parametrize(
    ("scheme", "criterion", "at", "below"),
    [(DORA, *edge) for edge in DORA_EDGES] + [(NIS2, *edge) for edge in NIS2_EDGES],
    ids=[edge[0] for edge in DORA_EDGES + NIS2_EDGES],
)
def test_just_beyond_the_number_counts_and_the_number_itself_does_not(
    scheme: GradingScheme, criterion: str, at: dict[str, Any], below: dict[str, Any]
) -> None:
    assert criterion in met(scheme, at)
    assert criterion not in met(scheme, at | below)


@pytest.mark.parametrize(("scheme", "edges"), [(DORA, DORA_EDGES), (NIS2, NIS2_EDGES)], ids=["dora", "nis2"])
def test_every_criterion_has_an_edge(scheme: GradingScheme, edges: list[tuple[str, Any, Any]]) -> None:
    assert {edge[0] for edge in edges} == {criterion.id for criterion in scheme.criteria}


def test_an_incident_just_at_every_number_is_not_major() -> None:
    result = grade(DORA, Facts.parse(SMALL))
    assert (result.level, result.settled, result.reportable) == ("some_criteria", True, False)
    assert {state.criterion for state in result.met} == {"critical-services"}


@pytest.mark.parametrize("criterion", [name for group in THRESHOLDS for name in group])
def test_one_threshold_is_not_enough(criterion: str) -> None:
    assert level(SMALL | AT[criterion]) == "some_criteria"


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(range(6), 2)))
def test_two_thresholds_make_it_major_whichever_they_are(one: int, other: int) -> None:
    for first, second in itertools.product(THRESHOLDS[one], THRESHOLDS[other]):
        facts = SMALL | AT[first] | AT[second]
        result = grade(DORA, Facts.parse(facts))
        assert (result.level, result.reportable) == ("major", True), (first, second)
        assert {"two-thresholds", "critical-services", first, second} == {state.criterion for state in result.met}
        assert level(facts | {"critical_services_affected": False}) == "some_criteria", "without the gate nothing is"


@pytest.mark.parametrize("group", [group for group in THRESHOLDS if len(group) > 1], ids=["clients", "duration"])
def test_two_figures_of_one_threshold_are_one(group: list[str]) -> None:
    together = {key: value for name in group for key, value in AT[name].items()}
    assert level(SMALL | together) == "some_criteria"


def test_what_could_still_make_it_major_is_named() -> None:
    known = {key: value for key, value in SMALL.items() if key != "reputational_impact"} | AT["costs"]
    result = grade(DORA, Facts.parse(known))
    assert (result.level, result.highest_possible) == ("some_criteria", "major")
    assert result.open_facts == ("reputational_impact",)
    gate = SMALL | AT["costs"] | AT["duration"]
    del gate["critical_services_affected"]
    assert grade(DORA, Facts.parse(gate)).open_facts == ("critical_services_affected",)
    nothing = grade(DORA, Facts())
    assert (nothing.level, nothing.highest_possible) == ("not_major", "major")
    assert len(nothing.open) == len(DORA.criteria)


def test_digital_criteria_bind_digital_entities_only() -> None:
    """A hospital is judged by the general test; a trust service provider by the criteria of digital entities too."""
    facts = {"recurring_incident": True, "direct_loss": {"EUR": 600_000}, "service_outage_minutes": 90}
    calm = {
        "severe_operational_disruption": False,
        "substantial_loss": False,
        "considerable_damage_to_others": False,
    }
    hospital = grade(NIS2, Facts.parse(facts | calm | {"sectors": ["health"], "roles": ["essential_entity"]}))
    assert (hospital.level, hospital.settled) == ("not_significant", True)
    trust = facts | calm | {"sectors": ["other"], "roles": ["trust_service_provider"]}
    assert met(NIS2, trust) == {"digital-loss-amount", "digital-recurring"}
    assert level(facts | calm | CLOUD, NIS2) == "significant"
    assert met(NIS2, calm | CLOUD | {"service_outage_minutes": 90}) == {"cloud-outage"}


@pytest.mark.parametrize("minutes", [60, 61])
def test_limited_availability_needs_more_than_an_hour(minutes: int) -> None:
    facts = CLOUD | {"limited_availability_minutes": minutes, "users_affected": 2_000_000, "users_affected_percent": 9}
    assert met(NIS2, facts) == ({"cloud-limited-share", "cloud-limited-users"} if minutes == 61 else set())


@needs_reference
def test_the_figures_are_those_of_the_research() -> None:
    records = {record["id"]: record for record in table("obligations-world.yaml")}
    dora = records["eu-dora-19-initial"]["trigger"]["thresholds"]
    wanted = {
        "clients-percent": dora["clients_percent_over"],
        "clients-number": dora["clients_number_over"],
        "counterparts-percent": dora["counterparts_percent_over"],
        "transactions-percent": dora["transactions_percent_over"],
        "duration": dora["duration_hours_over"] * 60,
        "downtime": dora["downtime_hours_over_critical_function"] * 60,
        "member-states": dora["member_states_min"],
        "costs": dora["costs_eur_over"],
    }
    assert _figures(DORA, wanted) == wanted
    nis2 = records["eu-nis2-23-4a-early-warning"]["trigger"]["thresholds"]["digital_entities_reg_2024_2690"]
    wanted = {
        "digital-loss-amount": nis2["direct_loss_eur"],
        "digital-loss-share": nis2["or_percent_of_turnover"],
        "cloud-outage": nis2["cloud_or_msp_full_outage_minutes_over"],
        "data-centre-limited": nis2["data_centre_limited_availability_hours_over"] * 60,
    }
    assert _figures(NIS2, wanted) == wanted


def _figures(scheme: GradingScheme, names: dict[str, int]) -> dict[str, int]:
    found = {criterion.id: re.findall(r">=? (\d+)", criterion.when) for criterion in scheme.criteria}
    return {name: int(found[name][-1]) for name in names}
