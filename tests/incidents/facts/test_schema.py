"""The vocabulary's JSON Schema and page say the same as the code does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given

from incidents.errors import InvalidInput
from incidents.facts import Facts, facts_page, json_schema, vocabulary
from tests.incidents.facts.test_facts import DOCUMENTS, GOOD

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
ROOT = Path(__file__).parents[3]


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_every_fact_is_described() -> None:
    properties = json_schema()["properties"]
    assert set(properties) == {spec.name for spec in vocabulary()}
    for spec in vocabulary():
        assert spec.about.strip()
        assert spec.zh.strip()
        assert properties[spec.name]["description"] == spec.about


@given(DOCUMENTS)
def test_what_the_code_writes_fits_the_schema(document: dict[str, Any]) -> None:
    VALIDATOR.validate(Facts.parse(document).known())


@pytest.mark.parametrize(
    "document",
    [
        {"nonsense": 1},
        {"encrypted": "no"},
        {"countries": ["UK"]},
        {"direct_loss": {"RMB": 1}},
        {"persons_affected": -1},
    ],
)
def test_what_the_schema_refuses_the_code_refuses(document: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(InvalidInput):
        Facts.parse(document)


def test_unknown_fits_everywhere() -> None:
    VALIDATOR.validate({spec.name: "unknown" for spec in vocabulary()})
    VALIDATOR.validate(GOOD)


def test_the_page_is_current() -> None:
    page = (ROOT / "docs" / "facts.md").read_text(encoding="utf-8")
    assert page == facts_page(), "run `make docs`"
