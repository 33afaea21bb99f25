"""The next version of a public notice, prepared on its page: who may, what is kept, what is refused."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from httpx import Response

from notifier.templates import Templates
from tests.notifier.house import VALUES
from tests.tocsin.api.test_campaigns_api import incident
from tests.tocsin.conftest import Door
from tests.tocsin.console.test_console_pages import Page
from tests.tocsin.console.test_filing_page import hidden, logged_in
from tests.tocsin.public_pages.test_public_notice_pages import drafted, get, path_of, publish
from tocsin.api.middleware.limits import DEFAULT_BYTES
from tocsin.console.notice_words import corrections_shown, values_shown, values_typed

__all__ = ["incident"]
MANIFEST = Templates().get("personal-data-breach").manifest


@pytest.fixture
def notice(door: Door, incident: str) -> dict[str, Any]:
    """A public notice with one version that is published."""
    made = drafted(door, incident)
    publish(door, made["notice_id"])
    return made


def look(door: Door, notice: dict[str, Any], *roles: str, lang: str = "en") -> str:
    path = f"/public-notices/{notice['notice_id']}"
    answer = door.client.request("GET", path, params={"lang": lang}, headers=logged_in(door, *(roles or ("analyst",))))
    assert answer.status_code == 200, answer.text
    page = Page(answer.text)
    assert len(page.ids) == len(set(page.ids))
    return answer.text


def fields(shown: str) -> dict[str, str]:
    """What a browser would send of the form for the words, as it stands."""
    form = shown[shown.index('name="what" value="revise"') :].partition("</form>")[0]
    found = dict(re.findall(r'<input id="[^"]*" name="([^"]*)"[^>]* value="([^"]*)"', form))
    found |= dict(re.findall(r'<textarea id="[^"]*" name="([^"]*)"[^>]*>\n([^<]*)</textarea>', form))
    named = {name: html.unescape(text).replace("\n", "\r\n") for name, text in found.items()}
    return {"what": "revise", "token": hidden(form, "token"), "version": hidden(form, "version")} | named


def send(door: Door, notice: dict[str, Any], data: dict[str, str], *roles: str, **headers: str) -> Response:
    path = f"/public-notices/{notice['notice_id']}"
    return door.client.request("POST", path, data=data, headers=logged_in(door, *(roles or ("analyst",))) | headers)


def now(door: Door, notice: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = door.get(f"/v1/public-notices/{notice['notice_id']}").json()["notice"]
    return found


def test_the_next_version_is_prepared_on_the_page_and_published_by_another(door: Door, notice: dict[str, Any]) -> None:
    before, english, chinese = now(door, notice), look(door, notice), look(door, notice, lang="zh")
    assert "Prepare the next version" in english
    assert "What people can do themselves." in english
    assert "准备下一版本" in chinese
    assert "个人可以采取的减轻危害的措施。" in chinese

    typed = fields(english)
    assert typed["value.occurred_on"] == "2026-11-19"
    typed |= {
        "value.occurred_on": "2026-11-18",
        "correction.en": "The day was\r\nwrong.",
        "correction.vi": " ",
    }
    assert send(door, notice, typed).status_code == 303
    after = now(door, notice)
    assert (after["status"], after["correction"]) == ("draft", {"en": "The day was wrong."})
    assert after["values"] == before["values"] | {"occurred_on": "2026-11-18"}, "all else is as it was"
    assert "19 November" in get(door, path_of(notice)).text, "nothing is published by that"

    again = look(door, notice)
    assert fields(again)["correction.en"] == "The day was wrong."
    assert "Save as the next version" in again
    publish(door, notice["notice_id"])
    assert "The day was wrong." in get(door, path_of(notice)).text
    assert "18 November" in get(door, path_of(notice)).text


def test_what_is_refused_is_said_and_stays_in_the_form(door: Door, notice: dict[str, Any]) -> None:
    good = fields(look(door, notice)) | {"correction.en": "It was another day."}
    for wrong, said in (
        ({"correction.en": ""}, "Say what is corrected"),
        ({"value.occurred_on": "yesterday"}, "values.occurred_on: is not a date"),
        ({"correction.en": "Ask lan@harbour.example"}, "correction.en"),
        ({"value.cause.en": "Ask +44 7700 900123"}, "values.cause.en"),
        ({"version": ""}, "Load the page again"),
    ):
        answer = send(door, notice, good | {"value.cause.zh-Hans": "密码外泄"} | wrong)
        assert (answer.status_code, said in html.unescape(answer.text)) == (422, True), answer.text
        assert '<details class="change" open>' in answer.text
        assert "密码外泄" in fields(answer.text)["value.cause.zh-Hans"], "what was typed is not lost"
    assert now(door, notice)["status"] == "published"


def test_only_who_prepares_notices_may_and_from_no_other_site(door: Door, notice: dict[str, Any]) -> None:
    good = fields(look(door, notice)) | {"correction.en": "It was another day."}
    for role in ("auditor", "approver"):
        assert 'value="revise"' not in look(door, notice, role)
        assert send(door, notice, good, role).status_code == 403
    assert send(door, notice, good, **{"sec-fetch-site": "cross-site"}).status_code == 403
    assert now(door, notice)["status"] == "published"


def test_a_form_sent_twice_or_made_from_older_words_changes_nothing_more(door: Door, notice: dict[str, Any]) -> None:
    good = fields(look(door, notice)) | {"correction.en": "It was another day."}
    assert send(door, notice, good).status_code == 303
    version = now(door, notice)["version"]
    assert send(door, notice, good).status_code == 303
    assert now(door, notice)["version"] == version
    stale = send(door, notice, good | {"token": str(uuid4()), "correction.en": "No, another one."})
    assert (stale.status_code, "Somebody changed the public notice meanwhile" in stale.text) == (409, True)
    assert now(door, notice)["correction"] == {"en": "It was another day."}


def test_a_form_made_from_older_words_stays_refused_until_the_page_is_loaded_anew(
    door: Door, notice: dict[str, Any]
) -> None:
    mine = fields(look(door, notice)) | {"correction.en": "Mine.", "value.cause.en": "My cause."}
    assert send(door, notice, mine | {"token": str(uuid4()), "correction.en": "Theirs."}).status_code == 303
    theirs = now(door, notice)
    for _ in range(2):
        refused = send(door, notice, mine)
        assert refused.status_code == 409
        assert "cannot be saved from here" in refused.text
        assert f'<a href="/public-notices/{notice["notice_id"]}">load the page anew</a>' in refused.text
        assert "Save as the next version" not in refused.text
        mine = fields(refused.text)
        assert mine["version"] != str(theirs["version"])
        assert (mine["correction.en"], mine["value.cause.en"]) == ("Mine.", "My cause."), "to be copied"
    assert now(door, notice) == theirs

    anew = look(door, notice)
    assert "cannot be saved from here" not in anew
    assert send(door, notice, fields(anew) | {"value.cause.en": "My cause."}).status_code == 303
    assert (now(door, notice)["correction"], now(door, notice)["values"]["cause"]["en"]) == (
        {"en": "Theirs."},
        "My cause.",
    )


def test_what_is_refused_for_its_words_keeps_its_version_too(door: Door, notice: dict[str, Any]) -> None:
    mine = fields(look(door, notice)) | {"correction.en": "Mine."}
    assert send(door, notice, mine | {"token": str(uuid4()), "correction.en": "Theirs."}).status_code == 303
    version = now(door, notice)["version"]
    refused = send(door, notice, mine | {"version": "7" + "x" * 40})
    assert refused.status_code == 422
    kept = fields(refused.text)
    assert kept["version"] != str(version)
    assert len(kept["version"]) <= 20
    assert send(door, notice, kept).status_code == 422


def test_a_form_as_long_as_the_template_allows_is_taken(door: Door, incident: str) -> None:
    first = drafted(door, incident)
    typed = fields(look(door, first))
    for name in ("measures_taken", "measures_planned", "advice"):
        for language in ("en", "zh-Hans", "vi"):
            typed[f"value.{name}.{language}"] = "\r\n".join(["措" * 200] * 20)
    assert len(urlencode(typed)) > DEFAULT_BYTES
    answer = send(door, first, typed)
    assert answer.status_code == 303, answer.text
    assert now(door, first)["values"]["advice"]["vi"] == ["措" * 200] * 20


def test_a_draft_is_changed_too_but_not_what_waits_for_approval(door: Door, incident: str) -> None:
    first = drafted(door, incident)
    shown = look(door, first)
    assert "Change the words" in shown
    assert 'name="correction.' not in shown, "there is nothing to correct yet"
    assert send(door, first, fields(shown) | {"value.contact_email": ""}).status_code == 303
    assert "contact_email" not in now(door, first)["values"]
    older = fields(look(door, first)) | {"value.cause.en": "Typed before."}
    door.post(f"/v1/public-notices/{first['notice_id']}/approval-request")
    assert 'value="revise"' not in look(door, first)
    asked = now(door, first)
    for version, said in (
        (str(asked["version"]), "have it rejected first"),
        (older["version"], "Somebody changed the public notice meanwhile"),
    ):
        answer = send(door, first, older | {"token": str(uuid4()), "version": version})
        assert (answer.status_code, said in answer.text) == (409, True), answer.text
        assert "The notice waits for approval by now" in answer.text
        assert fields(answer.text)["value.cause.en"] == "Typed before.", "what was typed is not lost"
    assert now(door, first) == asked


def test_what_is_shown_and_sent_back_untouched_is_what_it_was() -> None:
    values = {**VALUES, "contact_hours": "9-17", "measures_planned": {"en": ["one", "two"]}}
    shown = values_shown(MANIFEST, values, "en", {})
    typed = {field.key: field.text.replace("\n", "\r\n") for one in shown for field in one.fields}
    assert values_typed(MANIFEST, values, typed) == values
    assert values_typed(MANIFEST, values, {}) == values
    assert [one.name for one in shown] == list(MANIFEST.values)
    assert {one.name for one in shown if one.is_said} == set(values)


def test_what_is_emptied_is_gone_and_what_is_added_is_in_its_language() -> None:
    typed = {
        "value.cause.en": " ",
        "value.advice.zh-Hans": "一\r\n\r\n 二 ",
        "value.measures_planned.vi": "a\r\nb",
        "value.contact_email": "",
        "value.unheard_of": "x",
    }
    new = values_typed(MANIFEST, VALUES, typed)
    assert new["cause"] == {name: text for name, text in VALUES["cause"].items() if name != "en"}
    assert new["advice"] == VALUES["advice"] | {"zh-Hans": ["一", "二"]}
    assert new["measures_planned"] == {"vi": ["a", "b"]}
    assert not {"contact_email", "unheard_of"} & set(new)
    assert VALUES["cause"]["en"], "the values given are left alone"


@pytest.mark.parametrize(("reader", "called"), [("en", "Simplified"), ("zh", "简体")])
def test_there_are_fields_for_the_languages_in_which_anything_is_told(reader: Any, called: str) -> None:
    named = VALUES | {"organisation": VALUES["organisation"] | {"zh-Hant": "海港診所"}}
    shown = corrections_shown(MANIFEST, named, {}, reader, {})
    assert [field.language for field in shown] == ["en", "zh-Hans", "vi"]
    assert called in shown[1].title, "as the reader calls it"
    assert values_typed(MANIFEST, named, {"value.organisation.en": "X"})["organisation"]["zh-Hant"] == "海港診所"
    assert [field.language for field in corrections_shown(MANIFEST, {}, {}, reader, {})] == ["en"]
