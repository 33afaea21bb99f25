"""The pack in docs/law-adding.md is sound as it stands: whoever copies it starts from something that works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from incidents.errors import InvalidInput
from playbooks.law import assemble, parse_pack
from playbooks.law.lint import lint
from tests.playbooks.law.mutations import is_caught, mutations, raw_pack
from tocsin.cli.main import app

PAGE = Path(__file__).parents[3] / "docs" / "law-adding.md"


def example() -> str:
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_example_is_sound_and_its_cases_are_sharp() -> None:
    pack = parse_pack(example(), name="acme.yaml")
    assert lint(assemble([pack])) == []
    changed = [mutation for rule in raw_pack(pack)["rules"] for mutation in mutations(rule)]
    assert len(changed) == 3
    assert all(is_caught(pack, mutation) for mutation in changed)


def test_the_only_rule_being_faulty_is_one_fault_and_not_a_lack_of_rules_too() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_pack(example().replace("facts.service_outage_minutes >= 60", "facts.outage >= 60"), name="acme.yaml")
    (fault,) = caught.value.errors
    assert fault.field == "acme.yaml:21: rules.acme-tell-customer-4h.trigger"


def test_the_commands_of_the_page_work_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "law"
    folder.mkdir()
    (folder / "acme.yaml").write_text(example(), encoding="utf-8")
    facts = tmp_path / "incident.yaml"
    facts.write_text(
        "roles: [contract_party_b]\nservice_outage_minutes: 90\naware_at: 2026-06-12T23:00:00+02:00\n", encoding="utf-8"
    )
    for line in re.findall(r"^    (tocsin .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        words = line.split("#")[0].split()[1:]
        given = [{"law": str(folder), "incident.yaml": str(facts)}.get(word, word) for word in words]
        if words[0] == "law":
            given[0] = "law"
        result = CliRunner().invoke(app, given, env={"COLUMNS": "200"})
        assert result.exit_code == 0, (line, result.output)
        assert "sound" in result.output or "acme-tell-customer-4h" in result.output or "Acme contract" in result.output
