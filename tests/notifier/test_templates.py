"""Notices: complete in law, whole in every language, safe against what people type."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.exceptions import SecurityError

from incidents.errors import InvalidInput, NotFound
from notifier import templates as templates_package
from notifier.templates import (
    RenderedEmail,
    RenderedSms,
    Template,
    Templates,
    is_text,
    missing_items,
    render,
    text_digest,
)
from notifier.templates.segments import segments
from tests.notifier.house import VALUES

ORDER_790_ART_11 = (
    "security incident and risk situation",
    "harmful consequences",
    "remedial measures already taken",
)
PIPL_ART_57 = (
    "kinds of personal information leaked, altered or lost (or possibly so), cause and possible harm",
    "remedial measures taken by the processor and measures individuals can take to reduce harm",
    "contact of the processor",
)
GDPR_ART_34 = (
    "nature of the breach in clear and plain language",
    "name and contact of the DPO or other contact point",
    "likely consequences",
    "measures taken or proposed, including mitigation",
)
REFERENCE = "7K3M9-QX2AB"


@pytest.fixture(scope="module")
def breach() -> Template:
    return Templates().get("personal-data-breach")


def values(**changes: Any) -> dict[str, Any]:
    changed = copy.deepcopy(VALUES) | changes
    return {name: value for name, value in changed.items() if value is not None}


def email(template: Template, language: str, given: dict[str, Any], name: str = "Ann") -> RenderedEmail:
    rendered = render(template, language, "email", given, name, REFERENCE)
    assert isinstance(rendered, RenderedEmail)
    return rendered


class Text(HTMLParser):
    """The words of an HTML page, and the tags it uses."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words, self.tags = "", set[str]()
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_starttag(self, tag: str, _attrs: Any) -> None:
        self.tags.add(tag)


def test_the_notice_can_hold_what_the_laws_demand(breach: Template) -> None:
    """Order 790 art. 11(2), PIPL art. 57, GDPR art. 34(2)."""
    assert missing_items(breach, VALUES, (*ORDER_790_ART_11, *PIPL_ART_57, *GDPR_ART_34)) == ()


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("incident_summary", {ORDER_790_ART_11[0], GDPR_ART_34[0]}),
        ("risk", {ORDER_790_ART_11[0]}),
        ("consequences", {ORDER_790_ART_11[1], PIPL_ART_57[0], GDPR_ART_34[2]}),
        ("measures_taken", {ORDER_790_ART_11[2], PIPL_ART_57[1], GDPR_ART_34[3]}),
        ("data_kinds", {PIPL_ART_57[0]}),
        ("cause", {PIPL_ART_57[0]}),
        ("advice", {PIPL_ART_57[1]}),
        ("contact_point", {PIPL_ART_57[2], GDPR_ART_34[1]}),
        ("contact_email", {PIPL_ART_57[2], GDPR_ART_34[1]}),
    ],
)
def test_an_item_is_missing_when_a_value_or_one_language_of_it_is(
    breach: Template, value: str, items: set[str]
) -> None:
    demanded = (*ORDER_790_ART_11, *PIPL_ART_57, *GDPR_ART_34)
    assert set(missing_items(breach, values(**{value: None}), demanded)) == items
    if isinstance(VALUES[value], dict):
        blank = {**VALUES[value], "vi": [" "] if isinstance(VALUES[value]["vi"], list) else " "}
        assert set(missing_items(breach, values(**{value: blank}), demanded)) == items
        assert missing_items(breach, values(**{value: blank}), demanded, ["en", "zh-Hans"]) == ()


def test_an_item_the_template_has_no_place_for_is_missing(breach: Template) -> None:
    assert missing_items(breach, VALUES, ["credit monitoring offer"]) == ("credit monitoring offer",)


@pytest.mark.parametrize("language", ["en", "zh-Hans", "zh-Hant", "vi"])
def test_every_value_reaches_the_reader_by_every_channel(breach: Template, language: str) -> None:
    sms = render(breach, language, "sms", VALUES, "Ann", REFERENCE)
    assert isinstance(sms, RenderedSms)
    letter = email(breach, language, VALUES, "Ann Lý")
    shown = Text(letter.html).words
    for name, value in VALUES.items():
        if name == "occurred_on":
            continue
        said = value.get(language, value["zh-Hans"]) if isinstance(value, dict) else value
        for entry in said if isinstance(said, list) else [said]:
            assert entry in sms.text, name
            assert entry in letter.text, name
            assert entry in shown, name
    for text in (sms.text, letter.text, shown):
        assert REFERENCE in text
    assert VALUES["organisation"].get(language, VALUES["organisation"]["zh-Hans"]) in letter.subject
    assert "Ann Lý" in letter.text
    assert "Ann" not in sms.text, "whoever holds the phone now need not be that person"


@pytest.mark.parametrize(
    ("language", "day"), [("en", "12 November 2026"), ("zh-Hans", "2026年11月12日"), ("vi", "12 tháng 11 năm 2026")]
)
def test_dates_are_written_as_the_language_writes_them(breach: Template, language: str, day: str) -> None:
    assert day in email(breach, language, VALUES).text


@pytest.mark.parametrize("language", ["en", "zh-Hans", "zh-Hant", "vi"])
def test_a_notice_with_only_the_essentials_is_still_whole(breach: Template, language: str) -> None:
    """An override may let a notice go without an item; it must not then hold empty headings or stray marks."""
    few = {name: VALUES[name] for name in ("organisation", "incident_summary", "contact_point")}
    letter = email(breach, language, few)
    sms = render(breach, language, "sms", few, "Ann", REFERENCE)
    for text in (letter.text, letter.html, sms.text):  # type: ignore[union-attr]
        assert "None" not in text
        assert not re.search(r"[:：]\s*[.。]", text)
    assert "\n\n\n" not in letter.text


def test_markup_in_values_and_names_stays_text(breach: Template) -> None:
    nasty = '<script>alert(1)</script>{{ 7*7 }}<img src=x onerror="x">'
    given = values(cause=dict.fromkeys(breach.languages, nasty))
    letter = email(breach, "en", given, "<b>Ann</b>{{ reference }}")
    page = Text(letter.html)
    assert not page.tags & {"script", "img", "b"}
    assert nasty in page.words
    assert "<b>Ann</b>{{ reference }}" in letter.text, "a name is never read as a template"


@pytest.mark.parametrize(
    ("value", "given", "field"),
    [
        ("organisation", "Acme\r\nBcc: all@example.com", "values.organisation"),
        ("organisation", {"en": "Acme\nX"}, "values.organisation.en"),
        ("organisation", "x" * 81, "values.organisation"),
        ("incident_summary", "the same for all", "values.incident_summary"),
        ("incident_summary", {"en": "bell \x07"}, "values.incident_summary.en"),
        ("organisation", "Acme \u202eemca", "values.organisation"),
        ("incident_summary", {"fr": "Bonjour"}, "values.incident_summary"),
        ("data_kinds", {"en": "names"}, "values.data_kinds.en"),
        ("data_kinds", {"en": ["x"] * 21}, "values.data_kinds.en"),
        ("data_kinds", {"en": ["ok", 7]}, "values.data_kinds.en.1"),
        ("occurred_on", "12.11.2026", "values.occurred_on"),
        ("occurred_on", {"en": "2026-11-12"}, "values.occurred_on"),
        ("contact_email", "nobody", "values.contact_email"),
        ("contact_phone", "call me", "values.contact_phone"),
        ("verify_url", "javascript:alert(1)", "values.verify_url"),
        ("verify_url", "http://plain.example", "values.verify_url"),
        ("nonsense", "x", "values.nonsense"),
    ],
)
def test_a_malformed_value_is_named(breach: Template, value: str, given: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        breach.check_values(values(**{value: given}))
    assert [fault.field for fault in caught.value.errors] == [field]


PERSON = "Li Na 13800138000 li.na@example.com"


def test_nobodys_contact_gets_into_any_words_of_a_notice(breach: Template) -> None:
    """Values are put into events for good. Every value of words is tried, in each language, and entries of lists."""
    tried = set()
    for name, rule in breach.manifest.values.items():
        if rule.type not in {"line", "text", "list"}:
            continue
        assert rule.by_language, "or give it without a language below"
        for language in breach.languages:
            given = ["fine", PERSON] if rule.type == "list" else PERSON
            with pytest.raises(InvalidInput) as caught:
                breach.check_values(values(**{name: {language: given}}))
            field = f"values.{name}.{language}" + (".1" if rule.type == "list" else "")
            assert [fault.field for fault in caught.value.errors] == [field]
            assert "contact_phone" in caught.value.errors[0].reason
            assert not any(part in f"{caught.value.detail}{caught.value.errors}" for part in PERSON.split()[2:])
            tried.add(name)
    assert {"organisation", "incident_summary", "data_kinds", "contact_point", "contact_hours"} <= tried
    with pytest.raises(InvalidInput):
        breach.check_values(values(organisation=PERSON))


def test_the_organisations_own_contacts_stay_in_their_values(breach: Template) -> None:
    breach.check_values(
        values(
            contact_phone="+8613800138000",
            contact_email="li.na@example.com",
            verify_url="https://example.com/check?phone=13800138000",
            occurred_on="2026-11-12",
        )
    )


@pytest.mark.parametrize("phone", ["+442079460000", "400 810 0000", "1900 1234", "12377"])
def test_service_numbers_are_contact_phones(breach: Template, phone: str) -> None:
    breach.check_values(values(contact_phone=phone))


def test_a_text_message_too_long_to_send_is_refused(breach: Template) -> None:
    long = values(measures_taken={"en": ["very long words " * 12] * 10, "zh-Hans": ["短"], "vi": ["ngắn"]})
    with pytest.raises(InvalidInput) as caught:
        breach.render_sms("en", long, REFERENCE)
    assert caught.value.errors[0].field == "values.en"
    assert breach.render_sms("zh-Hans", long, REFERENCE).segments > 1


def test_the_digest_changes_with_anything_that_changes_the_words(breach: Template, tmp_path: Path) -> None:
    base = text_digest(breach, VALUES, ["en", "vi"])
    assert text_digest(breach, copy.deepcopy(VALUES), ["vi", "en", "en"]) == base
    assert text_digest(breach, values(cause={"en": "Another"}), ["en", "vi"]) != base
    assert text_digest(breach, VALUES, ["en"]) != base
    other = _copied(tmp_path)
    assert text_digest(Templates(other).get(breach.name), VALUES, ["en", "vi"]) == base
    words = other / breach.name / "en" / "sms.txt.j2"
    words.write_text(words.read_text() + "!")
    assert text_digest(Templates(other).get(breach.name), VALUES, ["en", "vi"]) != base


def test_a_template_cannot_reach_into_python(tmp_path: Path) -> None:
    root = _copied(tmp_path)
    (root / "personal-data-breach" / "en" / "sms.txt.j2").write_text("{{ organisation.__class__.__mro__ }}")
    with pytest.raises((InvalidInput, SecurityError)):
        Templates(root).get("personal-data-breach").render_sms("en", VALUES, REFERENCE)


def test_a_misspelt_value_in_a_template_is_no_silent_gap(tmp_path: Path) -> None:
    root = _copied(tmp_path)
    (root / "personal-data-breach" / "en" / "sms.txt.j2").write_text("{{ organization }}")
    with pytest.raises(InvalidInput, match="UndefinedError"):
        Templates(root).get("personal-data-breach").render_sms("en", VALUES, REFERENCE)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.pop("version"),
        lambda manifest: manifest["items"].update(x={"source": "s", "all": ["no_such_value"]}),
        lambda manifest: manifest.update(languages=["en", "fr"]),
        lambda manifest: manifest.update(template="other"),
        lambda manifest: manifest.update(surprise=1),
    ],
)
def test_a_bad_manifest_is_refused_at_the_start(tmp_path: Path, change: Any) -> None:
    root = _copied(tmp_path)
    path = root / "personal-data-breach" / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text())
    change(manifest)
    path.write_text(yaml.safe_dump(manifest, allow_unicode=True))
    with pytest.raises(InvalidInput):
        Templates(root)


def test_unknown_names(breach: Template) -> None:
    with pytest.raises(NotFound, match="personal-data-breach"):
        Templates().get("nope")
    for language, channel in (("fr", "sms"), ("en", "pigeon")):
        with pytest.raises(InvalidInput):
            render(breach, language, channel, VALUES, "Ann", REFERENCE)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 10, 2),  # the euro sign would straddle
        ("a" * 152 + "€" + "a" * 151, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("中" * 70, 1),
        ("中" * 71, 2),
        ("中" * 134, 2),
        ("中" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("中" * 66 + "😀" + "中" * 65, 2),
        ("中" * 66 + "😀" + "中" * 66, 3),
        ("ê", 1),
    ],
)
def test_segments(text: str, count: int) -> None:
    """3GPP TS 23.038: 160/153 septets, 70/67 UTF-16 units, no sign of two split."""
    assert segments(text) == count


def test_typographic_signs_do_not_make_an_english_text_dear(breach: Template) -> None:
    curly = values(cause={**VALUES["cause"], "en": "Somebody’s “stolen” password – sorry…"})
    sms = breach.render_sms("en", curly, REFERENCE)
    assert 'Somebody\'s "stolen" password - sorry...' in sms.text
    assert sms.segments == segments("x" * len(sms.text))


def _copied(tmp_path: Path) -> Path:
    import shutil

    source = Path(__file__).parents[2] / "notifier" / "templates" / "personal-data-breach"
    root = tmp_path / "templates"
    shutil.copytree(source, root / "personal-data-breach")
    return root


LANGUAGES = ("en", "zh-Hans", "vi")
EARLIER = "56ae379ab4a91fe081d4bc6cc6ddb60d0e5a75d739f176ecc165808253b6ad96"
"""Over all files of the set, as the version before digests by language made it."""


def _as_before(files: str, given: dict[str, Any]) -> str:
    said = {"template": "personal-data-breach", "version": "1", "files": files, "languages": sorted(LANGUAGES)}
    text = json.dumps({**said, "values": given}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_an_approval_by_a_digest_of_the_version_before_holds(breach: Template) -> None:
    given = values()
    assert is_text(breach, given, LANGUAGES, _as_before(EARLIER, given))
    assert not is_text(breach, given, LANGUAGES, _as_before(EARLIER, {**given, "cause": "Another"}))
    assert not is_text(breach, given, LANGUAGES, _as_before("0" * 64, given))
    assert not is_text(breach, given, (*LANGUAGES, "zh-Hant"), _as_before(EARLIER, given)), (
        "nobody approved those words"
    )


def test_such_an_approval_ends_with_the_words_it_was_given_for(breach: Template, tmp_path: Path) -> None:
    given, root = values(), tmp_path / "personal-data-breach"
    shutil.copytree(Path(templates_package.__file__).parent / "personal-data-breach", root)
    (root / "vi" / "sms.txt.j2").write_text("other words {{ reference }}")
    changed = Templates(tmp_path).get("personal-data-breach")
    assert not is_text(changed, given, LANGUAGES, _as_before(EARLIER, given))
    assert is_text(changed, given, ("en",), text_digest(breach, given, ("en",))), "the other languages are as they were"


def test_what_is_not_given_in_traditional_characters_is_taken_from_the_simplified(breach: Template) -> None:
    given = values()
    assert breach.missing_essentials(given, ["zh-Hant"]) == ()
    sms = render(breach, "zh-Hant", "sms", given, "", REFERENCE)
    assert isinstance(sms, RenderedSms)
    assert "您的個人資料涉及一起安全事件" in sms.text
    given["organisation"] = {**given["organisation"], "zh-Hant": "海港診所"}
    assert "海港診所" in email(breach, "zh-Hant", given).subject


SIMPLIFIED = set(
    "个们这会来时对说产过还进关发处应为从实报请访问认识读记录电话账户号码编见观评样权层组织无须况转达项员"
    "长闭众动总显计续网页链图书伪据险补办"
)


def test_no_simplified_characters_are_left_in_the_traditional_words() -> None:
    folder = Path(templates_package.__file__).parent / "personal-data-breach" / "zh-Hant"
    for file in folder.glob("*.j2"):
        assert not SIMPLIFIED & set(file.read_text("utf-8")), file.name
