"""Facts documents: what is accepted, what is refused and how the refusal reads."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from incidents.errors import InvalidInput
from incidents.facts import Facts, FactSpec, FactType, OrganisationProfile, join, parse_changes, vocabulary
from incidents.facts.consistency import contradictions

GOOD: dict[str, Any] = {
    "persons_affected": 200,
    "persons_by_country": {"CN": 150, "VN": 50},
    "data_classes": ["credentials", "personal"],
    "encrypted": False,
    "risk_to_persons": "high",
    "direct_loss": {"CNY": 5000000, "EUR": "12.5"},
    "population_share_percent_province": "49.99",
    "countries": ["CN", "NO"],
    "provinces": ["CN-HN"],
    "aware_at": "2026-06-12T16:20:00+02:00",
}


def faults(mapping: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        Facts.parse(mapping)
    return {fault.field: fault.reason for fault in caught.value.errors}


def test_a_document_goes_in_and_comes_out_the_same() -> None:
    facts = Facts.parse(GOOD)
    assert facts.known() == GOOD
    assert list(facts.known()) == [spec.name for spec in vocabulary() if spec.name in GOOD]
    assert facts.get("direct_loss") == {"CNY": Decimal(5000000), "EUR": Decimal("12.5")}
    assert facts.get("aware_at") == datetime(2026, 6, 12, 14, 20, tzinfo=UTC)
    assert Facts.parse(facts.known()) == facts


@pytest.mark.parametrize("word", ["unknown", None])
def test_unknown_is_neither_no_nor_zero(word: str | None) -> None:
    facts = Facts.parse({"encrypted": word, "persons_affected": word})
    assert facts.get("encrypted") is None
    assert facts.known() == {}
    assert facts == Facts()
    assert Facts.parse({"encrypted": False}) != facts


@pytest.mark.parametrize(
    ("document", "field", "says"),
    [
        ({"person_affected": 1}, "person_affected", "Did you mean “persons_affected”"),
        ({"persons_affected": -1}, "persons_affected", "from 0"),
        ({"persons_affected": True}, "persons_affected", "whole number of persons"),
        ({"persons_affected": 1.5}, "persons_affected", "whole number"),
        ({"persons_affected": "many"}, "persons_affected", "whole number"),
        ({"persons_affected": 10**20}, "persons_affected", "from 0 to"),
        ({"encrypted": "no"}, "encrypted", "true, false or “unknown”"),
        ({"risk_to_persons": "hihg"}, "risk_to_persons", "Did you mean “high”"),
        ({"data_classes": "personal"}, "data_classes", "wants a list"),
        ({"data_classes": ["persnal"]}, "data_classes", "Did you mean “personal”"),
        ({"data_classes": [["personal"]]}, "data_classes", "wants one of"),
        ({"countries": ["UK"]}, "countries", "The United Kingdom is GB"),
        ({"countries": [False]}, "countries", "NO: write it in quotes"),
        ({"countries": ["China"]}, "countries", "ISO 3166-1"),
        ({"provinces": ["Hunan"]}, "provinces", "ISO 3166-2"),
        ({"provinces": ["XX-HN"]}, "provinces", "ISO 3166-2"),
        ({"persons_by_country": {"C": 1}}, "persons_by_country", "ISO 3166-1"),
        ({"persons_by_country": [1]}, "persons_by_country", "object of codes"),
        ({"direct_loss": {"RMB": 1}}, "direct_loss", "ISO 4217"),
        ({"direct_loss": {"CNY": "lots"}}, "direct_loss", "wants a number"),
        ({"direct_loss": {"CNY": "NaN"}}, "direct_loss", "from 0"),
        ({"direct_loss": {"CNY": "0.00000001"}}, "direct_loss", "six digits"),
        ({"population_share_percent_province": 101}, "population_share_percent_province", "0 to 100"),
        ({"aware_at": "2026-06-12T16:20:00"}, "aware_at", "no time zone"),
        ({"aware_at": "2026-06-12"}, "aware_at", "no time zone"),
        ({"aware_at": "yesterday"}, "aware_at", "ISO 8601 with offset"),
        ({"aware_at": 1760000000}, "aware_at", "wants a time"),
        ({"aware_at": "0001-01-01T00:00:00Z"}, "aware_at", "year from 1970"),
    ],
)
def test_a_fault_names_the_field_and_what_is_wanted(document: dict[str, Any], field: str, says: str) -> None:
    assert says in faults(document)[field]


def test_every_fault_is_listed_at_once() -> None:
    assert set(faults({"persons_affected": -1, "encrypted": "no", "nonsense": 1, "countries": ["CN"]})) == {
        "persons_affected",
        "encrypted",
        "nonsense",
    }


def test_long_input_is_not_echoed_in_full() -> None:
    assert all(len(reason) < 400 for reason in faults({"x" * 10_000: 1, "encrypted": "y" * 10_000}).values())


@pytest.mark.parametrize("document", [[], "facts", None, 5])
def test_a_document_is_an_object(document: Any) -> None:
    assert "facts" in faults(document)


def test_lists_have_a_limit() -> None:
    assert "at most 400" in faults({"data_classes": ["personal"] * 401})["data_classes"]


def test_revising_gives_new_facts_and_can_take_back() -> None:
    before = Facts.parse({"persons_affected": 10, "encrypted": True})
    after = before.revise({"persons_affected": 12, "encrypted": "unknown"})
    assert after.known() == {"persons_affected": 12}
    assert before.known() == {"persons_affected": 10, "encrypted": True}
    with pytest.raises(AttributeError):
        before._values = {}  # type: ignore[misc]


def test_a_partial_statement_is_checked_and_put_in_normal_form() -> None:
    assert parse_changes({"encrypted": None, "data_classes": ["personal", "credentials", "personal"]}) == {
        "encrypted": "unknown",
        "data_classes": ["credentials", "personal"],
    }
    with pytest.raises(InvalidInput):
        parse_changes({"encrypted": 1})


def test_asking_for_a_name_that_is_no_fact() -> None:
    with pytest.raises(InvalidInput, match="encrypted"):
        Facts().get("encryptd")


def test_the_same_instant_at_another_offset_is_the_same_fact() -> None:
    assert Facts.parse({"aware_at": "2026-06-12T14:20:00Z"}) == Facts.parse({"aware_at": GOOD["aware_at"]})


def test_facts_live_in_models_and_pickles() -> None:
    class Holder(BaseModel):
        facts: Facts

    holder = Holder.model_validate({"facts": GOOD})
    assert Holder.model_validate_json(holder.model_dump_json()) == holder
    assert pickle.loads(pickle.dumps(holder.facts)) == holder.facts  # noqa: S301 - our own bytes
    with pytest.raises(ValidationError, match="encryptd"):
        Holder.model_validate({"facts": {"encryptd": True}})


def test_conditions_see_implied_words_and_settled_zeros() -> None:
    seen = Facts.parse({"data_classes": ["health"], "nature": ["confidentiality"]}).for_conditions()
    assert seen["data_classes"] == ["health", "personal", "sensitive_personal"]
    assert seen["service_outage_minutes"] == 0
    assert seen["spread_determined_by_provincial_authority"] == "none"
    assert "service_outage_minutes" not in Facts.parse({"nature": ["availability"]}).for_conditions()
    assert "service_outage_minutes" not in Facts().for_conditions()
    stated = Facts.parse({"nature": ["confidentiality"]}).revise({"service_outage_minutes": 7})
    assert stated.for_conditions()["service_outage_minutes"] == 7


COUNTS = st.integers(0, 10**9)
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - wants naive bounds
OF_TYPE: dict[FactType, st.SearchStrategy[Any]] = {
    FactType.INT: COUNTS,
    FactType.DECIMAL: st.decimals(0, 100, places=3, allow_nan=False).map(str),
    FactType.BOOL: st.booleans(),
    FactType.COUNTRY: st.sampled_from(["CN", "DE", "NO"]),
    FactType.COUNTRIES: st.lists(st.sampled_from(["CN", "DE", "NO"])),
    FactType.PROVINCES: st.lists(st.sampled_from(["CN-HN", "US-TX"])),
    FactType.COUNT_BY_COUNTRY: st.dictionaries(st.sampled_from(["CN", "DE"]), COUNTS),
    FactType.COUNT_BY_PROVINCE: st.dictionaries(st.sampled_from(["CN-HN", "US-TX"]), COUNTS),
    FactType.MONEY: st.dictionaries(st.sampled_from(["CNY", "EUR"]), COUNTS),
    FactType.INSTANT: MOMENTS.map(lambda moment: moment.isoformat()),
}


def _values(spec: FactSpec) -> st.SearchStrategy[Any]:
    words = st.sampled_from(sorted(spec.values)) if spec.values else st.nothing()
    return {**OF_TYPE, FactType.ENUM: words, FactType.SET: st.lists(words, max_size=5)}[spec.type]


def _without_contradictions(document: dict[str, Any]) -> dict[str, Any]:
    values = Facts().revise(document)._values
    wrong = {name for pair in contradictions(values) for name in pair[:2]}
    return {name: value for name, value in document.items() if name not in wrong}


DOCUMENTS = st.fixed_dictionaries({}, optional={spec.name: _values(spec) for spec in vocabulary()}).map(
    _without_contradictions
)


@given(DOCUMENTS, DOCUMENTS)
def test_any_document_survives_writing_and_revising(one: dict[str, Any], two: dict[str, Any]) -> None:
    facts = Facts.parse(one)
    assert Facts.parse(facts.known()) == facts
    revised = facts.revise(two)
    assert revised.known() == facts.known() | Facts.parse(two).known()
    assert facts.revise(dict.fromkeys(one, "unknown")) == Facts()
    revised.for_conditions()


@given(
    st.dictionaries(
        st.sampled_from([spec.name for spec in vocabulary()]), st.from_type(object) | st.text() | st.floats()
    )
)
def test_nonsense_is_refused_cleanly(document: dict[str, Any]) -> None:
    try:
        Facts.parse(document)
    except InvalidInput as fault:
        named = {error.field for error in fault.errors}
        if not named <= set(document):
            pytest.fail(f"faults of {named - set(document)}, which the document does not hold")


def test_joining_lets_the_incident_win() -> None:
    profile = OrganisationProfile.parse(
        {"name": "Xiang Retail", "roles": ["controller"], "establishments": [{"place": "CN-HN"}], "countries": ["VN"]}
    )
    joined = join(profile, Facts.parse({"roles": ["processor"], "persons_affected": 5}))
    assert joined.known() == {
        "persons_affected": 5,
        "countries": ["CN", "VN"],
        "provinces": ["CN-HN"],
        "roles": ["processor"],
    }
    assert join(None, joined) is joined
