"""The console's pages: what they show, in which language, and to whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from incidents.clock import ManualClock
from tests.tocsin.api.test_duties_api import FACTS
from tests.tocsin.conftest import PROFILE, Client, Door
from tocsin.api.app import create_app
from tocsin.console.durations import in_words
from tocsin.console.languages import LANGUAGES, choose
from tocsin.console.words import table, words_in
from tocsin.settings import Settings
from tocsin.wiring import open_services

HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def demo(settings: Settings, clock: ManualClock) -> Iterator[Door]:
    """The door of a demo, where pages are open."""
    with (
        open_services(settings, clock=clock, profile=PROFILE, demo=True) as services,
        start_blocking_portal() as portal,
    ):
        client = Client(portal, create_app(services, show_within=0))
        yield Door(client, services)
        client.close()


@pytest.fixture
def breach(demo: Door, clock: ManualClock) -> dict[str, Any]:
    """An incident with a clock that runs."""
    reported = demo.report("Customer table copied", facts=FACTS)
    demo.post(f"/v1/incidents/{reported['id']}/transitions", {"transition": "triage"})
    demo.settle()
    clock.advance(timedelta(hours=37))
    return reported


class Page(HTMLParser):
    """A page as a parser sees it: balanced tags, text, links."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "rect", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.styles = 0
        self.text = ""
        self.feed(html)
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if "id" in named:
            self.ids.append(str(named["id"]))
        if tag == "a":
            self.links.append(str(named.get("href")))
        if tag == "script":
            self.scripts.append(named)
        assert not [name for name in named if name.startswith("on") or name == "style"], f"{tag} {named}"
        self.styles += tag == "style"

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open, f"closed without being opened: {tag}"
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def look(door: Door, path: str, **rest: Any) -> Page:
    answer = door.get(path, by=None, headers=HTML | rest.pop("headers", {}), **rest)
    assert answer.status_code == 200, answer.text
    page = Page(answer.text)
    assert len(page.ids) == len(set(page.ids))
    assert all(script.get("src") == "/static/console.js" for script in page.scripts)
    assert page.styles == 0
    return page


def test_the_board_shows_the_clock_that_runs_out_first(demo: Door, breach: dict[str, Any]) -> None:
    page = look(demo, "/")

    assert breach["reference"] in page.text
    assert "Customer table copied" in page.text
    assert "1 d 10 h left" in page.text
    assert "52 %" in page.text
    assert "half used" in page.text
    assert "203 persons" in page.text
    assert f"/incidents/{breach['reference']}" in page.links


def test_a_missed_deadline_is_loud(demo: Door, breach: dict[str, Any], clock: ManualClock) -> None:
    clock.advance(timedelta(hours=40))

    page = look(demo, "/")

    assert re.search(r"over by \d+ h", page.text)
    assert "missed" in page.text


def test_the_board_names_a_duty_that_is_over(demo: Door, breach: dict[str, Any]) -> None:
    duties = demo.get(f"/v1/incidents/{breach['id']}/duties").json()["items"]
    duty = next(one for one in duties if one["stage"] == "individual" and one["status"] == "due")["duty_id"]
    given = demo.post(
        f"/v1/incidents/{breach['id']}/duties/{duty}/waiver", {"reason": "Nobody is at risk."}, by="approver"
    )
    assert given.status_code == 201, given.text
    demo.settle()
    lately = look(demo, "/").text.partition("Lately")[2]
    assert "Nobody is at risk." in lately
    assert duty not in lately


@pytest.mark.parametrize(("lang", "title"), [("en", "“Confirm that it is real”"), ("zh", "“核实事件是否属实”")])
def test_steps_are_called_by_their_titles(demo: Door, breach: dict[str, Any], lang: str, title: str) -> None:
    story = demo.get(f"/v1/incidents/{breach['id']}/timeline", params={"language": lang}).json()["items"]
    done = [entry for entry in story if entry["kind"] == "run.step-completed"]
    assert title in next(entry["sentence"] for entry in done if entry["parameters"]["step"] == "triage")
    for address in ("/", f"/incidents/{breach['reference']}"):
        # The title stands in quotation marks only where a step is spoken of.
        assert title in look(demo, address, params={"lang": lang}).text, address


def test_the_incident_page_explains_its_duties(demo: Door, breach: dict[str, Any]) -> None:
    page = look(demo, f"/incidents/{breach['reference']}")

    for words in (
        "Regulation (EU) 2016/679",
        "article",
        "Why",
        "What it must say",
        "Timeline",
        "203",
        "Kinds of event",
    ):
        assert words in page.text, words
    assert any(name.startswith("duty-") for name in page.ids)
    assert look(demo, f"/incidents/{breach['id']}").text.count(breach["reference"]) >= 1


def test_pages_speak_the_readers_language(demo: Door, breach: dict[str, Any]) -> None:
    wanted = [
        (look(demo, "/", params={"lang": "zh"}), "zh"),
        (look(demo, "/", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}), "zh"),
        (look(demo, "/", headers={"Cookie": "tocsin_lang=zh"}), "zh"),
        (look(demo, "/", headers={"Cookie": "tocsin_lang=zh"}, params={"lang": "en"}), "en"),
        (look(demo, "/", headers={"Accept-Language": "fr"}), "en"),
    ]
    for page, language in wanted:
        assert ("期限" in page.text) is (language == "zh")
        assert ("Deadlines" in page.text) is (language == "en")
    chinese = look(demo, f"/incidents/{breach['reference']}", params={"lang": "zh"})
    assert "受影响个人数" in chinese.text
    assert "依据" in chinese.text
    answer = demo.get("/", by=None, params={"lang": "zh"})
    assert answer.headers["content-language"] == "zh-Hans"
    assert "tocsin_lang=zh" in answer.headers["set-cookie"]


def test_what_people_wrote_is_escaped_everywhere(demo: Door) -> None:
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(2)>{{ 7 * 7 }}'
    reported = demo.report(evil, summary=evil)
    path = f"/v1/incidents/{reported['id']}"
    demo.post(f"{path}/notes", {"text": evil})
    demo.post(f"{path}/transitions", {"transition": "triage", "comment": evil})
    demo.post(f"{path}/grades/cn-2025", {"level": "general", "reason": evil})
    demo.settle()

    for address in ("/", f"/incidents/{reported['reference']}"):
        html = demo.get(address, by=None, headers=HTML).text
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert "&lt;script&gt;alert(1)" in html
        assert "{{ 7 * 7 }}" in html
        Page(html)
    searched = demo.get("/", by=None, headers=HTML, params={"search": evil}).text
    assert "<script>alert" not in searched
    Page(searched)


def test_an_empty_board_says_so(demo: Door) -> None:
    assert "Quiet is good" in look(demo, "/").text


def test_the_demo_says_what_it_is(demo: Door, door: Door) -> None:
    page = look(demo, "/")

    assert "simulated" in page.text
    assert "/outbox" in page.links
    outside = door.get("/login", by=None, headers=HTML).text
    assert "simulated" not in outside
    assert "/outbox" not in outside


def test_refusals_are_pages_for_browsers_and_documents_for_programs(demo: Door) -> None:
    page = demo.get("/incidents/INC-7F3K-9Q2M", by=None, headers=HTML)
    document = demo.get("/incidents/INC-7F3K-9Q2M", by=None)

    assert (page.status_code, document.status_code) == (404, 404)
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    Page(page.text)
    assert document.headers["content-type"] == "application/problem+json"
    evil = demo.get("/incidents/<script>alert(1)</script>", by=None, headers=HTML)
    assert "<script>alert" not in evil.text


def test_style_and_script_are_served_and_nothing_else(demo: Door) -> None:
    for name, media in (("console.css", "text/css"), ("console.js", "text/javascript"), ("bell.svg", "image/svg+xml")):
        answer = demo.get(f"/static/{name}", by=None)
        assert answer.headers["content-type"].startswith(media)
        assert answer.headers["cache-control"].startswith("public")
    for name in ("..%2Fwords.yaml", "console.py", "%2e%2e/words.yaml"):
        assert demo.get(f"/static/{name}", by=None).status_code == 404


@pytest.mark.parametrize(
    ("asked", "remembered", "accepted", "language"),
    [
        (None, None, "", "en"),
        ("zh", "en", "en", "zh"),
        ("xx", "zh", "en", "zh"),
        (None, None, "en;q=0.2, zh-TW;q=0.7", "zh"),
        (None, None, "zh;q=0, en;q=0.1", "en"),
        (None, None, "de, fr;q=x, zh;q=0.1", "zh"),
        (None, "<script>", "*", "en"),
    ],
)
def test_choosing_a_language(asked: str | None, remembered: str | None, accepted: str, language: str) -> None:
    assert choose(asked, remembered, accepted) == language


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0, "0 s", "0 秒"),
        (59.9, "59 s", "59 秒"),
        (540, "9 min", "9 分"),
        (8_040, "2 h 14 min", "2 小时 14 分"),
        (3_660, "1 h 01 min", "1 小时 01 分"),
        (86_400, "1 d", "1 天"),
        (-273_600, "3 d 4 h", "3 天 4 小时"),
    ],
)
def test_durations_in_words(seconds: float, english: str, chinese: str) -> None:
    assert (in_words(seconds, "en"), in_words(seconds, "zh")) == (english, chinese)


def test_every_word_is_there_in_every_language() -> None:
    for key, texts in table().items():
        assert isinstance(key, str), key
        places = {language: set(re.findall(r"{(\w+)}", texts[language])) for language in LANGUAGES}
        assert places["en"] == places["zh"], key
        assert all(text.strip() for text in texts.values()), key


def test_templates_use_only_words_that_exist() -> None:
    from importlib.resources import files

    known = set(table())
    for template in files("tocsin.console").joinpath("templates").iterdir():
        for key in re.findall(r"\bw\('(\w+)'[,)]", template.read_text("utf-8")):
            assert key in known, f"{template.name}: {key}"
    assert words_in("en")("state_never_heard_of") == "never heard of"


def test_no_word_is_defined_twice() -> None:
    from importlib.resources import files

    text = files("tocsin.console").joinpath("words.yaml").read_text("utf-8")
    keys = re.findall(r"^(\w+):", text, re.MULTILINE)
    assert sorted(keys) == sorted(set(keys)), "the later one would change a page of somebody else"
