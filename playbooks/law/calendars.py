"""Working days by country, from the `holidays` library. The arithmetic of periods gets a calendar as an argument."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from functools import lru_cache
from typing import Protocol

import holidays

# Administrative organs that close on days that are no public holiday: (month, day).
_YEARLY_CLOSURES: Mapping[str, frozenset[tuple[int, int]]] = {
    # Act on Holidays of Administrative Organs: 29 December to 3 January.
    "JP": frozenset({(12, 29), (12, 30), (12, 31), (1, 2), (1, 3)}),
}
# Countries that announce make-up working days year by year: without the announcement a year is only a forecast.
_ANNOUNCED_YEARLY = frozenset({"CN", "VN", "TW", "HK"})
_HORIZON = 400


class WorkCalendar(Protocol):
    """The working days of one place."""

    @property
    def place(self) -> str:
        """ISO 3166 code of the place."""

    def is_working_day(self, day: date) -> bool:
        """Whether offices of the place work on that day (make-up working days included)."""

    def is_weekend(self, day: date) -> bool:
        """Whether it is a day on which offices of the place rest every week, whatever that year's exceptions."""

    def is_announced(self, year: int) -> bool:
        """Whether the days off of that year are settled, as opposed to computed ahead of the announcement."""


class Calendars(Protocol):
    """Working-day calendars by place."""

    def of(self, place: str) -> WorkCalendar:
        """The calendar of an ISO 3166-1 or 3166-2 place. Raises `KeyError` where there is none."""


class HolidayCalendar:
    """A calendar of the `holidays` library, with closures and working days of one's own on top."""

    def __init__(
        self, place: str, *, closed: frozenset[date] = frozenset(), worked: frozenset[date] = frozenset()
    ) -> None:
        country, _, subdivision = place.partition("-")
        try:
            self._days = holidays.country_holidays(country, subdiv=subdivision or None)
        except NotImplementedError:
            if not subdivision:
                raise KeyError(place) from None
            self._days = holidays.country_holidays(country)
        self._place = place
        self._closures = _YEARLY_CLOSURES.get(country, frozenset())
        self._closed = closed
        self._worked = worked
        self._yearly = country in _ANNOUNCED_YEARLY

    @property
    def place(self) -> str:
        """ISO 3166 code of the place."""
        return self._place

    def is_working_day(self, day: date) -> bool:
        """Whether offices of the place work on that day."""
        if day in self._worked:
            return True
        if day in self._closed or (day.month, day.day) in self._closures:
            return False
        return bool(self._days.is_working_day(day))

    def is_weekend(self, day: date) -> bool:
        """Whether offices of the place rest on that day of every week."""
        return bool(self._days.weekend and day.weekday() in self._days.weekend)

    def is_announced(self, year: int) -> bool:
        """Whether the yearly announcement of days off and make-up days is part of the data for that year."""
        if not self._yearly:
            return True
        announced = getattr(self._days, "special_public_holidays", {})
        years = [key for key in announced if isinstance(key, int)]
        return year in years or year < max(years, default=year + 1)


class HolidayCalendars:
    """Calendars by place, made when first asked for.

    `closed` and `worked` add local days off and make-up working days by place (yearly input of the operator).
    """

    def __init__(
        self,
        *,
        closed: Mapping[str, frozenset[date]] | None = None,
        worked: Mapping[str, frozenset[date]] | None = None,
    ) -> None:
        self._closed = dict(closed or {})
        self._worked = dict(worked or {})
        self._made: dict[str, WorkCalendar] = {}

    def of(self, place: str) -> WorkCalendar:
        """The calendar of an ISO 3166-1 or 3166-2 place. Raises `KeyError` where the library has none."""
        if place not in self._made:
            self._made[place] = HolidayCalendar(
                place,
                closed=self._closed.get(place, frozenset()),
                worked=self._worked.get(place, frozenset()),
            )
        return self._made[place]


@lru_cache(maxsize=1)
def standard_calendars() -> HolidayCalendars:
    """The library's calendars without local additions."""
    return HolidayCalendars()


def next_working_day(day: date, calendar: WorkCalendar, *, include: bool = True) -> date:
    """The first working day on (with `include`) or after `day`. Raises `ValueError` if none comes within a year."""
    found = day if include else day + timedelta(days=1)
    for _ in range(_HORIZON):
        if calendar.is_working_day(found):
            return found
        found += timedelta(days=1)
    raise ValueError(f"the calendar of {calendar.place} has no working day within a year after {day}")


def add_working_days(day: date, count: int, calendar: WorkCalendar) -> date:
    """The day on which the `count`-th working day after (or, when negative, before) `day` falls; `day` is day 0."""
    step = timedelta(days=1 if count >= 0 else -1)
    found, left, looked = day, abs(count), 0
    while left:
        found += step
        looked += 1
        if looked > _HORIZON * (abs(count) + 1):
            raise ValueError(f"the calendar of {calendar.place} has no working days near {day}")
        left -= calendar.is_working_day(found)
    return found
