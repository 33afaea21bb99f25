"""Alerts over HTTP."""

from __future__ import annotations

import copy
import json
from importlib.resources import files
from typing import Any

import pytest

from tests.tocsin.conftest import Door, problem

ALERT: dict[str, Any] = json.loads(files("tocsin.story").joinpath("alert.wazuh.json").read_text("utf-8"))


def counted(door: Door, dialect: str, outcome: str) -> float:
    return float(door.services.metrics.alerts.labels(dialect=dialect, outcome=outcome)._value.get())


def another(number: int) -> dict[str, Any]:
    alert = copy.deepcopy(ALERT)
    alert["id"] = f"1795000000.{number}"
    alert["agent"] = {"id": f"{number:03d}", "name": f"host-{number}"}
    return alert


def test_an_alert_declares_an_incident_once(door: Door) -> None:
    first = door.post("/v1/alerts/wazuh", ALERT, by="siem")
    events = door.events()
    second = door.post("/v1/alerts/wazuh", ALERT, by="siem")

    assert (first.status_code, first.json()["outcome"]) == (202, "declared")
    assert (second.status_code, second.json()["outcome"]) == (200, "duplicate")
    assert second.json()["incident_id"] == first.json()["incident_id"]
    assert door.events() == events
    assert counted(door, "wazuh", "declared") == counted(door, "wazuh", "duplicate") == 1
    door.settle()
    (row,) = door.get("/v1/alerts").json()["items"]
    assert row["incident_id"] == first.json()["incident_id"]
    incident = door.get(f"/v1/incidents/{row['reference']}").json()
    assert [alert["alert_id"] for alert in incident["alerts"]] == [row["alert_id"]]
    assert door.get(f"/v1/incidents/{row['reference']}/alerts").json()["items"] == [row]


def test_a_batch_takes_the_good_and_names_the_bad(door: Door) -> None:
    lines = [json.dumps(another(1)), '{"rule": ', json.dumps(another(2))]
    answer = door.ask(
        "POST",
        "/v1/alerts/wazuh/batch",
        by="siem",
        content="\n".join(lines).encode(),
        headers={"Content-Type": "application/x-ndjson"},
    )

    body = answer.json()
    assert (answer.status_code, body["taken"], body["refused"]) == (200, 2, 1)
    assert [item["index"] for item in body["items"]] == [0, 1, 2]
    assert body["items"][1]["errors"][0]["field"]
    array = door.post("/v1/alerts/wazuh/batch", [another(1), another(2)], by="siem").json()
    assert [item["receipt"]["outcome"] for item in array["items"]] == ["duplicate", "duplicate"]


@pytest.mark.parametrize(
    ("dialect", "content", "status", "code", "field"),
    [
        ("klingon", b"{}", 404, "not-found", "dialect"),
        ("wazuh", b'{"rule": {"level": 12', 400, "malformed-request", "body"),
        ("wazuh", b"", 400, "malformed-request", "body"),
        ("wazuh", b"[1]", 422, "invalid-input", "body"),
        ("wazuh", b'{"a":' * 100 + b"1" + b"}" * 100, 422, "invalid-input", "body"),
        ("ocsf", b"{}", 422, "invalid-input", None),
    ],
    ids=["unknown dialect", "truncated", "empty", "no object", "too deep", "no finding"],
)
def test_a_bad_alert_gets_a_clear_error_changes_nothing_and_is_counted(
    door: Door, dialect: str, content: bytes, status: int, code: str, field: str | None
) -> None:
    before = door.events()

    answer = door.ask("POST", f"/v1/alerts/{dialect}", by="siem", content=content)

    document = problem(answer, status, code)
    assert document["errors"]
    assert field is None or document["errors"][0]["field"] == field
    assert door.events() == before
    assert counted(door, dialect if dialect != "klingon" else "unknown", "refused") == 1
