"""A period counted alone, and deadlines in the words a person reads."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from incidents.errors import InvalidInput, NotFound
from playbooks.law import Law, assemble, load_law, parse_pack, standard_calendars
from playbooks.law.alone import PeriodAnswer, count_alone
from playbooks.law.pages import instrument_page, overview_page
from playbooks.law.words import day_en, day_zh, end_en, end_zh, unusual_days
from tests.playbooks.law.samples import CHAIN

CALENDARS = standard_calendars()
BUSINESS = CHAIN.replace(
    "period: {amount: 3, unit: business_days}", "period: {amount: 1, unit: business_days}"
).replace(
    "forum: {region: eea, time_zone: Europe/Brussels, calendar: BE}", "forum: {time_zone: Asia/Shanghai, calendar: CN}"
)


def alone(name: str, start: str, law: Law | None = None, **more: object) -> PeriodAnswer:
    return count_alone(law or load_law(), name, datetime.fromisoformat(start), CALENDARS, **more)  # type: ignore[arg-type]


def words(answer: PeriodAnswer, language: str = "en") -> str:
    return "\n".join(reason.text[language] for reason in answer.why)


def test_a_make_up_working_day_is_named() -> None:
    law = assemble([parse_pack(BUSINESS, name="chain.yaml")])
    answer = alone("zz-declaration", "2026-02-27T17:00:00+08:00", law)
    assert answer.strict_due == datetime.fromisoformat("2026-03-01T00:00:00+08:00")
    assert "Fri 27 Feb 2026 17:00 (day 0) + 1 working day of CN: ends with Sat 28 Feb 2026." in words(answer)
    assert "Sat 28 Feb 2026 is a make-up working day in CN." in words(answer)
    assert "2026年2月28日（周六）在 CN 为调休工作日" in words(answer, "zh")
    assert "Due the end of Sat 28 Feb 2026" in words(answer)


def test_holidays_are_named_and_long_ones_cut_short() -> None:
    shanghai = CALENDARS.of("CN")
    (step,) = unusual_days(date(2026, 9, 30), date(2026, 10, 8), shanghai)
    assert "are days off in CN" in step.en
    assert "Thu 1 Oct 2026" in step.en
    (days,) = unusual_days(date(2026, 12, 24), date(2026, 12, 25), CALENDARS.of("DE"))
    assert days.en == "Fri 25 Dec 2026 is a day off in DE."
    assert unusual_days(date(2026, 6, 8), date(2026, 6, 12), CALENDARS.of("DE")) == ()


def test_hours_show_the_sum_the_full_hour_and_a_change_of_clocks() -> None:
    answer = alone("eu-gdpr-33-1-authority", "2026-03-27T18:15:00+01:00", country="DE")
    assert (answer.time_zone, answer.calendar) == ("Europe/Berlin", "DE")
    said = words(answer)
    assert "Fri 27 Mar 2026 18:15 + 72 hours of elapsed time = Mon 30 Mar 2026 19:15." in said
    assert "Clocks go forward in between" in said
    assert "ends on the full hour, Mon 30 Mar 2026 20:00" in said
    assert "the last moment under the rule's own counting is Mon 30 Mar 2026 20:00" in said
    assert "夏" not in words(answer, "zh")
    assert "其间时钟拨快" in words(answer, "zh")


def test_a_second_limit_needs_the_time_of_its_event() -> None:
    law = assemble([parse_pack(CHAIN, name="chain.yaml")])
    start = "2026-09-09T06:00:00+02:00"
    aware = {"aware": datetime.fromisoformat("2026-09-08T08:00:00+02:00")}
    assert "which is not known yet" in words(alone("zz-initial", start, law))
    both = alone("zz-initial", start, law, events=aware)
    assert both.strict_due == datetime.fromisoformat("2026-09-09T08:00:00+02:00")
    assert "The earlier limit binds: Wed 9 Sep 2026 08:00, counted from “aware”." in words(both)


def test_another_zone_can_be_asked_for() -> None:
    start = "2026-06-13T05:50:00+02:00"
    here = alone("eu-gdpr-33-1-authority", start, country="DE")
    there = alone("eu-gdpr-33-1-authority", start, zone=ZoneInfo("America/New_York"))
    assert here.strict_due == there.strict_due
    assert there.time_zone == "America/New_York"
    assert "Fri 12 Jun 2026 23:50" in words(there)


def test_a_rule_without_a_number_gives_its_word_and_a_reminder() -> None:
    answer = alone("cn-pipl-57-authority", "2026-11-20T09:00:00+08:00")
    assert (answer.strict_due, answer.legal_end) == (None, None)
    assert answer.reminder_at == datetime.fromisoformat("2026-11-20T11:00:00+08:00")
    assert "internal reminder rings Fri 20 Nov 2026 11:00" in words(answer)


def test_low_confidence_says_verify_with_counsel_wherever_it_shows() -> None:
    law = load_law()
    pack, rule = next((pack, rule) for pack, rule in law.rules() if rule.confidence == "low")
    answer = alone(rule.id, "2026-11-20T09:00:00+08:00")
    assert "verify with counsel" in words(answer)
    assert "请与律师核实" in words(answer, "zh")
    assert "low" in instrument_page(pack)
    assert "verify with counsel" in instrument_page(pack)
    assert "verify with counsel" in overview_page(law)
    sure = alone("eu-gdpr-33-1-authority", "2026-06-13T05:50:00+02:00")
    assert "counsel" not in words(sure)


def test_what_does_not_exist_is_named() -> None:
    with pytest.raises(NotFound, match=r"Did you mean “eu-gdpr-33-1-authority”"):
        alone("eu-gdpr-33-1-autority", "2026-06-13T05:50:00+02:00")
    with pytest.raises(InvalidInput, match="no clock event “awair”"):
        alone("eu-gdpr-33-1-authority", "2026-06-13T05:50:00+02:00", events={"awair": datetime.now(ZoneInfo("UTC"))})
    with pytest.raises(ValueError, match="offset"):
        alone("eu-gdpr-33-1-authority", "2026-06-13T05:50:00")


def test_days_and_ends_in_words() -> None:
    end = datetime(2026, 3, 1, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert end_en(end, ends_with_day=True) == "the end of Sat 28 Feb 2026"
    assert end_zh(end, ends_with_day=True) == "2026年2月28日（周六）终了"
    assert end_en(end, ends_with_day=False) == "Sun 1 Mar 2026 00:00"
    assert (day_en(date(2024, 2, 29)), day_zh(date(2024, 2, 29))) == ("Thu 29 Feb 2024", "2024年2月29日（周四）")
