"""Sending under control, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
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
    "held_meaning": {"en": "the provider refuses our credentials", "zh": "服务商拒绝了我们的凭据"},
    "resting": [
        {"channel": "sms", "name": "second", "until": "2026-11-20T01:01:00Z", "code": "20429", "meaning": None}
    ],
    "per_hour": 100.0,
    "ends_at": "2026-11-21T15:00:00Z",
    "deadline": "2026-11-20T12:00:00Z",
    "in_time": False,
    "needed_per_hour": 700.0,
}
FORECAST: dict[str, Any] = {
    "sms_recipients": 0,
    "sms_segments": 0,
    "by_language": {"en": {"segments": 2, "recipients": 0, "total_segments": 0}},
    "currency": "USD",
    "cost": "0",
    "unpriced": {},
    "email_recipients": 10,
    "call_recipients": 600,
    "call_seconds": 1200.0,
    "im_recipients": 50,
    "unreachable": 7,
    "with_address": 657,
    "seconds": 1200.0,
    "in_time": None,
}
DRAFT = {"campaign_id": "c1", "status": "draft", "text_digest": "sha256:1", "missing_items": ["advice"]}
ANSWERS: dict[tuple[str, str], Any] = {
    ("POST", "/v1/campaigns/c1/pause"): {"campaign_id": "c1", "status": "paused"},
    ("POST", "/v1/campaigns/c1/resumption"): {"campaign_id": "c1", "status": "started"},
    ("POST", "/v1/campaigns/c1/cancellation"): {"campaign_id": "c1", "status": "cancelled"},
    ("GET", "/v1/campaigns/c1/progress"): PROGRESS,
    ("GET", "/v1/campaigns/c1/forecast"): FORECAST,
    ("POST", "/v1/incidents/INC-1/campaigns"): DRAFT,
    ("PUT", "/v1/campaigns/c1/text"): DRAFT,
    ("POST", "/v1/campaigns/c1/rejection"): DRAFT | {"status": "rejected"},
    ("GET", "/v1/campaigns/c1/preview"): {
        "email": {"subject": "A notice", "text": "Dear Alex"},
        "sms": {"segments": 2, "text": "Short"},
    },
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


def test_a_notice_is_drafted_read_and_rejected(asked: list[tuple[str, Any]], tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("organisation: {en: Lantern Bank}\n")
    said = run("draft", "INC-1", "--values", str(values))
    assert "campaign c1: draft\ntext digest sha256:1\nlacks what the law demands: advice\n" in said
    run("revise", "c1", "--values", str(values))
    assert "Dear Alex\n--- text message, 2 segments\nShort" in run("preview", "c1", "--language", "vi")
    assert "campaign c1: rejected" in run("reject", "c1", "--reason", "too long")
    filled = {"values": {"organisation": {"en": "Lantern Bank"}}}
    assert asked == [
        ("/v1/incidents/INC-1/campaigns", {"template": "personal-data-breach"} | filled),
        ("/v1/campaigns/c1/text", filled),
        ("/v1/campaigns/c1/preview", None),
        ("/v1/campaigns/c1/rejection", {"reason": "too long"}),
    ]


def test_the_forecast_says_what_has_no_time(asked: list[tuple[str, Any]]) -> None:
    said = run("forecast", "c1")
    assert "segments each" not in said, "nobody gets a text message"
    assert "600 calls: 0:20:00" in said
    assert "50 instant messages: nobody knows how fast they are taken" in said
    assert "no address for any channel that is set up: 7 people" in said
    assert "with a postal address: 657 people; letters are made by hand" in said
    assert said.rstrip().endswith("time: 0:20:00")
    assert len(asked) == 1


def test_progress_says_what_it_waits_for_and_whether_it_is_in_time(asked: list[tuple[str, Any]]) -> None:
    said = run("progress", "c1")
    assert "300 of 1000 tried, 700 left, 0 cancelled" in said
    assert (
        "rests until 2026-11-20T01:02:00Z after a fault of ours: the provider refuses our credentials (20003)" in said
    )
    assert "200 are not disturbed before 2026-11-21T08:00:00Z" in said
    assert "second (sms) is left alone until 2026-11-20T01:01:00Z: 20429" in said
    assert "NOT in time: the deadline is 2026-11-20T12:00:00Z; 700 an hour would do it" in said
    assert len(asked) == 1
