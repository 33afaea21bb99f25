"""Owners, requests to wait and retention times on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from tocsin.cli.main import app

FACTS = """
roles: [hipaa_covered_entity]
countries: [US]
data_classes: [health]
data_events: [stolen]
persons_affected: 501
persons_by_province: {US-GA: 501}
encrypted: false
low_probability_of_compromise: false
good_faith_access: false
discovered_at: 2026-01-15T15:00:00-05:00
"""
DELAYS = """
delays:
  - {id: call, by: law_enforcement, authority: FBI Atlanta, form: oral, stated_at: '2026-02-20T10:00:00-05:00'}
"""
EFFECT = {"duty_id": "d", "recipient": "people", "status": "paused", "pauses": True, "until": "2026-03-01T00:00:00Z"}
ANSWER: dict[str, Any] = {
    "delays": [
        {
            "id": "call",
            "authority": "FBI Atlanta",
            "form": "oral",
            "stated_at": "2026-02-20T15:00:00Z",
            "until": None,
            "ended_at": None,
        }
    ],
    "effects": [{**EFFECT, "resumes_due": "2026-03-17T04:00:00Z", "strict_due": None}],
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    facts, delays = tmp_path / "facts.yaml", tmp_path / "delays.yaml"
    facts.write_text(FACTS)
    delays.write_text(DELAYS)
    return str(facts), str(delays)


def test_what_if_an_authority_asked_to_wait(files: tuple[str, str]) -> None:
    facts, delays = files
    asked = ("duties", "--facts", facts, "--at", "2026-02-25T09:00:00-05:00", "--delays", delays)
    (people,) = [one for one in json.loads(run(*asked, "--json").output) if one["rule"] == "us-hipaa-404-individuals"]
    assert people["status"] == "paused"
    assert people["delay"]["until"] == "2026-03-23T00:00:00-04:00"
    table = run(*asked).output
    assert "paused until Mon 23 Mar 2026 00:00 -04:00" in table


def test_a_faulty_request_is_named(files: tuple[str, str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(DELAYS.replace("oral", "whispered"))
    result = run("duties", "--facts", files[0], "--delays", str(wrong))
    assert result.exit_code != 0
    assert "delays.0.form" in result.output


def test_a_retention_time_is_in_the_table(tmp_path: Path) -> None:
    facts = tmp_path / "facts.yaml"
    facts.write_text(
        "{roles: [controller], countries: [CA], data_classes: [personal], data_events: [leaked], persons_affected: 3,"
        " persons_by_country: {CA: 3}, determined_at: '2026-07-02T10:00:00-04:00'}"
    )
    assert "kept until the end of Sun 2 Jul 2028" in run("duties", "--facts", str(facts)).output


def test_the_law_explains_on_whose_request_a_duty_may_wait() -> None:
    said = " ".join(run("law", "explain", "us-sec-8k-105").output.split())
    assert "at the request of us attorney general, in writing" in said
    assert "30 calendar days, then 30 calendar days, then 60 calendar days in extraordinary circumstances" in said


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    """What the command line asks of a service, which answers as the real one does."""
    requests: list[tuple[str, str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        requests.append((request.method, request.url.path, body))
        if request.url.path == "/v1/owners":
            return httpx.Response(200, json={"items": [{"id": "dpo", "name": "Data protection"}]})
        return httpx.Response(201, json=ANSWER)

    real = httpx.Client

    def client(**settings: Any) -> httpx.Client:
        return real(transport=httpx.MockTransport(answer), **settings)

    monkeypatch.setattr(httpx, "Client", client)
    monkeypatch.setenv("TOCSIN_KEY", "key")
    return requests


def test_the_commands_ask_the_service(asked: list[tuple[str, str, Any]]) -> None:
    assert "given to dpo" in run("incident", "assign", "INC-1", "r:p:initial", "--owner", "dpo").output
    assert "taken back" in run("incident", "assign", "INC-1", "r:p:initial", "--owner", "").output
    assert "acknowledged" in run("incident", "acknowledge", "INC-1", "r:p:initial").output
    table = run(
        "incident", "wait", "INC-1", "--by", "law_enforcement", "--authority", "FBI Atlanta", "--form", "oral"
    ).output
    assert "paused" in table
    assert "FBI Atlanta" in table
    assert run("incident", "end-wait", "INC-1", "call", "--reason", "Over.").exit_code == 0
    assert run("incident", "waits", "INC-1", "--json").exit_code == 0
    assert "Data protection" in run("owners").output
    duty = "/v1/incidents/INC-1/duties/r:p:initial"
    assert asked == [
        ("POST", f"{duty}/assignment", {"owner": "dpo"}),
        ("DELETE", f"{duty}/assignment", None),
        ("POST", f"{duty}/acknowledgement", {}),
        (
            "POST",
            "/v1/incidents/INC-1/delays",
            {"by": "law_enforcement", "authority": "FBI Atlanta", "form": "oral", "reason": ""},
        ),
        ("POST", "/v1/incidents/INC-1/delays/call/end", {"reason": "Over."}),
        ("GET", "/v1/incidents/INC-1/delays", None),
        ("GET", "/v1/owners", None),
    ]
