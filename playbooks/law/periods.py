"""Counting legal periods: from a start to `strict_due` and `legal_end`. Pure; docs/law.md tells the rules in words.

`strict_due` gives the entity nothing: hours are start + N elapsed hours, days are local date + N without any shift.
Alarms use it. `legal_end` is the last moment under the rule's own family, and never earlier. A period of days or months
ends at the end of a local day, which is written as 00:00 of the next day.
"""

from __future__ import annotations

import calendar as months
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from playbooks.law.calendars import WorkCalendar, add_working_days, next_working_day
from playbooks.law.fact_words import clock_zh
from playbooks.law.period import MIDNIGHT_END, Cap, Deadline, Family, OfficeHours, Period, Rollover, Step, Unit, Until
from playbooks.law.words import day_en, day_zh, end_en, end_zh, last_day, moment_en, moment_zh, unusual_days

_READ_WITH_1182 = (Family.EU_1182_71, Family.UK_1182_71)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """Where and with what a period is counted. `own_zone` is the entity's zone, where a rule compares the two."""

    zone: ZoneInfo
    calendar: WorkCalendar
    own_zone: ZoneInfo | None = None
    relief: bool = True
    """Whether a rollover applies to this entity."""
    office: OfficeHours = field(default_factory=OfficeHours)
    events: Mapping[str, datetime] = field(default_factory=dict)


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    """24:00 of a local day, as 00:00 of the next (the first instant of that day where the zone skips midnight)."""
    return _at(day + timedelta(days=1), time(0), zone)


def _at(day: date, moment: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, moment, tzinfo=zone).astimezone(UTC).astimezone(zone)


def _elapsed(start: datetime, length: timedelta, zone: ZoneInfo) -> datetime:
    return (start.astimezone(UTC) + length).astimezone(zone)


def _start_of_hour(moment: datetime) -> datetime:
    """The full hour of local clock time that contains `moment`, by subtraction so that clock changes do no harm."""
    past = timedelta(minutes=moment.minute, seconds=moment.second, microseconds=moment.microsecond)
    return (moment.astimezone(UTC) - past).astimezone(moment.tzinfo)


def add_months(day: date, count: int) -> date:
    """The same date `count` months on, or the last day of that month where it has no such date."""
    year, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    return date(year, month + 1, min(day.day, months.monthrange(year, month + 1)[1]))


def count_period(period: Period, start: datetime, counting: Counting) -> Deadline | None:
    """Count `period` from `start` (an instant with offset).

    Returns None for a period without an end (unit none, or a retention time). Raises `ValueError` for a start without
    an offset.
    """
    if start.utcoffset() is None:
        raise ValueError("a period starts at an instant with an offset")
    if not period.has_end:
        return None
    found = _counted(period, start, counting)
    if period.cap is not None:
        found = _capped(period, period.cap, found, start, counting)
    if found is None:
        return None
    if period.rollover is not None:
        found = _rolled(period.rollover, found, counting)
    legal_end = max(found.legal_end, found.strict_due)
    steps = [*found.steps, *_forecast(period, found, counting)]
    return found.model_copy(update={"legal_end": legal_end, "steps": tuple(steps)})


def _forecast(period: Period, found: Deadline, counting: Counting) -> Sequence[Step]:
    year = found.legal_end.year
    uses_calendar = period.unit in (Unit.BUSINESS_DAYS, Unit.OFFICE_HOURS) or found.legal_end != found.strict_due
    if not uses_calendar or counting.calendar.is_announced(year):
        return ()
    place = counting.calendar.place
    return (
        Step(
            en=f"The days off of {year} in {place} are not announced yet; check again when they are.",
            zh=f"{place} {year} 年放假安排尚未公布，公布后请复核。",
        ),
    )


def _counted(period: Period, start: datetime, counting: Counting) -> Deadline | None:
    local = start.astimezone(counting.zone)
    if period.before is not None:
        return _backwards(period, local, counting)
    if period.until is not None:
        return _until(period.until, local, counting)
    if period.fixed_date is not None:
        return _fixed(period.fixed_date, local, counting, days_before=int(period.before_fixed_date))
    amount, unit = period.amount, period.unit
    if amount is None and period.recurrence is not None:
        amount, unit = period.recurrence.amount, period.recurrence.unit
    return None if amount is None else _amount(amount, unit, period, start, counting)


def _amount(amount: int, unit: Unit, period: Period, start: datetime, counting: Counting) -> Deadline:
    local = start.astimezone(counting.zone)
    match unit:
        case Unit.MINUTES:
            return _short(amount, timedelta(minutes=amount), local, ("minutes", "分钟"))
        case Unit.HOURS:
            return _hours(amount, period.family, local)
        case Unit.OFFICE_HOURS:
            return _office_hours(amount, local, counting)
        case Unit.BUSINESS_DAYS:
            return _business_days(amount, period, start, counting)
        case _:
            return _days(amount, unit, period.family, local, counting)


def _short(amount: int, length: timedelta, start: datetime, unit: tuple[str, str]) -> Deadline:
    zone = _zone(start)
    due = _elapsed(start, length, zone)
    step = Step(
        en=f"{moment_en(start)} + {_amount_en(amount, unit[0])} of elapsed time = {moment_en(due)}.",
        zh=f"{moment_zh(start)}起连续计算 {amount} {unit[1]}，至 {moment_zh(due)}。",
    )
    return Deadline(strict_due=due, legal_end=due, steps=(step, *_clock_change(start, due)))


def _amount_en(amount: int, unit: str) -> str:
    return f"{amount} {unit if amount != 1 else unit.removesuffix('s')}"


def _clock_change(start: datetime, due: datetime) -> Sequence[Step]:
    before, after = start.utcoffset(), due.utcoffset()
    if before == after or before is None or after is None:
        return ()
    way = ("forward", "拨快") if after > before else ("back", "拨慢")
    return (
        Step(
            en=f"Clocks go {way[0]} in between; every hour that passes counts.",
            zh=f"其间时钟{way[1]}，按实际经过的时间计算。",
        ),
    )


def _zone(moment: datetime) -> ZoneInfo:
    if not isinstance(moment.tzinfo, ZoneInfo):
        raise TypeError("expected an instant in a named zone")
    return moment.tzinfo


def _hours(amount: int, family: Family, start: datetime) -> Deadline:
    plain = _short(amount, timedelta(hours=amount), start, ("hours", "小时"))
    if family not in _READ_WITH_1182:
        return plain
    legal = _elapsed(_start_of_hour(start), timedelta(hours=amount + 1), _zone(start))
    step = Step(
        en=f"The hour of the event does not count; the last one ends on the full hour, {moment_en(legal)} "
        "(Regulation 1182/71 art. 3(1)).",
        zh=f"事件发生的当小时不计入，期限于整点 {moment_zh(legal)}届满（第 1182/71 号条例第 3 条第 1 款）。",
    )
    return Deadline(strict_due=plain.strict_due, legal_end=legal, steps=(*plain.steps, step))


def _days(amount: int, unit: Unit, family: Family, start: datetime, counting: Counting) -> Deadline:
    first, zone, work = start.date(), counting.zone, counting.calendar
    match unit:
        case Unit.WEEKS:
            last, words = first + timedelta(weeks=amount), ("weeks", "周")
        case Unit.MONTHS:
            last, words = add_months(first, amount), ("months", "个月")
        case Unit.YEARS:
            last, words = add_months(first, 12 * amount), ("years", "年")
        case _:
            last, words = first + timedelta(days=amount), ("calendar days", "日")
    steps = [
        Step(
            en=f"{day_en(first)} (day 0) + {_amount_en(amount, words[0])}: ends with {day_en(last)}.",
            zh=f"自 {day_zh(first)}（当日不计）起 {amount} {words[1]}，至 {day_zh(last)}终了。",
        )
    ]
    if family is Family.DAY_ONE_JP and unit is Unit.CALENDAR_DAYS and amount > 0:
        last = first + timedelta(days=amount - 1)
        steps = [
            Step(
                en=f"{day_en(first)} (day 1), {_amount_en(amount, 'calendar days')}: ends with {day_en(last)}.",
                zh=f"自 {day_zh(first)}（当日为第 1 日）起 {amount} 日，至 {day_zh(last)}终了。",
            )
        ]
    legal = last
    if family in _READ_WITH_1182 and unit is Unit.CALENDAR_DAYS and amount >= 2:
        legal = _two_working_days(first, last, work)
        if legal != last:
            steps.append(
                Step(
                    en=f"Two days or more hold at least two working days, so it runs to {day_en(legal)} (art. 3(5)).",
                    zh=f"两日以上的期限至少含两个工作日，顺延至 {day_zh(legal)}（第 3 条第 5 款）。",
                )
            )
    if family in (*_READ_WITH_1182, Family.DAY_ONE_JP, Family.NEXT_BUSINESS_DAY):
        moved = next_working_day(legal, work)
        if moved != legal:
            steps.append(
                Step(
                    en=f"{day_en(legal)} is a day off in {work.place}; the period ends with {day_en(moved)}.",
                    zh=f"{day_zh(legal)}在 {work.place} 为非工作日，期限顺延至 {day_zh(moved)}。",
                )
            )
        legal = moved
    return Deadline(
        strict_due=end_of_day(last, zone), legal_end=end_of_day(legal, zone), steps=tuple(steps), ends_with_day=True
    )


def _two_working_days(first: date, last: date, work: WorkCalendar) -> date:
    within = sum(work.is_working_day(first + timedelta(days=n)) for n in range(1, (last - first).days + 1))
    return add_working_days(last, max(0, 2 - within), work)


def _business_days(amount: int, period: Period, start: datetime, counting: Counting) -> Deadline:
    zone = counting.zone
    first = start.astimezone(zone).date()
    closing = period.end_of_day_at
    if period.family is Family.SEC_8K:
        # General Instruction B.1: with different dates in the registrant's zone and New York, the earlier one counts.
        own = start.astimezone(counting.own_zone) if counting.own_zone is not None else start
        first = min(first, own.date())
        closing = closing or time(17, 30)
    last = add_working_days(first, amount, counting.calendar)
    end = end_of_day(last, zone) if closing is None else _at(last, closing, zone)
    place = counting.calendar.place
    shown = moment_en(start.astimezone(zone)) if start.astimezone(zone).date() == first else day_en(first)
    whole = closing is None
    until = (day_en(last), f"{day_zh(last)}终了") if whole else (moment_en(end), moment_zh(end))
    step = Step(
        en=f"{shown} (day 0) + {_amount_en(amount, 'working days')} of {place}: ends with {until[0]}.",
        zh=f"自 {day_zh(first)}（当日不计）起 {amount} 个工作日（{place}），至 {until[1]}。",
    )
    steps = (step, *unusual_days(first, last, counting.calendar))
    return Deadline(strict_due=end, legal_end=end, steps=steps, ends_with_day=whole)


def _office_hours(amount: int, start: datetime, counting: Counting) -> Deadline:
    zone, left = counting.zone, timedelta(hours=amount)
    at, day = start.astimezone(UTC), start.date()
    while True:
        if counting.calendar.is_working_day(day):
            for opens, closes in counting.office.periods:
                begin = max(at, _at(day, opens, zone).astimezone(UTC))
                room = _at(day, closes, zone).astimezone(UTC) - begin
                if timedelta(0) < room:
                    if left <= room:
                        end = (begin + left).astimezone(zone)
                        place = counting.calendar.place
                        step = Step(
                            en=f"{moment_en(start)} + {_amount_en(amount, 'office hours')} of {place}: "
                            f"until {moment_en(end)}.",
                            zh=f"自 {moment_zh(start)}起 {place} {amount} 个办公小时，至 {moment_zh(end)}。",
                        )
                        steps = (step, *unusual_days(start.date(), end.date(), counting.calendar))
                        return Deadline(strict_due=end, legal_end=end, steps=steps)
                    left -= room
        day = next_working_day(day, counting.calendar, include=False)


def _until(until: Until, start: datetime, counting: Counting) -> Deadline:
    day = start.date()
    if until.day == "next_working_day":
        day = next_working_day(day, counting.calendar, include=False)
    zone = counting.zone
    end = end_of_day(day, zone) if until.at == MIDNIGHT_END else _at(day, time.fromisoformat(until.at), zone)
    end = max(end, start)
    which = ("the same day", "当日") if until.day == "same" else ("the next working day", "下一工作日")
    step = Step(
        en=f"{moment_en(start)}, until {until.at} of {which[0]}, {day_en(day)}.",
        zh=f"自 {moment_zh(start)}起，至{which[1]} {day_zh(day)} {until.at} 止。",
    )
    return Deadline(
        strict_due=end,
        legal_end=end,
        steps=(step, *unusual_days(start.date(), day, counting.calendar)),
        ends_with_day=until.at == MIDNIGHT_END,
    )


def _fixed(month_day: str, start: datetime, counting: Counting, *, days_before: int = 0) -> Deadline:
    month, day = map(int, month_day.split("-"))
    first = start.date()
    last = next(
        found
        for year in (first.year, first.year + 1, first.year + 2)
        if (found := _day_of(year, month, day) - timedelta(days=days_before)) >= first
    )
    end = end_of_day(last, counting.zone)
    step = Step(en=f"By the end of {day_en(last)}.", zh=f"{day_zh(last)}终了前。")
    return Deadline(strict_due=end, legal_end=end, steps=(step,), ends_with_day=True)


def _day_of(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, months.monthrange(year, month)[1]))


def _backwards(period: Period, event: datetime, counting: Counting) -> Deadline:
    zone, amount = counting.zone, period.amount or 0
    match period.unit:
        case Unit.MINUTES:
            due = _elapsed(event, -timedelta(minutes=amount), zone)
        case Unit.HOURS:
            due = _elapsed(event, -timedelta(hours=amount), zone)
        case Unit.BUSINESS_DAYS:
            due = end_of_day(add_working_days(event.date(), -amount, counting.calendar), zone)
        case Unit.CALENDAR_DAYS | Unit.WEEKS:
            days = amount * (7 if period.unit is Unit.WEEKS else 1)
            due = end_of_day(event.date() - timedelta(days=days), zone)
        case Unit.MONTHS | Unit.YEARS:
            due = end_of_day(add_months(event.date(), -amount * (12 if period.unit is Unit.YEARS else 1)), zone)
        case _:
            due = event
    step = Step(
        en=f"Counted back from {moment_en(event)}: {amount} {period.unit.replace('_', ' ')}.",
        zh=f"自 {moment_zh(event)}倒计 {amount} {_UNITS_ZH.get(period.unit, period.unit)}。",
    )
    by_day = period.unit not in (Unit.MINUTES, Unit.HOURS, Unit.NONE, Unit.OFFICE_HOURS)
    return Deadline(strict_due=due, legal_end=due, steps=(step,), ends_with_day=by_day)


_UNITS_ZH: Mapping[Unit, str] = {
    Unit.MINUTES: "分钟",
    Unit.HOURS: "小时",
    Unit.CALENDAR_DAYS: "日",
    Unit.BUSINESS_DAYS: "个工作日",
    Unit.OFFICE_HOURS: "个办公小时",
    Unit.WEEKS: "周",
    Unit.MONTHS: "个月",
    Unit.YEARS: "年",
}


def _capped(period: Period, cap: Cap, found: Deadline | None, start: datetime, counting: Counting) -> Deadline | None:
    event = counting.events.get(cap.event)
    if event is None:
        step = Step(
            en=f"A second limit counts from “{cap.event}”, which is not known yet.",
            zh=f"另有一项自“{clock_zh(cap.event)}”起算的上限，该时间尚不明确。",
        )
        return found.model_copy(update={"steps": (*found.steps, step)}) if found else None
    limit = _limit(period, cap, event, counting)
    if cap.dropped_if_start_after and start > limit.strict_due:
        step = Step(
            en=f"The limit of {cap.amount} {cap.unit} from “{cap.event}” ended before the start, so it does not apply.",
            zh=f"自“{clock_zh(cap.event)}”起 {cap.amount} {_UNITS_ZH.get(cap.unit, cap.unit)}的上限在起算前已届满，"
            "故不适用。",
        )
        return found.model_copy(update={"steps": (*found.steps, step)}) if found else None
    if found is not None and found.strict_due <= limit.strict_due and found.legal_end <= limit.legal_end:
        return found
    step = Step(
        en=f"The earlier limit binds: {moment_en(limit.strict_due)}, counted from “{cap.event}”.",
        zh=f"以较早者为准：自“{clock_zh(cap.event)}”起算，至 {moment_zh(limit.strict_due)}。",
    )
    if found is None:
        return limit.model_copy(update={"steps": (*limit.steps, step)})
    return Deadline(
        strict_due=min(found.strict_due, limit.strict_due),
        legal_end=min(found.legal_end, limit.legal_end),
        steps=(*found.steps, step),
        ends_with_day=limit.ends_with_day,
    )


def _limit(period: Period, cap: Cap, event: datetime, counting: Counting) -> Deadline:
    if cap.amount is None:
        at = event.astimezone(counting.zone)
        return Deadline(strict_due=at, legal_end=at)
    counted = _counted(Period(amount=cap.amount, unit=cap.unit, family=period.family), event, counting)
    if counted is None:
        raise ValueError("a cap has an amount or is the event itself")
    return counted


def _rolled(rollover: Rollover, found: Deadline, counting: Counting) -> Deadline:
    # A day that ends at 24:00 is written as the next day 00:00; look at the day itself.
    last = last_day(found.strict_due.astimezone(counting.zone))
    if not counting.relief or counting.calendar.is_working_day(last):
        return found
    day = next_working_day(last, counting.calendar)
    end = end_of_day(day, counting.zone) if rollover.at is None else _at(day, rollover.at, counting.zone)
    whole = rollover.at is None
    until = (end_en(end, ends_with_day=whole), end_zh(end, ends_with_day=whole))
    step = Step(
        en=f"{day_en(last)} is a day off in {counting.calendar.place}; it may be done until {until[0]}.",
        zh=f"{day_zh(last)}在 {counting.calendar.place} 为非工作日，可顺延至{until[1]}。",
    )
    return Deadline(
        strict_due=found.strict_due,
        legal_end=end,
        steps=(*found.steps, step),
        ends_with_day=found.ends_with_day and rollover.at is None,
    )
