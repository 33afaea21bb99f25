"""The page of a filing: items, whom it goes to, and forms that refuse what the law would."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest

from playbooks.filings.filing import Filing
from tests.tocsin.api.test_filings_api import (  # noqa: F401 - the fixtures
    ADDRESS,
    CONTRACT,
    DPA,
    FACTS,
    confirm,
    party_of,
    settings,
    shared_settings,
    state_contact,
)
from tests.tocsin.conftest import Door
from tests.tocsin.console.test_console_pages import HTML, Page

ANYBODY = HTML | {"cookie": "tocsin_session=none"}


@pytest.fixture
def incident(door: Door) -> str:
    found = door.report("Customer table copied", facts=FACTS)
    door.post(f"/v1/incidents/{found['id']}/transitions", {"transition": "triage"})
    door.settle()
    return str(found["id"])


def logged_in(door: Door, *roles: str) -> dict[str, str]:
    """Headers of a browser with a session."""
    answer = door.client.request("POST", "/login", data={"key": door.key(*roles)}, headers=HTML)
    return HTML | {"cookie": answer.headers["set-cookie"].split(";")[0]}


def page_of(door: Door, incident: str, duty: str = DPA, headers: dict[str, str] | None = None, lang: str = "en") -> Any:
    path = f"/incidents/{incident}/filings/{duty}"
    return door.client.request("GET", path, params={"lang": lang}, headers=headers or logged_in(door, "analyst"))


def send(door: Door, incident: str, part: str, data: dict[str, str], headers: dict[str, str], duty: str = DPA) -> Any:
    return door.client.request("POST", f"/incidents/{incident}/filings/{duty}/{part}", data=data, headers=headers)


def hidden(html: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', html)
    assert found is not None
    return found.group(1)


def test_the_page_shows_items_and_what_is_missing_in_both_languages(door: Door, incident: str) -> None:
    english, chinese = page_of(door, incident), page_of(door, incident, lang="zh")

    assert english.status_code == chinese.status_code == 200, english.text
    for answer in (english, chinese):
        assert not Page(answer.text).open, "balanced"
    assert "Missing items" in english.text
    assert "desk@lantern.example" in english.text, "the contact from the profile"
    assert "缺少" in chinese.text
    assert "<textarea" in english.text
    assert "/submission" not in english.text, "an analyst does not file"
    assert "<textarea" not in page_of(door, incident, headers=logged_in(door, "auditor")).text
    linked = door.client.request("GET", f"/incidents/{incident}", headers=logged_in(door, "analyst")).text
    assert f"/filings/{DPA}" in linked
    assert page_of(door, incident, "none").status_code == 404
    assert page_of(door, incident, headers=ANYBODY).headers["location"] == "/login"


def test_items_are_written_refused_approved_and_submitted(door: Door, incident: str) -> None:
    analyst, approver = logged_in(door, "analyst"), logged_in(door, "approver")
    names = re.findall(r'name="text\.([^"]+)"', page_of(door, incident).text)
    missing = door.services.filings.view(UUID(incident), DPA).standing.missing

    refused = send(door, incident, "submission", {"token": "1"}, approver)
    assert refused.status_code == 422
    assert all(f"items.{name}: is missing" in refused.text for name in missing)
    unfit = send(door, incident, "items", {"token": "2", f"text.{names[0]}": "mail anna@example.org"}, analyst)
    assert unfit.status_code == 422
    assert door.services.filings.view(UUID(incident), DPA).filing.said == {}

    typed = {f"text.{name}": f"About {name} <b>" for name in missing} | {"token": "3"}
    assert send(door, incident, "items", typed, analyst).status_code == 303
    version = door.services.filings.view(UUID(incident), DPA).filing.version
    send(door, incident, "items", typed | {"token": "4"}, analyst)
    assert door.services.filings.view(UUID(incident), DPA).filing.version == version, "nothing new, nothing recorded"
    shown = page_of(door, incident, headers=approver).text
    assert "Every item has its answer" in shown
    assert "<b>" not in re.sub(r"<p class=\"chips\">.*?</p>|<p><b>.*?</b>", "", shown)

    digest = {"digest": hidden(shown, "digest"), "token": "5"}
    assert send(door, incident, "approval", digest, approver).status_code == 303
    filed = {"token": "6", "reference": "DPA-1", "submitted_at": ""}
    assert send(door, incident, "submission", filed, approver).status_code == 303
    assert send(door, incident, "submission", filed, approver).status_code == 303, "sent twice, one effect"
    assert "Submitted, recorded by" in page_of(door, incident, headers=approver).text
    events = [event.kind for event in door.services.record.stream(Filing.id_for(UUID(incident), DPA))]
    assert events == ["filing.written", "filing.approved", "filing.submitted"]


def test_what_was_typed_stays_when_a_form_is_refused(door: Door, incident: str) -> None:
    approver = logged_in(door, "approver")

    refused = send(
        door, incident, "submission", {"token": "1", "submitted_at": "yesterday", "reference": "A-7"}, approver
    )

    assert refused.status_code == 422
    assert 'value="yesterday"' in refused.text
    assert 'value="A-7"' in refused.text


def test_forms_need_the_right_role_and_the_same_site(door: Door, incident: str) -> None:
    analyst = logged_in(door, "analyst")

    assert send(door, incident, "submission", {"override_reason": "x"}, analyst).status_code == 403
    foreign = analyst | {"sec-fetch-site": "cross-site"}
    assert send(door, incident, "items", {"text.cause": "x"}, foreign).status_code == 403
    assert send(door, incident, "items", {"text.cause": "x"}, ANYBODY).headers["location"] == "/login"
    assert door.services.filings.view(UUID(incident), DPA).filing.version == 0


def test_a_party_is_shown_with_its_confirmed_contact_or_loudly_without(door: Door, incident: str) -> None:
    analyst = logged_in(door, "analyst")
    assert "NO PARTY is registered" in page_of(door, incident, CONTRACT, analyst).text
    party = party_of(door)
    contact = state_contact(door, party, ADDRESS)
    unsure = page_of(door, incident, CONTRACT, analyst).text
    assert "NO CONTACT of Acme AG IS CONFIRMED" in unsure
    assert ADDRESS not in unsure

    confirm(door, party, contact)

    assert ADDRESS in page_of(door, incident, CONTRACT, analyst).text
    auditor = page_of(door, incident, CONTRACT, logged_in(door, "auditor")).text
    assert "Acme AG" in auditor
    assert ADDRESS not in auditor
