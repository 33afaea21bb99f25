"""One period alone: from a start to both ends of one rule, with every step in words. `tocsin period` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from incidents.errors import InvalidInput, NotFound
from incidents.facts.facts import Facts
from incidents.facts.vocabulary import did_you_mean, vocabulary
from playbooks.law import reasons
from playbooks.law.calendars import Calendars
from playbooks.law.duty import DutyClock, Reason
from playbooks.law.forum import Seat, seat
from playbooks.law.law import Law
from playbooks.law.pack import Pack, Promptness, Rule
from playbooks.law.pausing import Paused
from playbooks.law.periods import Counting, count_period
from playbooks.law.reminders import reminder_after


class PeriodAnswer(BaseModel):
    """Both ends of a period. Instants are in `time_zone`; an end of a day is written as 00:00 of the next."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    instrument: str
    article: str
    clock: str
    start: datetime
    strict_due: datetime | None
    legal_end: datetime | None
    ends_with_day: bool
    reminder_at: datetime | None
    promptness: Promptness | None
    time_zone: str
    calendar: str
    confidence: str
    why: tuple[Reason, ...]


def named_rule(law: Law, name: str) -> tuple[Pack, Rule]:
    """The rule of that id with its pack. Raises `NotFound` with a suggestion."""
    found = law.rule(name)
    if found is None:
        known = tuple(rule.id for _, rule in law.rules())
        raise NotFound(f"There is no rule “{name}”.{did_you_mean(name, known)}", field="rule")
    return found


def count_alone(
    law: Law,
    name: str,
    start: datetime,
    calendars: Calendars,
    *,
    country: str | None = None,
    zone: ZoneInfo | None = None,
    events: Mapping[str, datetime] | None = None,
) -> PeriodAnswer:
    """Count the period of one rule from `start` (with offset).

    `country` seats the authority where a rule has a region; `zone` goes before the seat's zone. `events` are times of
    other clock events, for second limits. Raises `NotFound` for a rule and `InvalidInput` for an event that is none,
    and `ValueError` for a start without offset.
    """
    pack, rule = named_rule(law, name)
    for event in events or {}:
        if event not in vocabulary().clocks:
            raise InvalidInput(
                f"There is no clock event “{event}”.{did_you_mean(event, tuple(vocabulary().clocks))}", field="event"
            )
    facts = Facts.parse({"main_establishment": country} if country else {})
    where = seat(pack.instrument.forum, rule, facts, None)
    if zone is not None:
        where = Seat(zone, where.place, "given")
    counting = Counting(
        zone=where.zone,
        calendar=calendars.of(where.place),
        relief=rule.period.rollover is None or rule.period.rollover.not_for is None,
        events=dict(events or {}),
    )
    deadline = count_period(rule.period, start, counting)
    reminder = reminder_after(rule, start) if deadline is None else None
    clock = DutyClock(event=rule.clock.name, at=start.astimezone(where.zone))
    return PeriodAnswer(
        rule=rule.id,
        instrument=pack.instrument.name,
        article=rule.article,
        clock=rule.clock.name,
        start=start.astimezone(where.zone),
        strict_due=deadline.strict_due if deadline else None,
        legal_end=deadline.legal_end if deadline else None,
        ends_with_day=deadline.ends_with_day if deadline else False,
        reminder_at=reminder.astimezone(where.zone) if reminder else None,
        promptness=rule.promptness,
        time_zone=where.zone.key,
        calendar=where.place,
        confidence=rule.confidence,
        why=(
            *reasons.of_rule(pack, rule),
            *reasons.of_clock(rule, clock, where),
            *reasons.of_deadline(rule, deadline, Paused(deadline=deadline, reminder=reminder), where),
            *reasons.of_pack(pack, rule),
        ),
    )
