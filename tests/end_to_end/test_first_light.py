"""One real alert becomes a graded incident, duties with deadlines, an approved notice by SMS and mail, and a board:
through the door alone, by command line and HTTP, as three people and a detector would do it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

from tests.world import Tocsin, World, wait_for, world_and_tocsin
from tocsin.cli.main import app
from tocsin.story.people import CHINESE, ENGLISH, VIETNAMESE, audience_csv

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GDPR, CAC = "eu-gdpr-33-1-authority", "cn-measures-4-other-4h"
FACTS = {
    "event_kinds": ["personal_data_breach", "cybersecurity_incident"],
    "data_classes": ["personal", "health"],
    "data_events": ["leaked"],
    "malicious": True,
    "persons_affected": CHINESE + VIETNAMESE + ENGLISH,
    "persons_by_country": {"CN": CHINESE, "VN": VIETNAMESE, "DE": ENGLISH},
    "direct_loss": {"CNY": 6_200_000},
    "risk_to_persons": "high",
    "harm_to_persons_or_orgs": True,
    "harm_effectively_avoided": False,
}


@dataclass
class House:
    """A running service, its keys, and the world around it."""

    tocsin: Tocsin
    world: World
    keys: dict[str, str]
    folder: Path

    def http(self, role: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.keys[f'demo-{role}']}"}
        return httpx.Client(base_url=self.tocsin.url, headers=headers, timeout=30)

    def cli(self, role: str, *arguments: str) -> Any:
        """What the command line prints with --json; a failure shows its error."""
        environment = {"TOCSIN_URL": self.tocsin.url, "TOCSIN_KEY": self.keys[f"demo-{role}"]}
        result = CliRunner().invoke(app, [*arguments, "--json"], env=environment)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def file(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("first-light")
    with world_and_tocsin(folder) as (world, tocsin):
        tocsin.start(story=False)
        yield House(tocsin, world, tocsin.announced()["keys"], folder)


@pytest.fixture(scope="module")
def incident(house: House) -> str:
    """From the detector's alert to stated facts, by command line."""
    alert = house.file("alert.json", files("tocsin.story").joinpath("alert.wazuh.json").read_bytes())
    receipt = house.cli("siem", "alert", "send", alert, "--dialect", "wazuh")
    again = house.cli("siem", "alert", "send", alert, "--dialect", "wazuh")
    assert (receipt["outcome"], again["outcome"]) == ("declared", "duplicate")
    incident_id: str = receipt["incident_id"]
    house.cli("analyst", "incident", "move", incident_id, "triage", "--comment", "Real.")
    facts = house.file("facts.json", json.dumps(FACTS).encode())
    house.cli("analyst", "incident", "facts", incident_id, facts, "--source", "query log")
    return incident_id


def eventually(house: House, path: str, chosen: Callable[[Any], Any], what: str) -> Any:
    with house.http("auditor") as http:
        return wait_for(lambda: chosen(http.get(path).raise_for_status().json()), what)


@pytest.fixture(scope="module")
def campaign(house: House, incident: str) -> str:
    """The notice: drafted by the run, completed and approved by two people, sent."""
    drafted = eventually(
        house,
        "/v1/campaigns",
        lambda page: next((c["campaign_id"] for c in page["items"] if c["incident_id"] == incident), None),
        "the draft of the notice",
    )
    analyst, approver = house.http("analyst"), house.http("approver")
    with analyst, approver:
        draft = analyst.get(f"/v1/campaigns/{drafted}")
        assert draft.status_code == 200, draft.text
        values = draft.json()["campaign"]["values"]
        words = yaml.safe_load(files("tocsin.story").joinpath("notice.yaml").read_text("utf-8"))
        analyst.put(f"/v1/campaigns/{drafted}/text", json={"values": {**values, **words}}).raise_for_status()
        csv = house.file("audience.csv", audience_csv())
        house.cli("analyst", "campaign", "audience", drafted, csv)
        house.cli("analyst", "campaign", "request-approval", drafted)
        view = analyst.get(f"/v1/campaigns/{drafted}").json()["campaign"]
        digests = {"text_digest": view["text_digest"], "audience_digest": view["audience_digest"]}

        by_author = analyst.post(f"/v1/campaigns/{drafted}/approval", json=digests)
        assert by_author.status_code == 403
        other_text = {**digests, "text_digest": "sha256:" + "0" * 64}
        assert approver.post(f"/v1/campaigns/{drafted}/approval", json=other_text).status_code == 409
        approver.post(f"/v1/campaigns/{drafted}/approval", json=digests).raise_for_status()
    campaign_id: str = drafted
    return campaign_id


def test_the_alert_became_a_graded_incident_with_duties(house: House, incident: str) -> None:
    duties = eventually(
        house,
        f"/v1/incidents/{incident}/duties",
        lambda page: page["items"] if any(d["rule"] == CAC and d["status"] == "due" for d in page["items"]) else None,
        "the duties",
    )

    by_rule = {duty["rule"]: duty for duty in duties}
    assert by_rule[GDPR]["strict_due"] is not None
    assert by_rule[GDPR]["why"]
    shown = house.cli("analyst", "incident", "show", incident)
    assert any(grade["level"] == "relatively_major" for grade in shown["grades"])


def test_everybody_who_can_be_told_is_told_once(house: House, campaign: str) -> None:
    coverage = eventually(
        house,
        f"/v1/campaigns/{campaign}/coverage",
        lambda c: (
            c
            if c["state"] == "finished"
            and c["outcomes"]["delivered"] == CHINESE + VIETNAMESE + 17 - 1
            and c["outcomes"]["failed"] == 1
            else None
        ),
        "the last receipts, and the mail that comes back",
    )
    (bounced,) = [message for message in house.world.outbox() if message.status == "bounced"]
    assert bounced.sender.startswith("b+"), "it came back under the name that we gave it"

    outcomes = coverage["outcomes"]
    assert outcomes["planned"] == 212
    assert outcomes["failed"] == 1
    parts = ("accepted", "delivered", "failed", "suppressed", "cancelled", "ambiguous", "pending")
    assert sum(outcomes[part] for part in parts) == outcomes["planned"]
    told = house.world.told()
    assert len(told) == 211
    assert {t.messages for t in told.values()} == {1}


def test_a_forged_receipt_changes_nothing_and_is_counted(house: House, campaign: str) -> None:
    form = {"MessageSid": "SM" + "0" * 32, "MessageStatus": "failed", "ErrorCode": "30005"}
    answer = httpx.post(
        f"{house.tocsin.url}/v1/receipts/twilio?delivery=00000000-0000-0000-0000-000000000000&mac=0",
        data=form,
        headers={"X-Twilio-Signature": "Zm9yZ2Vk"},
    )

    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("application/problem+json")
    with house.http("auditor") as http:
        metrics = http.get("/metrics").text
    assert 'outcome="forged"' in metrics


def test_a_filing_settles_its_duty_in_time(house: House, incident: str, tmp_path: Path) -> None:
    duty = eventually(
        house,
        f"/v1/incidents/{incident}/duties",
        lambda page: next((d for d in page["items"] if d["rule"] == CAC), None),
        "the duty to the cyberspace administration",
    )
    with house.http("auditor") as http:
        draft = http.get(
            f"/v1/incidents/{incident}/duties/{duty['duty_id']}/filing-draft", params={"language": "zh-Hans"}
        )
        assert draft.status_code == 200, draft.text
        assert "212" in draft.text

        form = http.get(f"/v1/incidents/{incident}/duties/{duty['duty_id']}/filing-form").json()
        refused = http.post(f"/v1/incidents/{incident}/duties/{duty['duty_id']}/filing", json={})
    assert form["missing"], "a person has something to write"
    assert refused.status_code == 403, "an auditor files nothing"
    items = tmp_path / "items.json"
    items.write_text(json.dumps({name: f"As known tonight: {name}." for name in form["missing"]}), encoding="utf-8")
    house.cli("analyst", "filing", "write", incident, duty["duty_id"], str(items))

    house.cli("approver", "incident", "file", incident, duty["duty_id"])

    filed = eventually(
        house,
        f"/v1/incidents/{incident}/duties?include=all",
        lambda page: next((d for d in page["items"] if d["rule"] == CAC and d["status"] == "fulfilled"), None),
        "the filing on record",
    )
    assert filed["late"] is False


def test_the_board_and_the_outbox_show_it_in_a_browser(house: House, incident: str, campaign: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
        )
        page = browser.new_page()
        faults: list[str] = []
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))

        page.goto(house.tocsin.url)
        assert page.get_by_text("bulk export of a customer table").first.is_visible()
        page.get_by_text("bulk export of a customer table").first.click()
        assert page.get_by_text("Regulation (EU) 2016/679").first.is_visible()
        page.goto(f"{house.tocsin.url}/?lang=zh-Hans")
        assert page.get_by_text("未结事件").first.is_visible()
        page.goto(f"{house.world.twilio_url}/outbox")
        assert page.get_by_text("195", exact=True).first.is_visible(), "text messages the network took"
        browser.close()
        assert faults == []


def test_no_page_is_wider_than_a_telephone(house: House, incident: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 320, "height": 800})
        page.goto(f"{house.tocsin.url}/login")
        page.fill("#key", house.keys["demo-privacy"])
        page.click("main form button")
        widths = {}
        for path in ("/", f"/incidents/{incident}", "/suppressions", "/history", "/n", "/p"):
            answer = page.goto(house.tocsin.url + path)
            assert answer is not None
            assert answer.status == 200, path
            widths[path] = page.evaluate("document.documentElement.scrollWidth")
        browser.close()
        assert max(widths.values()) <= 320, widths
