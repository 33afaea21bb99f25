"""`tocsin law ...` and `tocsin period` without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.playbooks.law.samples import CHAIN
from tocsin.cli.main import app

FACTS = """
event_kinds: [personal_data_breach]
roles: [controller]
countries: [CN]
provinces: []
persons_by_country: {CN: 10}
persons_by_province: {}
discovered_at: 2026-11-20T09:00:00+08:00
"""
AT = ("--at", "2026-11-20T12:00:00+08:00")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def answer(*arguments: str, exit_code: int = 0) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def facts(tmp_path: Path) -> str:
    path = tmp_path / "facts.yaml"
    path.write_text(FACTS, encoding="utf-8")
    return str(path)


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    folder = tmp_path / "law"
    folder.mkdir()
    (folder / "chain.yaml").write_text(CHAIN, encoding="utf-8")
    return folder


def test_our_packs_are_sound() -> None:
    found = answer("law", "lint")
    assert found["faults"] == []
    assert found["rules"] > 400
    assert "sound" in run("law", "lint").output


def test_lint_names_file_and_line_and_exits_1(packs: Path) -> None:
    found = answer("law", "lint", str(packs), exit_code=1)
    assert {"No case triggers this rule.", "No case just fails to trigger this rule."} <= {
        fault["what"] for fault in found["faults"]
    }
    (packs / "chain.yaml").write_text(CHAIN.replace("amount: 4\n", "amount: four\n", 1), encoding="utf-8")
    (fault,) = answer("law", "lint", str(packs), exit_code=1)["faults"]
    line = CHAIN.splitlines().index("      amount: 4") + 1
    assert fault["where"] == f"law/chain.yaml:{line}: rules.zz-initial.period.amount"
    (packs / "chain.yaml").write_text(CHAIN.replace("id: zz-initial\n", "id: cn-pipl-57-authority\n"), encoding="utf-8")
    result = run("law", "lint", str(packs))
    assert result.exit_code == 1


def test_lint_refuses_an_id_that_ours_have(packs: Path) -> None:
    text = CHAIN.replace("zz-initial", "cn-pipl-57-authority")
    (packs / "chain.yaml").write_text(text, encoding="utf-8")
    found = answer("law", "lint", str(packs), exit_code=1)
    assert any("defined twice" in fault["what"] and "cn/pipl.yaml" in str(fault) for fault in found["faults"])


def test_coverage_counts_and_names_records() -> None:
    found = answer("law", "coverage", "--on", "2026-11-22")
    assert found["records"]["eu-gdpr-33-1-authority"] == ["eu-gdpr-33-1-authority"]
    assert found["on"] == "2026-11-22"
    shown = run("law", "coverage")
    assert "verify with counsel" in shown.output
    assert "not legal advice" in shown.output
    assert run("law", "coverage", "--on", "soon").exit_code == 2


def test_explain_says_what_a_rule_says() -> None:
    shown = run("law", "explain", "eu-gdpr-34-individuals").output
    for part in ("article 34", "bound if: ", "disproportionate", "eu/gdpr.yaml:", "source: ", "数据主体", "case: "):
        assert part in shown
    found = answer("law", "explain", "eu-gdpr-34-individuals")
    assert found["rule"]["confidence"] == "high"
    assert found["cases"]
    missing = run("law", "explain", "eu-gdpr-34-individual")
    assert missing.exit_code == 1
    assert "Did you mean" in missing.stderr


def test_a_pack_of_ones_own_joins(packs: Path) -> None:
    assert "Chain act" in run("law", "explain", "zz-final", "--packs", str(packs)).output


def test_period_counts_one_rule_in_words() -> None:
    found = answer(
        "period", "--rule", "eu-gdpr-33-1-authority", "--start", "2026-06-12T16:20:00+02:00", "--country", "DE"
    )
    assert found["strict_due"] == "2026-06-15T16:20:00+02:00"
    assert found["legal_end"] == "2026-06-15T17:00:00+02:00"
    shown = run("period", "--rule", "sg-pdpa-26d-pdpc", "--start", "2026-05-29T10:00:00+08:00")
    assert "strict: the end of Mon 1 Jun 2026" in shown.output
    zone = answer("period", "--rule", "sg-pdpa-26d-pdpc", "--start", "2026-05-29T10:00:00+08:00", "--zone", "UTC")
    assert zone["time_zone"] == "UTC"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--start", "2026-06-12T16:20:00"), "no zone"),
        (("--start", "yesterday"), "ISO 8601"),
        (("--start", "2026-06-12T16:20Z", "--zone", "Mars/Olympus"), "IANA"),
        (("--start", "2026-06-12T16:20Z", "--event", "aware"), "name=time"),
        (("--start", "2026-06-12T16:20Z", "--event", "awair=2026-06-12T16:20Z"), "no clock event"),
    ],
)
def test_period_refuses_what_it_cannot_read(arguments: tuple[str, ...], says: str) -> None:
    result = run("period", "--rule", "eu-gdpr-33-1-authority", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_contents_lists_items_and_checks_a_draft(facts: str, tmp_path: Path) -> None:
    only = ("--rule", "cn-pipl-57-individuals", *AT)
    found = answer("law", "contents", "--facts", facts, *only)
    assert [item["id"] for item in found["items"]] == [
        "kinds_cause_and_harm", "measures_taken_and_advice", "contact_of_processor",
    ]  # fmt: skip
    draft = tmp_path / "draft.json"
    draft.write_text(json.dumps({"kinds_cause_and_harm": "Names.", "weather": "Rain."}), encoding="utf-8")
    checked = answer("law", "contents", "--facts", facts, *only, "--draft", str(draft), exit_code=1)
    assert checked["missing"] == ["measures_taken_and_advice", "contact_of_processor"]
    assert checked["not_demanded"] == ["weather"]
    shown = run("law", "contents", "--facts", facts, *only, "--draft", str(draft))
    assert "missing" in shown.output
    draft.write_text(json.dumps({"items": {item["id"]: "Said." for item in found["items"]}}), encoding="utf-8")
    assert answer("law", "contents", "--facts", facts, *only, "--draft", str(draft))["complete"] is True


def test_duties_shows_days_reminders_and_possible_duties_together(tmp_path: Path) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text(
        "event_kinds: [personal_data_breach]\nroles: [controller]\ncountries: [SG]\nsignificant_harm_likely: true\n"
        "persons_affected: 600\nassessed_at: 2026-05-29T10:00:00+08:00\naware_at: 2026-05-28T10:00:00+08:00\n",
        encoding="utf-8",
    )
    arguments = ("duties", "--facts", str(path), "--at", "2026-05-29T12:00:00+08:00")
    shown = " ".join(run(*arguments).output.split())
    assert "until the end of Mon 1 Jun 2026 +08:00" in shown
    assert "reminder " in shown
    assert "(--all lists them)" in shown
    assert "settled by persons_by_country" in shown
    everything = run(*arguments, "--all").output
    assert "(--all lists them)" not in everything
    assert everything.count("possible") > shown.count("possible")


def test_contradicting_facts_are_an_error_naming_both(tmp_path: Path) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text("persons_affected: 0\npersons_by_province: {CN-HN: 5}\n", encoding="utf-8")
    result = run("duties", "--facts", str(path))
    assert result.exit_code == 2
    assert "persons_affected is 0, but persons_by_province counts 5 (CN-HN 5)" in result.stderr
