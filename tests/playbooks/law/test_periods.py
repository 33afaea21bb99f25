"""Every worked example of how notification periods are computed, and properties that hold for all of them.

The examples were worked by hand from Regulation 1182/71, Delegated Regulation 2025/301, Form 8-K General Instruction
B.1 and the other rules named with them. T24:00 in a date-ending period is written here as the last day.
"""

from __future__ import annotations

import os
import time as clock
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from incidents.facts.places import country_zones, regions
from playbooks.law.calendars import HolidayCalendar, HolidayCalendars, add_working_days, next_working_day
from playbooks.law.period import (
    Cap,
    Deadline,
    Family,
    OfficeHours,
    Period,
    Recurrence,
    Rollover,
    Unit,
    Until,
    duration,
)
from playbooks.law.periods import Counting, add_months, count_period, end_of_day

CALENDARS = HolidayCalendars()
BERLIN = ("Europe/Berlin", "DE")


def counted(period: Period, start: str, where: tuple[str, str] = BERLIN, **counting: Any) -> Deadline:
    zone, place = where
    found = count_period(
        period,
        datetime.fromisoformat(start),
        Counting(zone=ZoneInfo(zone), calendar=CALENDARS.of(place), **counting),
    )
    assert found is not None
    return found


def written(moment: datetime, *, day: bool = False) -> str:
    """As the tables write it: an instant, or the day whose end it is."""
    if day:
        assert moment.time() == time(0)
        return (moment.date() - timedelta(days=1)).isoformat()
    return moment.isoformat(timespec="minutes")


def hours(amount: int, family: Family = Family.PLAIN, **more: Any) -> Period:
    return Period(amount=amount, unit=Unit.HOURS, family=family, **more)


def days(amount: int, family: Family = Family.PLAIN) -> Period:
    return Period(amount=amount, unit=Unit.CALENDAR_DAYS, family=family)


EU_HOURS = [  # 1: zone Europe/Berlin
    (72, "2026-06-12T16:20+02:00", "2026-06-15T16:20+02:00", "2026-06-15T17:00+02:00"),
    (72, "2026-04-02T09:05+02:00", "2026-04-05T09:05+02:00", "2026-04-05T10:00+02:00"),
    (72, "2026-06-12T16:00+02:00", "2026-06-15T16:00+02:00", "2026-06-15T17:00+02:00"),
    (72, "2026-03-27T20:00+01:00", "2026-03-30T21:00+02:00", "2026-03-30T22:00+02:00"),
    (72, "2026-10-23T20:00+02:00", "2026-10-26T19:00+01:00", "2026-10-26T20:00+01:00"),
    (24, "2026-12-31T23:30+01:00", "2027-01-01T23:30+01:00", "2027-01-02T00:00+01:00"),
    (72, "2026-12-31T23:30+01:00", "2027-01-03T23:30+01:00", "2027-01-04T00:00+01:00"),
]


@pytest.mark.parametrize(("amount", "start", "strict", "legal"), EU_HOURS)
def test_hours_of_union_law(amount: int, start: str, strict: str, legal: str) -> None:
    found = counted(hours(amount, Family.EU_1182_71), start)
    assert (written(found.strict_due), written(found.legal_end)) == (strict, legal)
    assert not found.ends_with_day


EU_DAYS = [
    (1, Unit.MONTHS, "2026-01-31T15:00+01:00", "2026-02-28", "2026-03-02"),
    (1, Unit.MONTHS, "2026-04-15T12:00+02:00", "2026-05-15", "2026-05-15"),
    (1, Unit.MONTHS, "2026-11-25T12:00+01:00", "2026-12-25", "2026-12-28"),
    (14, Unit.CALENDAR_DAYS, "2026-10-03T12:00+02:00", "2026-10-17", "2026-10-19"),
    (3, Unit.CALENDAR_DAYS, "2026-05-08T12:00+02:00", "2026-05-11", "2026-05-12"),
]


@pytest.mark.parametrize(("amount", "unit", "start", "strict", "legal"), EU_DAYS)
def test_days_and_months_of_union_law(amount: int, unit: Unit, start: str, strict: str, legal: str) -> None:
    found = counted(Period(amount=amount, unit=unit, family=Family.EU_1182_71), start)
    assert found.ends_with_day
    assert (written(found.strict_due, day=True), written(found.legal_end, day=True)) == (strict, legal)


INITIAL = hours(
    4,
    Family.DORA_2025_301,
    cap=Cap(amount=24, unit=Unit.HOURS, event="aware", dropped_if_start_after=True),
    rollover=Rollover(at=time(12)),
)
DORA = [  # aware, classified, a bank, due
    ("2026-09-08T08:00+02:00", "2026-09-08T10:30+02:00", True, "2026-09-08T14:30+02:00"),
    ("2026-09-08T08:00+02:00", "2026-09-09T06:00+02:00", True, "2026-09-09T08:00+02:00"),
    ("2026-09-08T08:00+02:00", "2026-09-09T12:00+02:00", True, "2026-09-09T16:00+02:00"),
    ("2026-09-11T20:00+02:00", "2026-09-11T22:00+02:00", True, "2026-09-12T02:00+02:00"),
    ("2026-09-11T20:00+02:00", "2026-09-11T22:00+02:00", False, "2026-09-14T12:00+02:00"),
]


@pytest.mark.parametrize(("aware", "classified", "bank", "due"), DORA)
def test_the_initial_report_of_dora(aware: str, classified: str, bank: bool, due: str) -> None:
    found = counted(INITIAL, classified, relief=not bank, events={"aware": datetime.fromisoformat(aware)})
    assert written(found.legal_end) == due
    if bank:
        assert found.strict_due == found.legal_end
    else:
        assert written(found.strict_due) == "2026-09-12T02:00+02:00", "relief is never in the strict value"


def test_without_awareness_the_cap_is_named_and_not_guessed() -> None:
    found = counted(INITIAL, "2026-09-08T10:30+02:00")
    assert written(found.legal_end) == "2026-09-08T14:30+02:00"
    assert any("aware" in step.en for step in found.steps)


@pytest.mark.parametrize(("bank", "due"), [(True, "2026-09-13T14:00+02:00"), (False, "2026-09-14T12:00+02:00")])
def test_the_intermediate_report_of_dora(bank: bool, due: str) -> None:
    period = hours(72, Family.DORA_2025_301, rollover=Rollover(at=time(12)))
    assert written(counted(period, "2026-09-10T14:00+02:00", relief=not bank).legal_end) == due


def test_the_final_report_of_dora() -> None:
    period = Period(amount=1, unit=Unit.MONTHS, family=Family.DORA_2025_301, rollover=Rollover(at=time(12)))
    found = counted(period, "2026-01-30T10:00+01:00")
    assert written(found.strict_due, day=True) == "2026-02-28"
    assert written(found.legal_end) == "2026-03-02T12:00+01:00"


ELSEWHERE = [
    (6, ("Asia/Kolkata", "IN"), "2026-08-14T21:30+05:30", "2026-08-15T03:30+05:30"),
    (12, ("Australia/Sydney", "AU-NSW"), "2026-10-03T20:00+10:00", "2026-10-04T09:00+11:00"),
    (72, ("America/New_York", "US"), "2026-03-06T17:00-05:00", "2026-03-09T18:00-04:00"),
    (36, ("America/New_York", "US"), "2026-10-31T10:00-04:00", "2026-11-01T21:00-05:00"),
    (72, ("Asia/Seoul", "KR"), "2026-09-24T18:00+09:00", "2026-09-27T18:00+09:00"),
]


@pytest.mark.parametrize(("amount", "where", "start", "due"), ELSEWHERE)
def test_hours_elsewhere_are_elapsed_hours(amount: int, where: tuple[str, str], start: str, due: str) -> None:
    found = counted(hours(amount), start, where)
    assert written(found.strict_due) == written(found.legal_end) == due


def test_the_united_kingdom_reads_hours_as_the_union_does() -> None:
    found = counted(hours(72, Family.UK_1182_71), "2026-03-27T18:15+00:00", ("Europe/London", "GB"))
    assert written(found.strict_due) == "2026-03-30T19:15+01:00"
    assert written(found.legal_end) == "2026-03-30T20:00+01:00"


NEW_YORK, SINGAPORE, TOKYO = ("America/New_York", "US"), ("Asia/Singapore", "SG"), ("Asia/Tokyo", "JP")
CALENDAR_DAYS = [
    (60, Family.PLAIN, NEW_YORK, "2026-01-15T12:00-05:00", "2026-03-16", "2026-03-16"),
    (60, Family.PLAIN, NEW_YORK, "2026-12-31T23:59-05:00", "2027-03-01", "2027-03-01"),
    (60, Family.PLAIN, NEW_YORK, "2027-12-31T23:59-05:00", "2028-02-29", "2028-02-29"),
    (30, Family.PLAIN, ("America/Los_Angeles", "US-CA"), "2026-01-20T12:00-08:00", "2026-02-19", "2026-02-19"),
    (15, Family.PLAIN, ("America/Los_Angeles", "US-CA"), "2026-02-10T12:00-08:00", "2026-02-25", "2026-02-25"),
    (30, Family.PLAIN, ("America/Chicago", "US-TX"), "2026-06-01T12:00-05:00", "2026-07-01", "2026-07-01"),
    (60, Family.PLAIN, ("America/Chicago", "US-TX"), "2026-06-01T12:00-05:00", "2026-07-31", "2026-07-31"),
    (30, Family.PLAIN, ("America/Denver", "US-CO"), "2026-01-31T12:00-07:00", "2026-03-02", "2026-03-02"),
    (30, Family.NEXT_BUSINESS_DAY, NEW_YORK, "2026-05-01T12:00-04:00", "2026-05-31", "2026-06-01"),
    (3, Family.PLAIN, SINGAPORE, "2026-05-29T10:00+08:00", "2026-06-01", "2026-06-01"),
    (30, Family.DAY_ONE_JP, TOKYO, "2026-07-01T12:00+09:00", "2026-07-30", "2026-07-30"),
    (60, Family.DAY_ONE_JP, TOKYO, "2026-07-01T12:00+09:00", "2026-08-29", "2026-08-31"),
]


@pytest.mark.parametrize(("amount", "family", "where", "start", "strict", "legal"), CALENDAR_DAYS)
def test_calendar_days(
    amount: int, family: Family, where: tuple[str, str], start: str, strict: str, legal: str
) -> None:
    found = counted(days(amount, family), start, where)
    assert (written(found.strict_due, day=True), written(found.legal_end, day=True)) == (strict, legal)


def test_the_year_end_closure_of_japanese_offices() -> None:
    found = counted(days(30, Family.DAY_ONE_JP), "2026-12-01T12:00+09:00", TOKYO)
    assert written(found.strict_due, day=True) == "2026-12-30"
    assert written(found.legal_end, day=True) == "2027-01-04"


FORM_8K = Period(amount=4, unit=Unit.BUSINESS_DAYS, family=Family.SEC_8K)
SEC = [
    ("2026-11-24T12:00-05:00", "2026-12-01T17:30-05:00"),
    ("2026-07-10T12:00-04:00", "2026-07-16T17:30-04:00"),
    ("2026-07-11T12:00-04:00", "2026-07-16T17:30-04:00"),
    ("2026-07-01T12:00-04:00", "2026-07-08T17:30-04:00"),
    ("2026-12-22T22:00-08:00", "2026-12-29T17:30-05:00"),
]


@pytest.mark.parametrize(("start", "due"), SEC)
def test_form_8k(start: str, due: str) -> None:
    found = counted(FORM_8K, start, NEW_YORK)
    assert written(found.strict_due) == written(found.legal_end) == due


def test_form_8k_takes_the_earlier_date_of_the_registrant() -> None:
    same = "2026-12-23T01:00-05:00"
    assert written(counted(FORM_8K, same, NEW_YORK).legal_end) == "2026-12-30T17:30-05:00"
    west = counted(FORM_8K, same, NEW_YORK, own_zone=ZoneInfo("America/Los_Angeles"))
    assert written(west.legal_end) == "2026-12-29T17:30-05:00"


def test_extra_closures_are_input() -> None:
    closed = HolidayCalendars(closed={"US": frozenset({date(2026, 12, 24)})})
    zone = ZoneInfo("America/New_York")
    start = datetime.fromisoformat("2026-12-22T12:00-05:00")
    found = count_period(FORM_8K, start, Counting(zone=zone, calendar=closed.of("US")))
    assert found is not None
    assert written(found.legal_end) == "2026-12-30T17:30-05:00"


BRAZIL = ("America/Sao_Paulo", "BR")


@pytest.mark.parametrize(
    ("amount", "start", "last"),
    [(3, "2026-04-17T12:00-03:00", "2026-04-23"), (6, "2026-09-01T12:00-03:00", "2026-09-10")],
)
def test_business_days_of_brazil(amount: int, start: str, last: str) -> None:
    found = counted(Period(amount=amount, unit=Unit.BUSINESS_DAYS), start, BRAZIL)
    assert written(found.strict_due, day=True) == written(found.legal_end, day=True) == last


def test_one_instant_in_several_zones() -> None:
    start = "2026-06-12T23:50-04:00"
    europe = counted(hours(72, Family.EU_1182_71), start)
    assert written(europe.strict_due) == "2026-06-16T05:50+02:00"
    assert europe.strict_due == datetime.fromisoformat("2026-06-15T23:50-04:00")
    assert written(counted(days(30), start, NEW_YORK).strict_due, day=True) == "2026-07-12"


SHANGHAI, SAIGON = ("Asia/Shanghai", "CN"), ("Asia/Ho_Chi_Minh", "VN")


@pytest.mark.parametrize(
    ("where", "start", "last", "why"),
    [
        (SHANGHAI, "2026-02-13T09:00+08:00", "2026-02-14", "Saturday 14 February 2026 is a make-up working day"),
        (SHANGHAI, "2026-02-14T09:00+08:00", "2026-02-24", "Spring Festival 15 to 23 February"),
        (SHANGHAI, "2026-09-30T09:00+08:00", "2026-10-08", "National Day 1 to 7 October"),
        (SHANGHAI, "2026-10-09T09:00+08:00", "2026-10-10", "Saturday 10 October is a make-up working day"),
        (SAIGON, "2026-08-21T09:00+07:00", "2026-08-22", "Saturday 22 August is worked for Monday 31 August"),
        (SAIGON, "2026-08-28T09:00+07:00", "2026-09-03", "31 August is swapped, 1 and 2 September are holidays"),
    ],
)
def test_make_up_working_days(where: tuple[str, str], start: str, last: str, why: str) -> None:
    found = counted(Period(amount=1, unit=Unit.BUSINESS_DAYS), start, where)
    assert written(found.strict_due, day=True) == last, why


def test_a_year_without_announcement_is_said_to_be_a_forecast() -> None:
    period = Period(amount=5, unit=Unit.BUSINESS_DAYS)
    assert not any("announced" in step.en for step in counted(period, "2026-03-02T09:00+08:00", SHANGHAI).steps)
    assert any("announced" in step.en for step in counted(period, "2090-03-02T09:00+08:00", SHANGHAI).steps)
    assert CALENDARS.of("DE").is_announced(2090)


OFFICE = [  # office 07:30-11:30 and 13:30-17:00; draft rule of a Vietnamese province on passing documents on
    ("2026-11-13T16:30+07:00", "2026-11-16T09:00+07:00"),
    ("2026-11-13T17:05+07:00", "2026-11-16T09:30+07:00"),
    ("2026-11-16T10:30+07:00", "2026-11-16T14:30+07:00"),
    ("2026-11-16T12:00+07:00", "2026-11-16T15:30+07:00"),
    ("2026-11-14T09:00+07:00", "2026-11-16T09:30+07:00"),
]


@pytest.mark.parametrize(("start", "due"), OFFICE)
def test_office_hours(start: str, due: str) -> None:
    found = counted(Period(amount=2, unit=Unit.OFFICE_HOURS), start, SAIGON)
    assert written(found.strict_due) == due


def test_other_office_hours_are_input() -> None:
    office = OfficeHours(periods=((time(8), time(11, 30)), (time(13), time(17, 30))))
    found = counted(Period(amount=2, unit=Unit.OFFICE_HOURS), "2026-11-13T16:30+07:00", SAIGON, office=office)
    assert written(found.strict_due) == "2026-11-16T09:00+07:00"
    with pytest.raises(ValidationError, match="in order"):
        OfficeHours(periods=((time(13), time(17)), (time(8), time(11))))


def test_ends_fixed_by_the_clock_of_a_day() -> None:
    same = Period(until=Until(day="same"))
    assert written(counted(same, "2026-11-13T16:30+07:00", SAIGON).legal_end, day=True) == "2026-11-13"
    morning = Period(until=Until(day="next_working_day", at="12:00"))
    assert written(counted(morning, "2026-11-13T16:30+07:00", SAIGON).legal_end) == "2026-11-16T12:00+07:00"
    late = Period(until=Until(day="same", at="12:00"))
    assert written(counted(late, "2026-11-13T16:30+07:00", SAIGON).legal_end) == "2026-11-13T16:30+07:00"


def test_fixed_dates_and_periods_before_an_event() -> None:
    yearly = Period(fixed_date="01-15")
    assert written(counted(yearly, "2026-11-22T12:00+08:00", SHANGHAI).legal_end, day=True) == "2027-01-15"
    assert written(counted(yearly, "2026-01-15T12:00+08:00", SHANGHAI).legal_end, day=True) == "2026-01-15"
    leap = Period(fixed_date="02-29")
    assert written(counted(leap, "2026-01-15T12:00+08:00", SHANGHAI).legal_end, day=True) == "2026-02-28"
    prior = Period(amount=20, unit=Unit.BUSINESS_DAYS, before="planned_event")
    assert written(counted(prior, "2026-11-30T12:00+08:00", SHANGHAI).legal_end, day=True) == "2026-11-02"
    assert written(
        counted(Period(amount=5, unit=Unit.HOURS, before="x"), "2026-11-30T12:00+08:00", SHANGHAI).strict_due
    ) == ("2026-11-30T07:00+08:00")
    assert counted(
        Period(before="planned_event", until=None, amount=1, unit=Unit.MONTHS), "2026-03-31T12:00+08:00", SHANGHAI
    )


def test_recurrence_counts_from_the_last_turn() -> None:
    every = Period(recurrence=Recurrence(amount=2, unit=Unit.HOURS, until_event="handled"))
    assert written(counted(every, "2026-11-20T22:30+08:00", SHANGHAI).strict_due) == "2026-11-21T00:30+08:00"


def test_a_cap_that_is_an_event_binds_when_it_comes_first() -> None:
    period = Period(amount=14, unit=Unit.BUSINESS_DAYS, cap=Cap(event="individuals_notified"))
    start = "2026-11-02T12:00-05:00"
    free = counted(period, start, NEW_YORK)
    told = datetime.fromisoformat("2026-11-05T09:00-05:00")
    bound = counted(period, start, NEW_YORK, events={"individuals_notified": told})
    assert bound.strict_due == bound.legal_end == told
    later = counted(period, start, NEW_YORK, events={"individuals_notified": told + timedelta(days=90)})
    assert later.strict_due == free.strict_due


def test_a_word_or_a_retention_time_gives_no_end() -> None:
    counting = Counting(zone=ZoneInfo("Europe/Berlin"), calendar=CALENDARS.of("DE"))
    start = datetime(2026, 6, 12, 12, tzinfo=UTC)
    assert count_period(Period(), start, counting) is None
    assert count_period(Period(amount=24, unit=Unit.MONTHS, retention=True), start, counting) is None
    with pytest.raises(ValueError, match="offset"):
        count_period(hours(1), datetime(2026, 6, 12), counting)  # noqa: DTZ001 - that is the fault


@pytest.mark.parametrize(
    "faulty",
    [
        {"amount": 3},
        {"unit": "hours"},
        {"amount": -1, "unit": "hours"},
        {"fixed_date": "13-01"},
        {"amount": 1, "unit": "hours", "cap": {"event": "aware", "amount": 2}},
        {"until": {"day": "tomorrow"}},
        {"until": {"day": "same", "at": "25:00"}},
    ],
)
def test_impossible_periods_are_refused(faulty: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Period.model_validate(faulty)


def test_durations_of_reminders() -> None:
    assert duration("P1DT2H3M") == timedelta(days=1, hours=2, minutes=3)
    for text in ("P", "PT", "1H", "P1M", "PT1S"):
        with pytest.raises(ValueError, match="duration"):
            duration(text)


def test_midnight_that_does_not_exist() -> None:
    # Cairo goes to summer time at midnight: 24 April 2026 has no 00:00.
    end = end_of_day(date(2026, 4, 23), ZoneInfo("Africa/Cairo"))
    assert end.isoformat() == "2026-04-24T01:00:00+03:00"


def test_months_keep_the_date_or_take_the_last_day() -> None:
    assert add_months(date(2026, 1, 31), 1) == date(2026, 2, 28)
    assert add_months(date(2027, 12, 31), 2) == date(2028, 2, 29)
    assert add_months(date(2026, 3, 31), -1) == date(2026, 2, 28)


def test_working_days_back_and_forth() -> None:
    work = CALENDARS.of("DE")
    assert next_working_day(date(2026, 4, 3), work) == date(2026, 4, 7)
    assert next_working_day(date(2026, 4, 7), work, include=False) == date(2026, 4, 8)
    assert add_working_days(date(2026, 4, 7), -1, work) == date(2026, 4, 2)


@pytest.mark.parametrize("country", sorted(regions()["eea"]))
def test_every_country_of_a_region_has_a_calendar_and_a_zone(country: str) -> None:
    assert not CALENDARS.of(country).is_working_day(date(2026, 12, 25))
    ZoneInfo(country_zones()[country])


def test_calendars_of_places() -> None:
    assert not HolidayCalendar("DE-BY").is_working_day(date(2026, 1, 6))
    assert HolidayCalendar("DE").is_working_day(date(2026, 1, 6))
    assert HolidayCalendar("CN-HN").is_working_day(date(2026, 2, 14))
    assert HolidayCalendar("DE", worked=frozenset({date(2026, 12, 25)})).is_working_day(date(2026, 12, 25))
    with pytest.raises(KeyError):
        HolidayCalendar("XX")


# ---------------------------------------------------------------- properties

PERIODS = st.one_of(
    st.builds(hours, st.integers(0, 200), st.sampled_from([Family.PLAIN, Family.EU_1182_71, Family.UK_1182_71])),
    st.builds(
        days,
        st.integers(1, 90),
        st.sampled_from([Family.PLAIN, Family.EU_1182_71, Family.NEXT_BUSINESS_DAY, Family.DAY_ONE_JP]),
    ),
    st.builds(
        lambda n, f: Period(amount=n, unit=Unit.MONTHS, family=f), st.integers(1, 6), st.sampled_from(list(Family)[:3])
    ),
    st.builds(lambda n: Period(amount=n, unit=Unit.BUSINESS_DAYS), st.integers(1, 20)),
    st.builds(lambda n: Period(amount=n, unit=Unit.OFFICE_HOURS), st.integers(1, 20)),
    st.builds(lambda n: hours(n, Family.DORA_2025_301, rollover=Rollover(at=time(12))), st.integers(1, 80)),
)
PLACES = st.sampled_from(
    [BERLIN, SHANGHAI, SAIGON, NEW_YORK, TOKYO, ("Australia/Lord_Howe", "AU"), ("Africa/Cairo", "EG")]
)
INSTANTS = st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31)).map(lambda t: t.replace(tzinfo=UTC))  # noqa: DTZ001


@given(PERIODS, PLACES, INSTANTS)
def test_no_end_lies_before_its_start_and_strict_is_never_later(
    period: Period, where: tuple[str, str], start: datetime
) -> None:
    found = counted(period, start.isoformat(), where)
    assert start <= found.strict_due <= found.legal_end
    assert str(found.strict_due.tzinfo) == where[0]
    if period.unit is Unit.HOURS:
        assert found.strict_due - start.astimezone(UTC) == timedelta(hours=period.amount or 0)


@given(PERIODS, PLACES, INSTANTS, st.integers(0, 30 * 24 * 60))
def test_a_later_start_never_ends_earlier(
    period: Period, where: tuple[str, str], start: datetime, minutes: int
) -> None:
    later = start + timedelta(minutes=minutes)
    first, second = counted(period, start.isoformat(), where), counted(period, later.isoformat(), where)
    assert first.strict_due <= second.strict_due
    # Relief until noon is not monotone by nature: an end on Sunday moves to Monday noon, one early on Monday stays.
    if period.rollover is None:
        assert first.legal_end <= second.legal_end


@given(PERIODS, PLACES, INSTANTS, st.sampled_from(["Asia/Shanghai", "America/New_York", "Pacific/Kiritimati"]))
def test_the_offset_in_which_a_start_is_written_does_not_matter(
    period: Period, where: tuple[str, str], start: datetime, zone: str
) -> None:
    elsewhere = start.astimezone(ZoneInfo(zone))
    assert counted(period, start.isoformat(), where) == counted(period, elsewhere.isoformat(), where)


@pytest.fixture(params=["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def machine_zone(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    clock.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    clock.tzset()


@pytest.mark.usefixtures("machine_zone")
def test_the_zone_of_the_machine_does_not_matter() -> None:
    for amount, start, strict, legal in EU_HOURS:
        test_hours_of_union_law(amount, start, strict, legal)
    for amount, unit, start, strict, legal in EU_DAYS:
        test_days_and_months_of_union_law(amount, unit, start, strict, legal)
    for start, due in SEC:
        test_form_8k(start, due)
    for start, due in OFFICE:
        test_office_hours(start, due)
