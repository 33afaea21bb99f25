"""Public notices as everybody reads them, and as people prepare, publish and correct them."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree

import pytest
from httpx import Response
from sqlalchemy import insert
from typer.testing import CliRunner

from incidents.record import Context
from incidents.record.database import writing
from notifier.campaigns.campaign import Campaign
from notifier.deliveries.tables import sendings
from tests.rows import sending_row
from tests.tocsin.api.test_campaigns_api import GOOD, incident, put_csv, values
from tests.tocsin.conftest import Door, problem
from tests.tocsin.console.test_console_pages import HTML, Page
from tests.tocsin.console.test_filing_page import logged_in
from tocsin.cli import public_notices as cli
from tocsin.cli.main import app as commands

__all__ = ["incident"]
pytestmark = pytest.mark.slow

ATOM = "{http://www.w3.org/2005/Atom}"


def get(door: Door, path: str, language: str = "en") -> Response:
    return door.get(path, by=None, headers={**HTML, "Accept-Language": language})


def seen(door: Door, path: str) -> Response:
    return door.client.request("GET", path, headers=logged_in(door, "analyst"))


def drafted(door: Door, incident: str, **body: Any) -> dict[str, Any]:
    given = body or {"template": "personal-data-breach", "values": values()}
    answer = door.post(f"/v1/incidents/{incident}/public-notices", given)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def publish(door: Door, notice: str) -> dict[str, Any]:
    path = f"/v1/public-notices/{notice}"
    asked = door.post(f"{path}/approval-request")
    assert asked.status_code == 200, asked.text
    body = {"text_digest": asked.json()["text_digest"], "override_reason": "Counsel agreed."}
    done = door.post(f"{path}/publication", body, by="approver")
    assert (done.status_code, done.json()["status"]) == (200, "published"), done.text
    door.settle()
    found: dict[str, Any] = done.json()
    return found


def path_of(notice: dict[str, Any]) -> str:
    return f"/p/{notice['code']}"


def test_a_published_notice_is_a_page_a_feed_and_data_for_everybody(door: Door, incident: str) -> None:
    notice = drafted(door, incident)
    door.settle()
    assert get(door, path_of(notice)).status_code == 404
    assert "There are no public notices." in get(door, "/p").text
    publish(door, notice["notice_id"])

    page = get(door, path_of(notice))
    assert page.status_code == 200
    assert not Page(page.text).open
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "Lantern Bank: public notice" in page.text
    assert "公告" in get(door, path_of(notice), "zh-CN").text
    assert "thông báo công khai" in get(door, path_of(notice), "vi").text
    assert path_of(notice) in get(door, "/p").text

    feed = ElementTree.fromstring(get(door, "/p/feed.atom", "zh-CN").content)  # noqa: S314 - our own
    entry = feed.find(f"{ATOM}entry")
    assert entry is not None
    assert all(feed.findtext(f"{ATOM}{name}") for name in ("id", "title", "updated", "author/" + f"{ATOM}name"))
    assert entry.findtext(f"{ATOM}id") == UUID(notice["notice_id"]).urn
    assert "公告" in (entry.findtext(f"{ATOM}title") or "")
    assert {link.get("hreflang") for link in entry.findall(f"{ATOM}link")} == {"en", "zh-Hans", "vi"}

    data = get(door, "/p/notices.json").json()
    for path in ("/p/feed.atom", "/p/notices.json"):
        first = get(door, path)
        assert first.headers["cache-control"] == "public, max-age=60"
        known = {**HTML, "Accept-Language": "en", "If-None-Match": f'"other", W/{first.headers["etag"]}'}
        again = door.get(path, by=None, headers=known)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert [one["code"] for one in data["notices"]] == [notice["code"]]
    assert data["notices"][0]["versions"][0]["languages"] == ["en", "zh-Hans", "vi"]


def test_a_correction_keeps_the_history_readable(door: Door, incident: str) -> None:
    notice = drafted(door, incident)
    publish(door, notice["notice_id"])
    path = f"/v1/public-notices/{notice['notice_id']}"
    revised = {"values": values() | {"occurred_on": "2026-11-18"}, "correction": {"en": "The day was wrong."}}
    refused = door.ask("PUT", f"{path}/text", json={**revised, "correction": {}})
    assert problem(refused, 422, "invalid-input")["errors"][0]["field"] == "correction"
    assert door.ask("PUT", f"{path}/text", json=revised).status_code == 200
    publish(door, notice["notice_id"])

    now, before = get(door, path_of(notice)), get(door, path_of(notice) + "/1")
    assert "18 November" in now.text
    assert "The day was wrong." in now.text
    assert f"{path_of(notice)}/1" in now.text
    assert "19 November" in before.text
    assert "A later version has taken the place of this one." in before.text
    assert get(door, path_of(notice) + "/3").status_code == 404
    feed = ElementTree.fromstring(get(door, "/p/feed.atom").content)  # noqa: S314 - our own
    assert [entry.findtext(f"{ATOM}summary") for entry in feed.findall(f"{ATOM}entry")] == ["The day was wrong."]


def test_the_genuine_page_and_the_public_notice_lead_to_each_other(door: Door, incident: str) -> None:
    campaign = UUID(
        door.post(
            f"/v1/incidents/{incident}/campaigns", {"template": "personal-data-breach", "values": values()}
        ).json()["campaign_id"]
    )
    put_csv(door, str(campaign), GOOD)
    services = door.services
    known = services.record.load(Campaign, campaign)
    public = services.notifier.public
    assert public is not None
    public.publish(known, services.templates.get(known.template))
    with writing(services.engine) as connection:
        connection.execute(
            insert(sendings).values(
                sending_row(
                    campaign, services.clock.now(), incident_id=known.incident_id, audience_id=known.audience_id
                )
            )
        )
    genuine = f"/n/{public.check_of(campaign).code}"
    assert "/p/" not in get(door, genuine).text
    notice = drafted(door, incident, campaign=str(campaign))
    publish(door, notice["notice_id"])

    assert f'href="{path_of(notice)}"' in get(door, genuine).text
    typed = get(door, f"/n/{notice['code']}")
    assert (typed.status_code, typed.headers["location"]) == (303, path_of(notice))
    written = services.settings.model_copy(update={"public_url": f"{services.settings.public_url}/"})
    object.__setattr__(services, "settings", written)  # as somebody may write it
    assert get(door, f"/n/{notice['code']}").headers["location"] == path_of(notice)
    assert "/n?lang=" in get(door, path_of(notice)).text


def test_a_code_typed_carelessly_leads_to_the_page_and_a_wrong_one_nowhere(door: Door, incident: str) -> None:
    notice = drafted(door, incident)
    publish(door, notice["notice_id"])

    found = get(door, f"/p/{notice['code'].lower().replace('-', '')}")
    assert found.headers["location"] == path_of(notice)
    for wrong in ("0000000-0000000", "x" * 300, "%00", "feed"):
        answer = get(door, f"/p/{wrong}")
        assert (answer.status_code, "no notice under this address" in answer.text) == (404, True)


def test_a_drill_is_on_no_public_page(door: Door, incident: str) -> None:
    context = Context.of_command("user:lan", door.services.clock)
    notices = door.services.notifier.to_public
    assert notices is not None
    view = notices.draft(
        context, incident_id=UUID(incident), template="personal-data-breach", values=values(), drill=True
    )
    publish(door, str(view.notice_id))

    assert get(door, f"/p/{view.code}").status_code == 404
    assert view.code not in get(door, "/p").text + get(door, "/p/notices.json").text


def test_too_many_out_of_reach_is_put_before_a_person_and_publishes_nothing(door: Door, incident: str) -> None:
    campaign = door.post(
        f"/v1/incidents/{incident}/campaigns", {"template": "personal-data-breach", "values": values()}
    ).json()["campaign_id"]
    put_csv(door, campaign, GOOD)
    asked = door.post(f"/v1/campaigns/{campaign}/approval-request").json()
    digests = {name: asked[name] for name in ("text_digest", "audience_digest")}
    door.post(f"/v1/campaigns/{campaign}/approval", {**digests, "override_reason": "So be it."}, by="approver")
    door.settle()
    context = Context.of_command("system:tocsin", door.services.clock)
    known = door.services.record.load(Campaign, UUID(campaign))
    known.finish(context, {"reached": 1, "failed": 1})
    door.services.record.commit(known)
    door.settle()

    (entry,) = door.get(f"/v1/incidents/{incident}/public-notices").json()["items"]
    assert (entry["status"], entry["unreached"], entry["versions"]) == ("suggested", 1, 0)
    assert "There are no public notices." in get(door, "/p").text
    assert "1 of 2 people could not be reached" in seen(door, f"/public-notices/{entry['notice_id']}").text
    assert "could not be reached" in seen(door, f"/incidents/{incident}").text
    taken = drafted(door, incident, suggestion=entry["notice_id"])
    assert (taken["notice_id"], taken["status"]) == (entry["notice_id"], "draft")


def test_the_console_publishes_by_two_people(door: Door, incident: str) -> None:
    notice = drafted(door, incident)["notice_id"]
    path, once = f"/public-notices/{notice}", iter(str(uuid4()) for _ in range(9))

    def act(what: str, by: str, **form: str) -> Response:
        data = {"what": what, "token": next(once), **form}
        return door.client.request("POST", path, data=data, headers=logged_in(door, by))

    assert act("publish", "analyst").status_code == 403
    assert act("ask", "analyst").status_code == 303
    digest = door.get(f"/v1/public-notices/{notice}").json()["notice"]["text_digest"]
    assert act("publish", "approver", digest="sha256:0").status_code == 409
    lacking = act("publish", "approver", digest=digest)
    if lacking.status_code == 422:
        assert "lacks content" in lacking.text
        assert act("publish", "approver", digest=digest, reason="Counsel agreed.").status_code == 303
    door.settle()
    shown = seen(door, path)
    assert "published" in shown.text
    assert "已发布" in seen(door, f"{path}?lang=zh").text
    assert not Page(shown.text).open


def test_the_console_says_which_duties_a_notice_does_not_tell(door: Door, incident: str) -> None:
    notice = drafted(door, incident)["notice_id"]
    path = f"/public-notices/{notice}"
    assert 'id="untold"' not in seen(door, path).text
    publish(door, notice)
    facts = {"facts": {"disproportionate_effort": True}}
    assert door.post(f"/v1/incidents/{incident}/facts", facts).status_code == 200
    door.settle()
    untold = door.get(f"/v1/public-notices/{notice}").json()["notice"]["untold_duties"]
    assert untold
    english, chinese = seen(door, path).text, seen(door, f"{path}?lang=zh").text
    for shown, said in (
        (english, "Due to the public by now, and not told by this notice as it stands: “"),
        (english, "The next version tells them"),
        (english, "Regulation (EU) 2016/679"),
        (chinese, "本公告尚未履行： “"),
    ):
        assert said in shown.replace("&#34;", '"'), said
        assert not any(duty in shown for duty in untold), "a person is told its name"
    revised = {"values": values(), "correction": {"en": "It is for everybody now."}}
    assert door.ask("PUT", f"/v1/public-notices/{notice}/text", json=revised).status_code == 200
    assert "Asking for approval takes them in." in seen(door, path).text
    publish(door, notice)
    assert 'id="untold"' not in seen(door, path).text
    duties = {one["duty_id"]: one for one in door.get(f"/v1/incidents/{incident}/duties").json()["items"]}
    assert [(duties[one]["status"], duties[one]["recipient_kind"]) for one in untold] == [("fulfilled", "public")]


def test_the_command_line_drafts_asks_and_publishes(door: Door, incident: str, monkeypatch: pytest.MonkeyPatch) -> None:
    role = "analyst"

    class Here:
        def __init__(self, url: str, key: str) -> None:
            del url, key

        def get(self, path: str) -> Any:
            return door.get(path, by=role).json()

        def post(self, path: str, body: Any = None) -> Any:
            answer = door.post(path, body, by=role)
            assert answer.is_success, answer.text
            return answer.json()

    monkeypatch.setattr(cli, "Service", Here)
    notice = drafted(door, incident)["notice_id"]
    run = CliRunner().invoke
    asked = run(commands, ["public-notice", "ask", notice])
    assert "awaiting_approval" in asked.stdout, asked.output
    digest = asked.stdout.split("text digest ")[1].split()[0]
    assert "[vi]" in run(commands, ["public-notice", "show", notice]).stdout
    role = "approver"
    done = run(commands, ["public-notice", "publish", notice, "--digest", digest, "--override-reason", "Agreed."])
    assert "published, 1 published" in done.stdout, done.output
    door.settle()
    role = "auditor"
    assert notice in run(commands, ["public-notice", "list", incident]).stdout
