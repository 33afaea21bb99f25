"""The page on which one person's history is looked up: for one role, by a form, and every look on record."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.tocsin.api.test_campaigns_api import campaign, incident
from tests.tocsin.api.test_history_api import WHY, looks, moved, told
from tests.tocsin.conftest import Door
from tests.tocsin.console.test_console_pages import Page
from tests.tocsin.console.test_filing_page import ANYBODY, logged_in

__all__ = ["campaign", "incident", "told"]

PATH = "/history"
PHONE = "+86 138 0013 8000"


def send(door: Door, data: dict[str, Any], *roles: str, path: str = PATH, lang: str = "en", **headers: str) -> Any:
    form = {"once": str(uuid4()), "by": "address", "reason": WHY} | data
    return door.client.request(
        "POST", path, params={"lang": lang}, data=form, headers=logged_in(door, *roles) | headers
    )


def test_what_became_of_a_person_is_a_page_that_does_not_repeat_the_address(
    door: Door, told: tuple[str, UUID], logs: list[Any]
) -> None:
    found = send(door, {"known": PHONE}, "privacy")
    assert found.status_code == 200, found.text
    assert not Page(found.text).open
    for words in ("delivered", "taken by the provider", "text message", str(told[1]), "event:"):
        assert words in found.text, words
    assert "138 0013" not in found.text
    assert "13800138000" not in found.text
    assert found.headers["cache-control"] == "no-store"
    assert "已送达" in send(door, {"known": PHONE}, "privacy", lang="zh").text
    assert [(look.by, look.reason, look.actor) for look in looks(door)] == [("address", WHY, "user:privacy")] * 2
    assert "13800138000" not in json.dumps(logs, default=str).replace(" ", "")


@pytest.mark.parametrize(
    ("code", "english", "chinese"),
    [
        ("other-delivery", "belongs to another delivery", "属于另一次投递"),
        ("30003", "the telephone cannot be reached (30003)", "手机无法接通（30003）"),
        ("61234", "a reason that has no words here (61234)", "在此没有说明（61234）"),
    ],
)
def test_why_is_said_in_words_with_the_code_behind(
    door: Door, told: tuple[str, UUID], code: str, english: str, chinese: str
) -> None:
    moved(door, *told, "claimed", code=code)
    door.settle()
    assert english in send(door, {"known": PHONE}, "privacy").text
    assert chinese in send(door, {"known": PHONE}, "privacy", lang="zh").text


def test_the_same_as_a_file_is_a_look_of_its_own(door: Door, told: tuple[str, UUID]) -> None:
    given = send(door, {"recipient": [str(told[1])]}, "privacy", path=f"{PATH}/file")
    assert given.status_code == 200, given.text
    assert given.headers["content-disposition"] == 'attachment; filename="history.json"'
    (one,) = given.json()["items"]
    assert (one["campaign_id"], one["outcome"]) == (told[0], "delivered")
    (look,) = looks(door)
    assert (look.by, look.recipients) == ("recipient", (told[1],))
    assert send(door, {"recipient": [str(told[1])]}, "analyst", path=f"{PATH}/file").status_code == 403


def test_a_look_that_finds_nobody_is_on_record_and_one_without_a_reason_is_none(
    door: Door, told: tuple[str, UUID]
) -> None:
    assert "Nobody of that kind" in send(door, {"known": "nobody@example.com"}, "privacy").text
    assert len(looks(door)) == 1
    for form, said in (
        ({"known": PHONE, "reason": " "}, "Say why"),
        ({"known": " "}, "Type an address"),
        ({"known": "lan at example"}, "email address"),
        ({"known": PHONE, "reason": "for an@example.com"}, "reason"),
    ):
        refused = send(door, form, "privacy")
        assert (refused.status_code, said in refused.text) == (422, True), refused.text
        assert "an@example.com" not in refused.text
    assert len(looks(door)) == 1


def test_other_roles_see_neither_page_nor_link(door: Door) -> None:
    everybody_else = ("analyst", "approver", "auditor", "admin")
    headers = logged_in(door, *everybody_else)
    refused = door.client.request("GET", PATH, headers=headers)
    assert refused.status_code == 403
    assert refused.headers["x-request-id"] in refused.text, "the page says what to quote"
    assert 'href="/login"' not in refused.text, "whoever is logged in is not asked to log in"
    assert send(door, {"known": PHONE}, *everybody_else).status_code == 403
    assert '"/history"' not in door.client.request("GET", "/", headers=headers).text
    assert looks(door) == []


def test_the_form_is_for_those_who_are_logged_in_here(door: Door) -> None:
    assert door.client.request("GET", PATH, headers=ANYBODY).headers["location"] == f"/login?next={PATH}"
    shown = door.client.request("GET", PATH, headers=logged_in(door, "privacy")).text
    assert '"/history" aria-current="page"' in shown
    assert send(door, {"known": PHONE}, "privacy", **{"sec-fetch-site": "cross-site"}).status_code == 403
    assert looks(door) == []
