"""From facts to duties: `derive(facts, law, calendar)` is pure, and the same input always gives the same duties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from incidents.facts.conditions import Condition, ConditionContext, Outcome, RankRange, Verdict
from incidents.facts.facts import Facts, join
from incidents.facts.organisation import OrganisationProfile
from incidents.facts.vocabulary import vocabulary
from incidents.grading.grade import GradeResult, grade
from incidents.grading.scheme import scheme_named
from playbooks.law.calendars import Calendars
from playbooks.law.delays import DelayRequest
from playbooks.law.duty import Duty, DutyClock, DutyExemption, DutyStatus, Retention, in_order
from playbooks.law.forum import Seat, seat
from playbooks.law.law import Law
from playbooks.law.pack import Clock, Effect, Occasion, Pack, Party, RecipientKind, Rule, Status, compiled
from playbooks.law.pausing import Paused, Running, pause
from playbooks.law.period import Deadline, OfficeHours
from playbooks.law.periods import Counting, count_period
from playbooks.law.reasons import KnownFacts
from playbooks.law.reminders import reminder_after
from playbooks.law.script import Decided, Script, write_duties

_OWN = frozenset({Party.OPERATOR})
_OCCASIONS = frozenset({Occasion.INCIDENT, Occasion.REQUEST})
_BINDING = frozenset({Status.IN_FORCE})
TOLD = "individuals_notified"
"""The clock event that people were told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """Everything the rules are judged against."""

    facts: Facts
    profile: OrganisationProfile | None
    context: ConditionContext
    grades: Mapping[str, GradeResult | str]
    law: Law
    calendar: Calendars
    at: datetime
    submissions: Mapping[str, datetime]
    delays: tuple[DelayRequest, ...]
    office: OfficeHours
    times: Mapping[str, datetime]
    known: KnownFacts
    conditions: dict[str, Verdict] = field(default_factory=dict)

    def judge(self, condition: Condition) -> Verdict:
        """The verdict of a condition; rules of one instrument share many."""
        if condition.text not in self.conditions:
            self.conditions[condition.text] = condition.evaluate(self.context)
        return self.conditions[condition.text]


@dataclass(frozen=True, slots=True)
class _Start:
    """A resolved clock."""

    event: str
    at: datetime | None
    assumed: str | None = None


def derive(
    facts: Facts,
    law: Law,
    calendar: Calendars,
    *,
    at: datetime,
    profile: OrganisationProfile | None = None,
    submissions: Mapping[str, datetime] | None = None,
    grades: Mapping[str, str | GradeResult] | None = None,
    parties: Set[Party] = _OWN,
    delays: Sequence[DelayRequest] = (),
    occasions: Set[Occasion] = _OCCASIONS,
    statuses: Set[Status] = _BINDING,
    office: OfficeHours | None = None,
) -> list[Duty]:
    """Work out every duty that `facts` raise under `law`, possible ones first.

    `at` is the moment of judgement (with offset): it selects the rules in force while a clock is not known. `profile`
    joins the facts of the organisation. `submissions` maps the id of a rule to the (latest) instant its notice or
    filing went out; stages that count from it wait until then. `grades` holds levels decided by a person, by scheme id,
    which go before computed ones. `delays` are requests to wait; those made by `at` pause the duties whose law lets
    them wait. Raises `ValueError` when `at` has no offset.
    """
    if at.utcoffset() is None:
        raise ValueError("`at` needs an offset")
    world = _world(
        join(profile, facts),
        law,
        calendar,
        at=at,
        profile=profile,
        submissions=submissions,
        grades=grades,
        delays=delays,
        office=office,
    )
    duties: list[Duty] = []
    for condition, rules in law.by_bound(frozenset(statuses), frozenset(parties), frozenset(occasions)):
        bound = world.judge(law.condition(condition))
        if not bound.is_false:
            for rule in rules:
                duties.extend(_duties(law.script(rule), bound, world))
    return list(in_order(duties))


def _world(
    facts: Facts,
    law: Law,
    calendar: Calendars,
    *,
    at: datetime,
    profile: OrganisationProfile | None,
    submissions: Mapping[str, datetime] | None,
    grades: Mapping[str, str | GradeResult] | None,
    delays: Sequence[DelayRequest],
    office: OfficeHours | None,
) -> _World:
    plain = ConditionContext(facts)
    results: dict[str, GradeResult | str] = {}
    ranges: dict[str, RankRange] = {}
    decided = {scheme_named(name, law.schemes).id: value for name, value in (grades or {}).items()}
    for scheme in law.schemes.values():
        result = decided.get(scheme.id) or grade(scheme, facts, context=plain)
        results[scheme.key] = result
        if isinstance(result, str):
            rank = scheme.level(result).rank
            ranges[scheme.key] = RankRange(rank, rank)
        else:
            ranges[scheme.key] = result.rank_range(scheme)
    levels = {scheme.key: scheme.ranks() for scheme in law.schemes.values()}
    context = ConditionContext(facts, grades=ranges, levels=levels)
    return _World(
        facts=facts,
        profile=profile,
        context=context,
        known=KnownFacts(context.facts),
        grades=results,
        law=law,
        calendar=calendar,
        at=at,
        submissions=dict(submissions or {}),
        delays=tuple(delays),
        office=office or OfficeHours(),
        times={clock: t for clock, name in vocabulary().clocks.items() if (t := facts.instant(name)) is not None},
    )


def _both(bound: Verdict, trigger: Verdict) -> Outcome:
    if bound.is_false or trigger.is_false:
        return Outcome.FALSE
    return Outcome.TRUE if bound.is_true and trigger.is_true else Outcome.UNKNOWN


def _duties(script: Script, bound: Verdict, world: _World) -> Sequence[Duty]:
    trigger = world.judge(script.trigger)
    applies = _both(bound, trigger)
    if applies is Outcome.FALSE:
        return ()
    rule = script.rule
    where = seat(script.pack.instrument.forum, rule, world.facts, world.profile)
    start = _turn(rule, _start(rule.clock, where, world), world)
    if not script.in_force((start.at or world.at).astimezone(where.zone).date()):
        return ()
    counting = _counting(script.pack, rule, where, world)
    deadline = _deadline(rule, start, counting, world)
    if rule.period.recurrence is not None and _over(rule, deadline, world):
        return ()
    exemptions = tuple(
        [script.exemption(at, world.judge(one) if one else None) for at, one in enumerate(script.conditions)]
    )
    status = _status(applies, start, exemptions)
    reminder = reminder_after(rule, start.at) if deadline is None and start.at is not None else None
    held = Paused(deadline=deadline, reminder=reminder)
    if world.delays and status is DutyStatus.DUE and start.at is not None:
        running = Running(
            start=start.at, deadline=deadline, reminder=reminder, family=rule.period.family, counting=counting
        )
        held = pause(running, script.delays, world.delays, at=world.at)
    decided = Decided(
        status=DutyStatus.PAUSED if held.waits else status,
        bound=bound,
        trigger=trigger,
        where=where,
        clock=DutyClock(
            event=start.event, at=start.at.astimezone(where.zone) if start.at else None, assumed=start.assumed
        ),
        own=deadline,
        held=held,
        kept=_kept(rule, start, counting),
        exemptions=exemptions,
        asked=tuple([item for item, when in script.asked_if if when is None or not world.judge(when).is_false]),
    )
    return write_duties(script, decided, world.known, world.grades)


def _status(applies: Outcome, start: _Start, exemptions: Sequence[DutyExemption]) -> DutyStatus:
    ending = (Effect.NOT_REQUIRED, Effect.REPLACED)
    if any(exemption.holds and exemption.effect in ending for exemption in exemptions):
        return DutyStatus.EXEMPT
    if applies is Outcome.UNKNOWN:
        return DutyStatus.POSSIBLE
    return DutyStatus.DUE if start.at is not None else DutyStatus.WAITING_FOR_CLOCK


def _time_of(event: str, zone: ZoneInfo, world: _World) -> datetime | None:
    if event == "year_end":
        found = next((t for e in ("discovered", "aware") if (t := _time_of(e, zone, world))), None)
        return found and datetime(found.astimezone(zone).year, 12, 31, 23, 59, 59, tzinfo=zone)
    return world.times.get(event)


def _start(clock: Clock, where: Seat, world: _World) -> _Start:
    found: datetime | None = None
    if clock.event is not None:
        found = _time_of(clock.event, where.zone, world)
    elif clock.after:
        sent = [world.submissions[name] for name in clock.after if name in world.submissions]
        found = max(sent, default=None)
    elif clock.end_of is not None:
        found = _end_of(clock.end_of, world)
    if found is not None:
        return _Start(clock.name, found)
    for event in clock.fallbacks:
        if moment := _time_of(event, where.zone, world):
            return _Start(clock.name, moment, event)
    return _Start(clock.name, None)


def _turn(rule: Rule, start: _Start, world: _World) -> _Start:
    """A duty that comes again counts from its own last submission, once there is one."""
    if rule.id not in world.submissions or start.at is None or not _comes_again(rule):
        return start
    return _Start(f"submitted:{rule.id}", world.submissions[rule.id])


def _comes_again(rule: Rule) -> bool:
    return rule.period.recurrence is not None and rule.period.recurrence.amount is not None


def _end_of(name: str, world: _World) -> datetime | None:
    found = world.law.rule(name)
    if found is None:
        return None
    pack, rule = found
    where = seat(pack.instrument.forum, rule, world.facts, world.profile)
    deadline = _deadline(rule, _start(rule.clock, where, world), _counting(pack, rule, where, world), world)
    # The end of a day is written as the next midnight; what counts from it counts from the day that ended.
    return deadline.strict_due.astimezone(UTC) - timedelta(microseconds=1) if deadline is not None else None


def _deadline(rule: Rule, start: _Start, counting: Counting, world: _World) -> Deadline | None:
    begins = start.at
    period, recurrence = rule.period, rule.period.recurrence
    if recurrence is not None and recurrence.amount is not None and rule.id in world.submissions:
        begins = world.submissions[rule.id]
        period = period.model_copy(update={"amount": recurrence.amount, "unit": recurrence.unit})
    return count_period(period, begins, counting) if begins is not None else None


def _counting(pack: Pack, rule: Rule, where: Seat, world: _World) -> Counting:
    relief = True
    if rule.period.rollover is not None and rule.period.rollover.not_for is not None:
        # Relief is only counted on when it certainly applies.
        relief = world.judge(compiled(rule.period.rollover.not_for)).is_false
    return Counting(
        zone=where.zone,
        calendar=world.calendar.of(where.place),
        own_zone=ZoneInfo(world.profile.time_zone) if world.profile is not None else None,
        relief=relief,
        office=world.office,
        events=_events(pack, rule, world),
    )


def _events(pack: Pack, rule: Rule, world: _World) -> Mapping[str, datetime]:
    """Times of clock events for a second limit. That people were told is a fact, or on record as a notice under a rule
    of the same instrument; the earlier counts."""
    if rule.period.cap is None or rule.period.cap.event != TOLD or not world.submissions:
        return world.times
    told = [world.submissions[name] for name in notices_to_people(pack) if name in world.submissions]
    if TOLD in world.times:
        told.append(world.times[TOLD])
    return {**world.times, TOLD: min(told)} if told else world.times


def notices_to_people(pack: Pack) -> tuple[str, ...]:
    """The rules of an instrument under which people are told."""
    return tuple(
        rule.id for rule in pack.rules if any(one.kind is RecipientKind.INDIVIDUALS for one in rule.recipients)
    )


def _kept(rule: Rule, start: _Start, counting: Counting) -> Retention | None:
    """How long a record is kept, for a rule that says so."""
    period = rule.period
    if not period.retention or period.amount is None:
        return None
    end = count_period(period.model_copy(update={"retention": False}), start.at, counting) if start.at else None
    return Retention(amount=period.amount, unit=period.unit.value, until=end.strict_due if end is not None else None)


def _over(rule: Rule, deadline: Deadline | None, world: _World) -> bool:
    """Whether a recurring duty has ended: the event it runs until comes before its next turn."""
    recurrence = rule.period.recurrence
    if recurrence is None or recurrence.until_event is None or deadline is None:
        return False
    ended = world.times.get(recurrence.until_event)
    return ended is not None and ended <= deadline.strict_due
