"""Facts that cannot all be true are refused, and both are named; what is merely incomplete is not."""

from __future__ import annotations

import pickle
from typing import Any
from uuid import uuid4

import pytest

from incidents.clock import ManualClock
from incidents.errors import InvalidInput
from incidents.facts import Facts
from incidents.incident.service import IncidentService
from incidents.record import Context, Record

CONTRADICTIONS: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"persons_affected": 0, "persons_by_province": {"CN-HN": 5}}, ("persons_affected is 0", "CN-HN 5")),
    ({"persons_affected": 9, "persons_by_country": {"DE": 6, "FR": 4}}, ("persons_affected is 9", "counts 10")),
    (
        {"persons_by_country": {"CN": 3}, "persons_by_province": {"CN-HN": 2, "CN-BJ": 2}},
        ("persons_by_country counts 3 in CN", "persons_by_province counts 4"),
    ),
    (
        {"persons_by_country": {"DE": 3}, "persons_by_province": {"CN-HN": 1}},
        ("persons_by_country counts 0 in CN", "persons_by_province counts 1"),
    ),
    (
        {"persons_affected": 10, "sensitive_persons_affected": 11},
        ("persons_affected is 10", "sensitive_persons_affected is 11"),
    ),
    (
        {"persons_notified": 1, "persons_notified_by_province": {"US-TX": 2}},
        ("persons_notified is 1", "persons_notified_by_province counts 2"),
    ),
    ({"countries": ["DE"], "provinces": ["CN-HN"]}, ("provinces names CN-HN", "countries (DE) lacks CN")),
    (
        {"nature": ["confidentiality"], "service_outage_minutes": 7},
        ("service_outage_minutes is 7", "nature (confidentiality) lacks availability"),
    ),
    (
        {"occurred_at": "2026-06-12T10:00:00Z", "contained_at": "2026-06-12T11:00:00+02:00"},
        ("contained_at", "lies before occurred_at"),
    ),
]


@pytest.mark.parametrize(("document", "named"), CONTRADICTIONS, ids=lambda value: "-".join(value)[:60])
def test_contradictions_are_refused_with_both_named(document: dict[str, Any], named: tuple[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        Facts.parse(document)
    assert "contradict" in caught.value.detail
    for part in named:
        assert part in caught.value.errors[0].reason
    for name, value in document.items():
        assert Facts.parse({name: value}).known(), "each alone is possible"


@pytest.mark.parametrize(
    "document",
    [
        {"persons_affected": 10, "persons_by_country": {"DE": 6}},  # where the others live is not known
        {"persons_affected": 10, "persons_by_country": {"DE": 10}, "persons_by_province": {"DE-BY": 10}},
        {"persons_affected": 10, "sensitive_persons_affected": 10},
        {"persons_affected": 0, "persons_by_country": {}},
        {"nature": ["confidentiality"], "service_outage_minutes": 0},
        {"nature": ["confidentiality", "availability"], "service_outage_minutes": 7},
        {"aware_at": "2026-06-12T10:00:00Z", "occurred_at": "2026-06-12T11:00:00Z"},  # a threat may be known before
        {"countries": ["CN", "DE"], "provinces": ["CN-HN"]},
    ],
)
def test_what_is_possible_is_accepted(document: dict[str, Any]) -> None:
    assert set(Facts.parse(document).known()) == set(document)


def test_what_is_on_record_can_always_be_read() -> None:
    wrong = Facts.parse({"persons_affected": 0}).revise({"persons_by_province": {"CN-HN": 5}})
    assert pickle.loads(pickle.dumps(wrong)) == wrong  # noqa: S301 - our own bytes
    with pytest.raises(InvalidInput, match="persons_affected is 0"):
        wrong.check()
    with pytest.raises(InvalidInput):
        wrong.check(about={"persons_by_province"})
    wrong.check(about={"malicious"})


def test_a_statement_that_contradicts_an_earlier_one_is_refused(record: Record, clock: ManualClock) -> None:
    service = IncidentService(record)

    def context() -> Context:
        return Context.of_command("user:lan", clock)

    incident_id = uuid4()
    service.report(incident_id, context(), title="Mailboxes read", facts={"persons_affected": 0})
    with pytest.raises(InvalidInput, match="persons_affected is 0, but persons_by_province counts 5"):
        service.state_facts(incident_id, context(), {"persons_by_province": {"CN-HN": 5}})
    both = {"persons_affected": 5, "persons_by_province": {"CN-HN": 5}}
    assert service.state_facts(incident_id, context(), both).facts["persons_affected"] == 5
