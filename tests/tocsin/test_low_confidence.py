"""A rule of low confidence says "verify with counsel" wherever it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.tocsin.conftest import Door
from tests.tocsin.console.test_filing_page import logged_in
from tocsin.cli import remote
from tocsin.cli.main import app

LOW = "vn-d05-2017-11-5d:vn.national_coordinator:initial"
FACTS: dict[str, Any] = {
    "event_kinds": ["cyberattack"],
    "roles": ["network_operator"],
    "countries": ["VN"],
    "discovered_at": "2026-04-29T16:30:00+07:00",
    "aware_at": "2026-04-29T16:30:00+07:00",
    "persons_by_country": {},
    "persons_affected": 0,
    "data_classes": [],
}
COUNSEL = {"en": "verify with counsel", "zh": "请与律师核实"}


@pytest.fixture
def incident(door: Door) -> str:
    found = door.report("Portal defaced", facts=FACTS)["id"]
    door.post(f"/v1/incidents/{found}/transitions", {"transition": "triage"})
    door.settle()
    return str(found)


def test_the_api_says_it_with_the_duty_the_filing_and_the_notice(door: Door, incident: str) -> None:
    items = door.get(f"/v1/incidents/{incident}/duties").json()["items"]
    (duty,) = [item for item in items if item["duty_id"] == LOW]
    assert any(reason["kind"] == "counsel" for reason in duty["why"])
    path = f"/v1/incidents/{incident}/duties/{LOW}"
    for language, words in (("en", "verify with counsel"), ("zh-Hans", "请与律师核实")):
        asked = {"language": language}
        assert words in door.get(f"{path}/filing-form", params=asked).json()["counsel"]
        assert words in door.get(f"{path}/filing-draft", params=asked).json()["text"]
    body = {"template": "personal-data-breach", "values": {"occurred_on": "2026-11-19"}, "duties": [LOW]}
    campaign = door.post(f"/v1/incidents/{incident}/campaigns", body).json()["campaign_id"]
    assert door.get(f"/v1/campaigns/{campaign}").json()["counsel"] == [LOW], "before it is approved"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_console_says_it_on_every_page_that_names_the_duty(door: Door, incident: str, language: str) -> None:
    session = logged_in(door, "analyst")
    for path in ("/", f"/incidents/{incident}", f"/incidents/{incident}/filings/{LOW}"):
        page = door.client.request("GET", path, params={"lang": language}, headers=session)
        assert page.status_code == 200, page.text
        assert COUNSEL[language] in page.text, path


def test_the_lists_of_the_command_line_say_it(
    door: Door, incident: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")

    remote.show_deadlines(door.get(f"/v1/incidents/{incident}/duties").json()["items"])

    low = [line for line in capsys.readouterr().out.splitlines() if "vn-d05-2017-11-5d" in line]
    assert low
    assert all("verify with counsel" in line for line in low)


def test_what_the_command_line_works_out_alone_says_it(tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps(FACTS), encoding="utf-8")
    given = ["--facts", str(facts), "--at", "2026-04-29T18:00:00+07:00"]
    start = ["--start", "2026-04-29T16:30+07:00"]
    for command in (
        ["duties", *given],
        ["law", "contents", *given],
        ["law", "explain", "vn-d05-2017-11-5d"],
        ["period", "--rule", "vn-d05-2017-11-5d", *start],
        ["law", "coverage"],
    ):
        result = CliRunner().invoke(app, command, env={"COLUMNS": "300"})
        assert result.exit_code == 0, (command, result.output)
        assert "verify with counsel" in result.output, command
