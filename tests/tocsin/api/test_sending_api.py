"""Sending under control, from outside: pause, resume, cancel, progress and the forecast against the deadline."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.tocsin.api.test_campaigns_api import GOOD, campaign, incident, put_csv  # noqa: F401 - fixtures
from tests.tocsin.conftest import Door, problem
from tests.tocsin.console.test_login import HTML, log_in

WHY = {"reason": "The telephone desk is not staffed before nine."}


@pytest.fixture
def started(door: Door, campaign: str) -> str:  # noqa: F811
    path = f"/v1/campaigns/{campaign}"
    put_csv(door, campaign, GOOD)
    asked = door.post(f"{path}/approval-request").json()
    digests = {name: asked[name] for name in ("text_digest", "audience_digest")}
    approved = door.post(f"{path}/approval", digests | {"override_reason": "Counsel: by letter."}, by="approver")
    assert approved.status_code == 200, approved.text
    door.settle()
    return path


def test_a_started_campaign_is_paused_resumed_and_cancelled_by_whoever_may_approve(door: Door, started: str) -> None:
    assert door.get(started).json()["campaign"]["status"] == "started"
    problem(door.post(f"{started}/pause", WHY), 403, "forbidden")
    problem(door.post(f"{started}/pause", {"reason": ""}, by="approver"), 422, "invalid-input")
    problem(door.post(f"{started}/pause", {"reason": "ring +8613800138000"}, by="approver"), 422, "invalid-input")
    problem(door.post(f"{started}/resumption", WHY, by="approver"), 409, "illegal-transition")

    paused = door.post(f"{started}/pause", WHY, by="approver")
    assert (paused.status_code, paused.json()["status"]) == (200, "paused"), paused.text
    assert paused.json()["pause_reason"] == WHY["reason"]
    shown = door.get(f"{started}/progress", by="auditor").json()
    assert shown["paused_at"] is not None
    assert (shown["recipients"], shown["left"], shown["done"]) == (2, 2, 0)
    door.settle()
    assert door.get(f"{started}/coverage").json()["state"] == "paused"

    resumed = door.post(f"{started}/resumption", WHY, by="approver").json()
    assert (resumed["status"], resumed["pause_reason"]) == ("started", None)
    cancelled = door.post(f"{started}/cancellation", WHY, by="approver").json()
    assert (cancelled["status"], cancelled["cancellation_reason"]) == ("cancelled", WHY["reason"])
    problem(door.post(f"{started}/pause", WHY, by="approver"), 409, "illegal-transition")


def test_what_is_not_sent_yet_has_a_forecast_and_no_progress(door: Door, campaign: str) -> None:  # noqa: F811
    put_csv(door, campaign, GOOD)
    path = f"/v1/campaigns/{campaign}"
    problem(door.get(f"{path}/progress"), 409, "illegal-transition")
    told = door.get(f"{path}/forecast").json()
    assert told["ends_at"] is not None
    assert (told["in_time"] is None) is (told["deadline"] is None)


def test_the_page_of_the_incident_steers_too(door: Door, started: str, incident: str) -> None:  # noqa: F811
    campaign_id = started.rpartition("/")[2]
    path = f"/incidents/{incident}/campaigns/{campaign_id}/sending"

    def page(role: str) -> str:
        door.settle()
        cookie = log_in(door, door.key(role)) or ""
        shown: str = door.get(f"/incidents/{incident}", by=None, headers=HTML | {"Cookie": cookie}).text
        return shown

    def send(role: str, what: str, site: str = "same-origin") -> int:
        headers = HTML | {"Cookie": log_in(door, door.key(role)) or "", "Sec-Fetch-Site": site}
        form = {"once": str(uuid4()), "what": what, **WHY}
        return door.ask("POST", path, by=None, data=form, headers=headers).status_code

    assert "Pause sending" in page("approver")
    assert "Pause sending" not in page("auditor")
    assert send("auditor", "pause") == 403
    assert send("approver", "pause", site="cross-site") == 403
    assert send("approver", "pause") == 303
    assert door.get(started).json()["campaign"]["status"] == "paused"
    assert "Resume sending" in page("approver")
    assert send("approver", "stop") == 422
    assert send("approver", "cancel") == 303
    assert door.get(started).json()["campaign"]["status"] == "cancelled"
