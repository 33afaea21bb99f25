"""The list of addresses not to be written to, on the command line."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from tocsin.cli.main import app

ENTRY: dict[str, Any] = {
    "suppression_id": "0b7f6c1e-8a51-4a3f-9d0e-2f3f6b1c8a77",
    "kind": "email",
    "channel": "*",
    "category": "*",
    "reason": "manual",
    "code": None,
    "note": None,
    "added_at": "2026-11-20T01:00:00Z",
    "added_by": "user:lan",
    "lifted_at": None,
    "lifted_by": None,
    "lifted_reason": None,
}
ANSWERS: dict[tuple[str, str], Any] = {
    ("GET", "/v1/suppressions"): {"in_force": {"manual": 1}, "items": [ENTRY]},
    ("POST", "/v1/suppressions/search"): {"items": [ENTRY]},
    ("POST", "/v1/suppressions"): ENTRY,
    ("POST", f"/v1/suppressions/{ENTRY['suppression_id']}/lifting"): ENTRY,
    ("POST", "/v1/campaigns/c1/suppression-override"): {"campaign_id": "c1"},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What the service was asked."""
    seen: list[tuple[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.path, json.loads(request.content) if request.content else None))
        return httpx.Response(200, json=ANSWERS[request.method, request.url.path])

    real = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **rest: real(**rest, transport=httpx.MockTransport(answer)))
    return seen


def run(*arguments: str, said: str = "") -> Result:
    result = CliRunner().invoke(
        app, ["suppression", *arguments], input=said, env={"COLUMNS": "200", "TOCSIN_KEY": "tocsin_x"}
    )
    assert result.exit_code == 0, result.output
    return result


def test_an_address_need_not_stand_on_the_command_line(asked: list[tuple[str, Any]]) -> None:
    assert "manual" in run("check", "-", said="lan@example.com\n").output
    assert asked == [("/v1/suppressions/search", {"address": "lan@example.com"})]


def test_listed_added_lifted_overridden(asked: list[tuple[str, Any]]) -> None:
    listed = run("list").output
    assert "manual 1" in listed
    assert ENTRY["suppression_id"] in listed
    assert ENTRY["suppression_id"] in run("add", "lan@example.com", "--channel", "email", "--note", "asked").output
    run("lift", ENTRY["suppression_id"], "--reason", "wrong person")
    run("override", "c1", "--reason", "the article names no exception")
    assert [body for _, body in asked[1:]] == [
        {"address": "lan@example.com", "channel": "email", "category": "*", "note": "asked"},
        {"reason": "wrong person"},
        {"reason": "the article names no exception"},
    ]
    assert json.loads(run("list", "--json").output)["items"] == [ENTRY]
