"""Sending under control, on the command line."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from tocsin.cli.main import app

PROGRESS: dict[str, Any] = {
    "recipients": 1000,
    "done": 300,
    "left": 700,
    "cancelled": 0,
    "asleep": 200,
    "awake_at": "2026-11-21T08:00:00Z",
    "paused_at": None,
    "held_until": "2026-11-20T01:02:00Z",
    "held_code": "20003",
    "resting": [{"channel": "sms", "name": "second", "until": "2026-11-20T01:01:00Z", "code": "20429"}],
    "per_hour": 100.0,
    "ends_at": "2026-11-21T15:00:00Z",
    "deadline": "2026-11-20T12:00:00Z",
    "in_time": False,
    "needed_per_hour": 700.0,
}
ANSWERS: dict[tuple[str, str], Any] = {
    ("POST", "/v1/campaigns/c1/pause"): {"campaign_id": "c1", "status": "paused"},
    ("POST", "/v1/campaigns/c1/resumption"): {"campaign_id": "c1", "status": "started"},
    ("POST", "/v1/campaigns/c1/cancellation"): {"campaign_id": "c1", "status": "cancelled"},
    ("GET", "/v1/campaigns/c1/progress"): PROGRESS,
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    seen: list[tuple[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.path, json.loads(request.content) if request.content else None))
        return httpx.Response(200, json=ANSWERS[request.method, request.url.path])

    real = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **rest: real(**rest, transport=httpx.MockTransport(answer)))
    return seen


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["campaign", *arguments], env={"COLUMNS": "200", "TOCSIN_KEY": "tocsin_x"})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("command", "path", "status"),
    [("pause", "pause", "paused"), ("resume", "resumption", "started"), ("cancel", "cancellation", "cancelled")],
)
def test_a_campaign_is_steered_with_a_reason(
    asked: list[tuple[str, Any]], command: str, path: str, status: str
) -> None:
    assert run(command, "c1", "--reason", "the desk is closed") == f"campaign c1: {status}\n"
    assert asked == [(f"/v1/campaigns/c1/{path}", {"reason": "the desk is closed"})]


def test_progress_says_what_it_waits_for_and_whether_it_is_in_time(asked: list[tuple[str, Any]]) -> None:
    said = run("progress", "c1")
    assert "300 of 1000 tried, 700 left, 0 cancelled" in said
    assert "rests until 2026-11-20T01:02:00Z after a fault of ours: 20003" in said
    assert "200 are not disturbed before 2026-11-21T08:00:00Z" in said
    assert "second (sms) is left alone until" in said
    assert "NOT in time: the deadline is 2026-11-20T12:00:00Z; 700 an hour would do it" in said
    assert len(asked) == 1
