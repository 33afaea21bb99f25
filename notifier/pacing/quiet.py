"""Hours in which people are not disturbed, by the clock where they are.

A telephone number says a country, not a place in it. Where a country has several zones the strictest counts: it is
quiet while it is quiet in any of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

SPARE = timedelta(hours=1)
"""Kept free before a deadline where nobody knows yet how long the rest will take."""
_LONGEST = timedelta(days=2)
"""If it is quiet somewhere in a country for so long, no hour suits everybody there, and none is waited for."""


@dataclass(frozen=True, slots=True)
class Hours:
    """From one time of the day to another, over midnight where the end is before the beginning."""

    start: time
    end: time

    def until(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """When the quiet hours end in which this instant lies there; None when it lies in none."""
        local = now.astimezone(zone)
        clock = local.time().replace(fold=0)
        over_midnight = self.end < self.start
        begun, ended = clock >= self.start, clock >= self.end
        if not ((begun or not ended) if over_midnight else (begun and not ended)):
            return None
        day = local.date() if clock < self.end else local.date() + timedelta(days=1)
        return datetime.combine(day, self.end, zone).astimezone(now.tzinfo)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """By channel. `home` is the zone for people whose country nobody said."""

    by_channel: Mapping[str, Hours] = field(default_factory=dict)
    home: str = "UTC"

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that have quiet hours."""
        return tuple(sorted(self.by_channel))

    def until(self, channel: str, country: str, now: datetime) -> datetime | None:
        """When people in a country may be disturbed by this channel again; None: now."""
        hours = self.by_channel.get(channel)
        return None if hours is None else _until(hours, zones_of(country) or (self.home,), now)

    def wait(
        self,
        channel: str,
        country: str,
        now: datetime,
        *,
        deadline: datetime | None,
        needed: timedelta | None,
    ) -> datetime | None:
        """Until when to wait with people of a country; None: do not, for it is not quiet there, or because what is left
        (`needed`) could not be done any more before the deadline."""
        until = self.until(channel, country, now)
        if until is None or deadline is None:
            return until
        spare = SPARE if needed is None else needed + needed / 10
        return until if until + spare < deadline else None


def _until(hours: Hours, zones: tuple[str, ...], now: datetime) -> datetime | None:
    at = now
    while ends := [end for zone in zones if (end := hours.until(at, _zone(zone))) is not None]:
        at = max(ends)
        if at - now > _LONGEST:
            return None
    return at if at > now else None


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@cache
def _by_country() -> dict[str, tuple[str, ...]]:
    """Zones by country, from the table that the time zone database comes with."""
    zones: defaultdict[str, list[str]] = defaultdict(list)
    for line in (files("tzdata") / "zoneinfo" / "zone.tab").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            country, _, zone, *_ = line.split("\t")
            zones[country].append(zone)
    return {country: tuple(names) for country, names in zones.items()}


def zones_of(country: str) -> tuple[str, ...]:
    """The time zones of a country (ISO 3166-1 alpha-2); none for one that nobody knows."""
    return _by_country().get(country, ())
