"""What people do to duties from a page: with a session that may, from this site, once."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID, uuid4

from incidents.clock import ManualClock
from incidents.record import Context
from playbooks.duties.register import DutyState
from tests.tocsin.api.test_delays_api import PEOPLE, breach, settings  # noqa: F401 - the fixtures
from tests.tocsin.conftest import Door
from tests.tocsin.console.test_login import HTML, log_in

FORM = {"by": "law_enforcement", "authority": "FBI Atlanta", "form": "written", "until": "2026-11-30T09:00"}


def state(door: Door, incident: str, duty: str = PEOPLE) -> DutyState:
    return door.services.duties.register(UUID(incident)).duties[duty]


def page(door: Door, incident: str, role: str) -> str:
    cookie = log_in(door, door.key(role))
    assert cookie is not None
    shown: str = door.get(f"/incidents/{incident}", by=None, headers=HTML | {"Cookie": cookie}).text
    return shown


def send(door: Door, path: str, role: str | None, **form: str) -> int:
    headers = dict(HTML)
    if role is not None:
        headers["Cookie"] = log_in(door, door.key(role)) or ""
    headers["Sec-Fetch-Site"] = form.pop("site", "same-origin")
    return door.ask("POST", path, by=None, data={"once": str(uuid4()), **form}, headers=headers).status_code


def test_a_duty_is_given_to_an_owner_from_its_page(door: Door, breach: str) -> None:  # noqa: F811
    path = f"/incidents/{breach}/duties/{PEOPLE}/assign"
    assert send(door, path, None, owner="dpo") == 401
    assert f'action="{path.replace(breach, "")[:11]}' in page(door, breach, "analyst")
    assert "Data protection" in page(door, breach, "auditor")
    assert "<select" not in page(door, breach, "auditor").split("<main")[1]

    assert send(door, path, "analyst", owner="dpo") == 303
    assert state(door, breach).owner == "dpo"
    assert send(door, path, "analyst", owner="nobody") == 422
    assert send(door, path, "auditor", owner="") == 403
    assert send(door, path, "analyst", owner="", site="cross-site") == 403
    assert state(door, breach).owner == "dpo"
    assert send(door, path, "analyst", owner="") == 303
    assert state(door, breach).owner == ""


def test_a_request_to_wait_is_recorded_and_ended_from_the_page(
    door: Door,
    breach: str,  # noqa: F811
    clock: ManualClock,
) -> None:
    assert "Record a request to wait" in page(door, breach, "approver")
    assert "Record a request to wait" not in page(door, breach, "analyst")
    path = f"/incidents/{breach}/delays"
    assert send(door, path, "analyst", **FORM) == 403
    assert send(door, path, "approver", **(FORM | {"until": "soon"})) == 422
    assert send(door, path, "approver", **(FORM | {"until": "2020-01-01T00:00"})) == 422
    assert send(door, path, "approver", **FORM) == 303
    door.settle()

    paused = state(door, breach).duty
    assert paused.status == "paused"
    assert paused.delay is not None
    assert paused.delay.until is not None
    assert paused.delay.until.isoformat() == "2026-11-30T01:00:00+00:00", "09:00 in the zone of the organisation"
    shown = page(door, breach, "approver")
    assert re.search(r"FBI Atlanta .*law enforcement .*in writing", shown)
    assert "then due" in shown

    (delay,) = door.services.duties.register(UUID(breach)).delays
    clock.advance(timedelta(hours=1))
    assert send(door, f"{path}/{delay}/end", "approver", reason="Arrests were made.") == 303
    door.settle()
    assert state(door, breach).duty.status == "due"


def test_a_form_sent_twice_has_one_effect(door: Door, breach: str) -> None:  # noqa: F811
    once = str(uuid4())
    for _ in range(2):
        assert send(door, f"/incidents/{breach}/delays", "approver", **FORM, once=once) == 303
    assert len(door.services.duties.register(UUID(breach)).delays) == 1


def test_a_warning_is_acknowledged_from_the_page(door: Door, breach: str, clock: ManualClock) -> None:  # noqa: F811
    assert "Acknowledge the warning" not in page(door, breach, "analyst")
    clock.advance(timedelta(days=45))
    door.services.duties.watch(UUID(breach), _context(door))
    assert state(door, breach).wants_acknowledgement
    door.settle()
    assert "Acknowledge the warning" in page(door, breach, "analyst")
    assert send(door, f"/incidents/{breach}/duties/{PEOPLE}/acknowledge", "analyst") == 303
    assert not state(door, breach).wants_acknowledgement


def _context(door: Door) -> Context:
    return Context(actor="system:clock", cause=f"timer:{uuid4()}", recorded_at=door.services.clock.now())
