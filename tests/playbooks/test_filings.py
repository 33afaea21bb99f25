"""The prepared text of a filing: what is known is in it, what is not is marked, times are local to the authority."""

from __future__ import annotations

from datetime import timedelta

import pytest

from incidents.errors import InvalidInput
from incidents.facts import Facts, OrganisationProfile
from playbooks.directory import Authority, load_directory
from playbooks.filings.prepare import FilingItem, prepare
from tests.conftest import NIGHT
from tests.playbooks.duties.test_register import duty

PROFILE = OrganisationProfile.parse(
    {
        "name": "Example",
        "names": {"zh-Hans": "示例公司"},
        "legal_ids": [{"scheme": "uscc", "value": "91430100MA4L00000X"}],
        "dpo": {"name": "Privacy office", "email": "privacy@example.com"},
    }
)
FACTS = Facts.parse(
    {"persons_affected": 212, "data_classes": ["health"], "malicious": True, "aware_at": NIGHT.isoformat()}
)
ITEMS = [FilingItem(id="nature", text="Nature of the breach"), FilingItem(id="steps", text="Measures taken")]


def prepared(language: str, authority: Authority | None = None) -> str:
    filing = prepare(
        duty(clock_at=NIGHT, strict_due=NIGHT + timedelta(hours=72)),
        ITEMS,
        FACTS,
        PROFILE,
        reference="INC-AAAA-BBBB",
        title="Bulk export",
        prepared_at=NIGHT,
        language=language,
        authority=authority,
    )
    return f"{filing.subject}\n{filing.text}"


def test_it_holds_what_is_known_in_local_time() -> None:
    text = prepared("en")

    assert "Persons affected: 212" in text
    assert "Health" in text
    assert ": yes" in text
    assert "2026-11-20 02:00 CET" in text, "aware at 01:00 UTC, shown in the authority's zone"
    assert "2026-11-23 02:00 CET" in text, "due"
    assert "privacy@example.com" in text


def test_it_marks_what_a_person_must_still_write() -> None:
    text = prepared("en")

    for item in ITEMS:
        assert item.text in text
    assert text.count("[to be completed]") == len(ITEMS)
    assert "DRAFT" in text


def test_it_exists_in_chinese() -> None:
    text = prepared("zh-Hans")

    assert "示例公司" in text
    assert "草稿" in text
    assert "：212" in text


def test_a_language_without_words_is_refused() -> None:
    with pytest.raises(InvalidInput, match="en, zh-Hans"):
        prepared("fr")


def test_it_says_who_the_recipient_is_and_how_to_reach_it() -> None:
    authority = load_directory().resolve("cn.provincial_cyberspace_administration", "CN")

    english, chinese = prepared("en", authority), prepared("zh-Hans", authority)

    for text in (english, chinese):
        assert "https://12387.cert.org.cn" in text
        assert "010-82992387" in text
    assert "depends on the place" in english
    assert "具体机关依属地确定" in chinese
    assert "属地省级网信部门" in chinese


def test_an_authority_that_the_directory_does_not_know_is_marked() -> None:
    assert "[not in the directory: look it up]" in prepared("en")
    assert "名录中尚无" in prepared("zh-Hans")
