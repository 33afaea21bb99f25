"""The document of a filing: what is known is in it, what is not is marked, times are local to the authority."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from incidents.errors import InvalidInput
from incidents.facts import Facts, OrganisationProfile
from playbooks.directory import Authority, load_directory
from playbooks.filings.form import FormItem
from playbooks.filings.prepare import Receiver, prepare
from playbooks.parties.contacts import ContactPoint
from tests.conftest import NIGHT
from tests.playbooks.duties.test_register import duty

PROFILE = OrganisationProfile.parse(
    {
        "name": "Example",
        "names": {"zh-Hans": "示例公司"},
        "legal_ids": [{"scheme": "uscc", "value": "91430100MA4L00000X"}],
        "dpo": {"name": "Privacy office", "names": {"zh-Hans": "隐私办公室"}, "email": "privacy@example.com"},
    }
)
FACTS = Facts.parse(
    {"persons_affected": 212, "data_classes": ["health"], "malicious": True, "aware_at": NIGHT.isoformat()}
)
ITEMS = [
    FormItem(id="nature", text="Nature of the breach", state="missing"),
    FormItem(id="steps", text="Measures taken", state="missing"),
]


def prepared(
    language: str, authority: Authority | None = None, items: Sequence[FormItem] = ITEMS, **changes: Any
) -> str:
    more = {name: changes.pop(name) for name in ("receivers", "warnings") if name in changes}
    filing = prepare(
        duty(**({"clock_at": NIGHT, "strict_due": NIGHT + timedelta(hours=72)} | changes)),
        items,
        FACTS,
        PROFILE,
        reference="INC-AAAA-BBBB",
        title="Bulk export",
        prepared_at=NIGHT,
        language=language,
        authority=authority,
        **more,
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
    assert "联系人：隐私办公室，privacy@example.com" in text

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


def test_it_says_what_was_written_and_what_is_not_yet_known() -> None:
    items = [
        FormItem(id="nature", text="Nature of the breach", state="written", answer="Export of a table.\nTwo hosts."),
        FormItem(id="steps", text="Measures taken", state="not_yet_known", answer="by Monday"),
        FormItem(id="cause", text="Cause", state="not_yet_known"),
        FormItem(id="data", text="Data", state="from_facts", answer="Classes: health"),
    ]

    english, chinese = prepared("en", items=items), prepared("zh-Hans", items=items)

    assert "[to be completed]" not in english.split("2. What")[1]
    for line in ("Export of a table.", "Two hosts.", "[not yet known at the time of this report: by Monday]"):
        assert line in english
    assert "it will follow]" in english
    assert "Classes: health" in english
    assert "截至报告时尚不明确：by Monday" in chinese
    assert "将另行补报" in chinese
    assert "checked and completed" in english
    whole = [item for item in items if item.state != "not_yet_known"]
    assert "DRAFT - to be checked by" in prepared("en", items=whole)


def test_a_rule_of_low_confidence_sends_its_reader_to_counsel() -> None:
    low = {"confidence": "low", "note": "Only a summary was read."}

    assert "verify with counsel. Only a summary was read." in prepared("en", **low)
    assert "请与律师核实" in prepared("zh-Hans", **low)
    assert "counsel" not in prepared("en", confidence="high")


def test_a_filing_to_a_party_names_its_confirmed_contact() -> None:
    value = ContactPoint(name="Duty desk", email="desk@mill.example", phone="+49 30 9000 1234")
    one = Receiver(
        party="Mill GmbH",
        purpose="incidents",
        channels=value.channels,
        confirmed_by="user:lan",
        confirmed_at=NIGHT,
        value=value,
    )
    to_party = {"recipient_kind": "party", "recipient": "Customer"}

    text = prepared("en", receivers=[one], warnings=["CHANGED"], **to_party)
    hidden = prepared("zh-Hans", receivers=[one.model_copy(update={"value": None})], **to_party)

    for part in ("Mill GmbH (incidents)", "desk@mill.example", "+49 30 9000 1234", "user:lan, 2026-11-20 02:00 CET"):
        assert part in text
    assert "!!! CHANGED" in text
    assert "desk@mill" not in hidden
    assert "9000" not in hidden
    assert "仅对处理事件的人员显示" in hidden
    assert "[no confirmed contact]" in prepared("en", **to_party)


def test_clock_recipient_and_deadline_stand_in_the_language_of_the_document() -> None:
    changes: dict[str, Any] = {
        "recipient_names": {"en": "supervisory authority", "zh": "监管机构"},
        "instrument_titles": {"en": "Regulation (EU) 2016/679", "zh": "《通用数据保护条例》"},
        "clock_event": "discovered",
        "ends_with_day": True,
        "time_zone": "UTC",
        "strict_due": NIGHT.replace(hour=0) + timedelta(days=3),
    }
    day = (NIGHT + timedelta(days=2)).strftime("%Y-%m-%d")
    chinese, english = prepared("zh-Hans", **changes), prepared("en", **changes)
    assert "《通用数据保护条例》" in chinese
    assert "报送对象：监管机构" in chinese
    assert "起算：发现时间" in chinese
    assert f"期限：{day}" in chinese, "the whole of the last day may be used"
    assert f"the end of {day}" in english
