"""Days and instants in the words of an explanation, English and Chinese."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from playbooks.law.calendars import WorkCalendar
from playbooks.law.period import Step

_EN = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ZH = "一二三四五六日"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MOST_DAYS = 5


def day_en(day: date) -> str:
    """`Sat 28 Feb 2026`."""
    return f"{_EN[day.weekday()]} {day.day} {_MONTHS[day.month - 1]} {day.year}"


def day_zh(day: date) -> str:
    """`2026年2月28日（周六）`."""
    return f"{day.year}年{day.month}月{day.day}日（周{_ZH[day.weekday()]}）"


def _clock(moment: datetime) -> str:
    clock = f"{moment.hour:02}:{moment.minute:02}"
    return f"{clock}:{moment.second:02}" if moment.second else clock


def moment_en(moment: datetime) -> str:
    """`Fri 27 Feb 2026 17:00`, in the zone of `moment`."""
    return f"{day_en(moment)} {_clock(moment)}"


def moment_zh(moment: datetime) -> str:
    """`2026年2月27日（周五）17:00`."""
    return f"{day_zh(moment)}{_clock(moment)}"


def last_day(end: datetime) -> date:
    """The day that a deadline written as 00:00 of the next day ends with, in the zone of `end`."""
    return (end.astimezone(UTC) - timedelta(microseconds=1)).astimezone(end.tzinfo).date()


def end_en(end: datetime, *, ends_with_day: bool) -> str:
    """A deadline: `until the end of Sat 28 Feb 2026`, or `Fri 27 Feb 2026 17:00`."""
    return f"the end of {day_en(last_day(end))}" if ends_with_day else moment_en(end)


def end_zh(end: datetime, *, ends_with_day: bool) -> str:
    """The same in Chinese."""
    return f"{day_zh(last_day(end))}终了" if ends_with_day else moment_zh(end)


def unusual_days(first: date, last: date, calendar: WorkCalendar) -> tuple[Step, ...]:
    """Days after `first` and up to `last` that are not what the week says: worked weekends, holidays."""
    days = [first + timedelta(days=n) for n in range(1, min((last - first).days, 400) + 1)]
    worked = [day for day in days if calendar.is_weekend(day) and calendar.is_working_day(day)]
    off = [day for day in days if not calendar.is_weekend(day) and not calendar.is_working_day(day)]
    steps = []
    if worked:
        are = (
            ("is a make-up working day", "为调休工作日")
            if len(worked) == 1
            else ("are make-up working days", "为调休工作日")
        )
        steps.append(_days(worked, are, calendar.place))
    if off:
        steps.append(_days(off, ("is a day off" if len(off) == 1 else "are days off", "为休息日"), calendar.place))
    return tuple(steps)


def _days(days: list[date], are: tuple[str, str], place: str) -> Step:
    shown = days[:_MOST_DAYS]
    more = len(days) - len(shown)
    en = _and([day_en(day) for day in shown], f"{more} more" if more else "")
    zh = "、".join(day_zh(day) for day in shown) + (f"等 {len(days)} 天" if more else "")
    return Step(en=f"{en} {are[0]} in {place}.", zh=f"{zh}在 {place} {are[1]}。")


def _and(parts: Iterable[str], more: str) -> str:
    every = [*parts, *([more] if more else [])]
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}"
