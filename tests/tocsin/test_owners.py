"""Who owns a duty, and so gets its warnings."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from incidents.errors import InvalidInput
from tocsin.owners import Owned, Owners
from tocsin.settings import Settings, faults
from tocsin.settings_warnings import WarningSettings


def owners(**tables: dict[str, Any]) -> Owners:
    full = {
        name: {"name": name.upper(), "email": [f"{name}@lantern.example"], **table} for name, table in tables.items()
    }
    return Owners(WarningSettings.model_validate({"email": ["desk@lantern.example"], "owners": full}))


def duty(**changes: Any) -> Owned:
    fields: dict[str, Any] = {
        "duty_id": "us-hipaa-408-hhs-500:us.hhs_ocr:initial",
        "rule": "us-hipaa-408-hhs-500",
        "jurisdiction": "US",
        "recipient_kind": "authority",
    }
    return Owned(**(fields | changes))


@pytest.mark.parametrize(
    ("tables", "owner"),
    [
        ({"a": {"rules": ["us-hipaa-408-hhs-500"]}, "b": {"rules": ["us-hipaa-*"]}}, "a"),
        ({"a": {"rules": ["us-*"]}, "b": {"rules": ["us-hipaa-*"]}}, "b"),
        ({"a": {"jurisdictions": ["US"]}, "b": {"roles": ["us.hhs_ocr"]}}, "b"),
        ({"a": {"recipient_kinds": ["authority"]}, "b": {"jurisdictions": ["US"]}}, "b"),
        ({"a": {"recipient_kinds": ["authority"]}, "b": {"recipient_kinds": ["authority"]}}, "a"),
        ({"a": {"rules": ["us-hipaa-*"], "recipient_kinds": ["individuals"]}, "b": {"jurisdictions": ["US*"]}}, "b"),
        ({"a": {"jurisdictions": ["US-*"]}}, ""),
        ({"a": {}}, ""),
        ({}, ""),
    ],
)
def test_the_closest_fit_owns_it(tables: dict[str, dict[str, Any]], owner: str) -> None:
    assert owners(**tables).of(duty()).id == owner


def test_an_assignment_goes_first_then_the_settings_then_the_owner_of_the_incident() -> None:
    found = owners(dpo={"rules": ["us-hipaa-*"]}, lan={}, legal={})
    assert found.of(duty(assigned_to="legal")).shown() == {"id": "legal", "name": "LEGAL", "by": "assignment"}
    assert found.of(duty(incident_assignee="lan")).by == "rule"
    assert found.of(duty(rule="eu-gdpr-33", incident_assignee="Lan")).shown()["by"] == "incident"
    assert found.of(duty(rule="eu-gdpr-33", incident_assignee="qiang")).shown() == {
        "id": "",
        "name": "",
        "by": "default",
    }


def test_an_owner_who_is_gone_from_the_settings_owns_nothing() -> None:
    assert owners(dpo={"rules": ["us-hipaa-*"]}).of(duty(assigned_to="left-us")).id == "dpo"


def test_an_unknown_owner_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="there are: dpo, legal"):
        owners(legal={}, dpo={}).named("nobody")
    with pytest.raises(InvalidInput, match=r"\[warnings.owners\]"):
        owners().named("nobody")


@pytest.mark.parametrize(
    "table",
    [
        {"name": "A", "email": []},
        {"email": ["a@lantern.example"]},
        {"name": "A", "email": ["nobody"]},
        {"name": "A", "email": ["a@lantern.example"], "rules": ["*"]},
        {"name": "A", "email": ["a@lantern.example"], "recipient_kinds": ["everybody"]},
        {"name": "A", "email": ["a@lantern.example"], "languages": ["en"]},
    ],
)
def test_an_owner_that_makes_no_sense_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WarningSettings.model_validate({"owners": {"a": table}})


def test_owners_need_a_desk_behind_them(settings: Settings) -> None:
    table = {"dpo": {"name": "DPO", "email": ["dpo@lantern.example"]}}
    changed = Settings(**{**settings.model_dump(), "warnings": {"owners": table}})
    assert "warnings.email" in [fault.field for fault in faults(changed)]
    silent = Settings(**{**settings.model_dump(), "warnings": {"owners": table, "enabled": False}})
    assert "warnings.email" not in [fault.field for fault in faults(silent)], "nobody is to be warned at all"
