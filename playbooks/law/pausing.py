"""What requests to wait do to one duty: whether its clock stands still, until when, and where it ends then. Pure.

Both ends keep their meaning. `strict_due` gives nothing: a period that ran out while the duty waited ends with the
waiting. `legal_end` takes the reading that the days of the waiting do not count, where the law does not say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from playbooks.law.delays import DelayAuthority, DelayForm, DelayRequest, DelayTerms, Length
from playbooks.law.duty import DutyDelay
from playbooks.law.period import Deadline, Family, Period, Step, Unit
from playbooks.law.periods import Counting, count_period, end_of_day
from playbooks.law.words import end_en, end_zh, last_day, moment_en, moment_zh

REVIEW = timedelta(days=7)
"""After so long a request without an end is called out once: does it still hold? A choice of this project, not law."""
SILENCE = timedelta(days=120)
"""No waiting goes longer without being called out, so that a mistyped year does not silence a duty for good."""
READY = timedelta(days=3)
"""So long before the waiting ends (but not before four fifths of it) it is called out that it ends."""

_BY = {
    DelayAuthority.LAW_ENFORCEMENT: ("law enforcement", "执法机关"),
    DelayAuthority.US_ATTORNEY_GENERAL: ("the Attorney General of the United States", "美国司法部长"),
    DelayAuthority.REGULATOR: ("the authority that supervises the duty", "主管该义务的机关"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A duty whose clock runs, before any request to wait is looked at."""

    start: datetime
    deadline: Deadline | None
    reminder: datetime | None
    family: Family
    counting: Counting


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """The same duty with the requests. While it waits, it has no deadline; `delay` holds the one to come."""

    deadline: Deadline | None
    reminder: datetime | None
    delay: DutyDelay | None = None
    steps: tuple[Step, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether its clock stands still now."""
        return self.delay is not None and self.delay.running


@dataclass(slots=True)
class _Spans:
    """The times of waiting so far, in order, and the requests and terms behind them."""

    spans: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    counted: list[tuple[DelayRequest, DelayTerms]] = field(default_factory=list)

    def add(self, begins: datetime, ends: datetime | None) -> None:
        if self.spans:
            before, until = self.spans[-1]
            if until is None:
                return
            if begins <= until:
                self.spans[-1] = (before, None if ends is None else max(until, ends))
                return
        self.spans.append((begins, ends))

    def of(self, terms: DelayTerms, form: DelayForm | None = None) -> list[DelayRequest]:
        return [one for one, under in self.counted if under is terms and form in (None, one.form)]


def pause(duty: Running, allowed: Sequence[DelayTerms], requests: Sequence[DelayRequest], *, at: datetime) -> Paused:
    """What the requests known at `at` do to a duty. `allowed` are the terms of its rule (none: it never waits)."""
    spans, steps = _Spans(), list[Step]()
    for request in sorted(requests, key=lambda one: (one.stated_at, one.id)):
        if request.stated_at <= at:
            steps += _take(request, allowed, duty, spans)
    if not spans.spans:
        return Paused(deadline=duty.deadline, reminder=duty.reminder, steps=tuple(steps))
    since, until = spans.spans[-1]
    running = since <= at and (until is None or at < until)
    after = _after(duty, spans)
    last = spans.counted[-1][0]
    delay = DutyDelay(
        requests=tuple(request.id for request, _ in spans.counted),
        by=last.by,
        authority=last.authority,
        form=last.form,
        since=since,
        until=until,
        running=running,
        resumes_due=after.strict_due if after is not None else None,
    )
    steps += _of_ends(duty, spans, after, running=running)
    if not running:
        return Paused(deadline=after, reminder=_reminder_after(duty, until), delay=delay, steps=tuple(steps))
    return Paused(deadline=None, reminder=_called_out(since, until), delay=delay, steps=tuple(steps))


def _take(request: DelayRequest, allowed: Sequence[DelayTerms], duty: Running, spans: _Spans) -> Sequence[Step]:
    """Count a request, or say why it changes nothing."""
    asked = _asked(request, duty.counting.zone)
    terms = next((one for one in allowed if request.by in one.by), None)
    if terms is None:
        by = _BY[request.by]
        return (
            Step(
                en=f"{asked.en} The law does not let this duty wait for {by[0]}: its clock runs on.",
                zh=f"{asked.zh}法律不允许本项义务因{by[1]}的要求暂缓，期限继续计算。",
            ),
        )
    if refused := _refusal(request, terms, duty, spans):
        return (Step(en=f"{asked.en} {refused.en}", zh=f"{asked.zh}{refused.zh}"),)
    begins = max(request.stated_at, duty.start)
    ends, why = _end(request, terms, duty, spans)
    if ends is not None and ends <= begins:
        return (
            Step(
                en=f"{asked.en} It was over before anything could wait, so it changes nothing.",
                zh=f"{asked.zh}该要求在可暂缓之前已结束，不影响期限。",
            ),
        )
    spans.counted.append((request, terms))
    spans.add(begins, ends)
    return (Step(en=f"{asked.en} {why.en}", zh=f"{asked.zh}{why.zh}"),)


def _asked(request: DelayRequest, zone: ZoneInfo) -> Step:
    by, when = _BY[request.by], request.stated_at.astimezone(zone)
    how = ("orally", "口头") if request.form is DelayForm.ORAL else ("in writing", "书面")
    until_en, until_zh = "", ""
    if request.until is not None:
        until = request.until.astimezone(zone)
        until_en, until_zh = f" until {moment_en(until)}", f"至 {moment_zh(until)}"
    return Step(
        en=f"{request.authority} ({by[0]}) asked {how[0]} on {moment_en(when)} to wait{until_en}.",
        zh=f"{request.authority}（{by[1]}）于 {moment_zh(when)}{how[1]}要求暂缓{until_zh}。",
    )


def _refusal(request: DelayRequest, terms: DelayTerms, duty: Running, spans: _Spans) -> Step | None:
    """Why the law does not let this request count."""
    if terms.form == "written" and request.form is DelayForm.ORAL:
        return Step(en="Only a request in writing counts: the clock runs on.", zh="仅书面要求有效，期限继续计算。")
    if terms.written_needs_until and request.form is DelayForm.WRITTEN and request.until is None:
        return Step(
            en="A request in writing counts only with the time it gives: the clock runs on.",
            zh="书面要求须载明暂缓时间方为有效，期限继续计算。",
        )
    number = len(spans.of(terms))
    if terms.most and number >= len(terms.most):
        return Step(
            en=f"The law allows {number} such {'request' if number == 1 else 'requests'} and no more.",
            zh=f"法律最多允许 {number} 次，不再延长。",
        )
    if terms.most and terms.most[number].extraordinary and not request.extraordinary:
        return Step(
            en="A further delay takes extraordinary circumstances, which the request does not claim.",
            zh="再次延长须有特殊情况，该要求未予说明。",
        )
    due = _due_so_far(duty, spans)
    if due is not None and request.stated_at > due:
        return Step(
            en="It came after the period had ended, so it changes nothing.",
            zh="提出时期限已届满，不影响期限。",
        )
    return None


def _due_so_far(duty: Running, spans: _Spans) -> datetime | None:
    if not spans.spans:
        return duty.deadline.strict_due if duty.deadline is not None else None
    if spans.spans[-1][1] is None:
        return None
    after = _after(duty, spans)
    return after.strict_due if after is not None else None


def _end(request: DelayRequest, terms: DelayTerms, duty: Running, spans: _Spans) -> tuple[datetime | None, Step]:
    """When the waiting for a request ends (None: not known), and what ends it."""
    limit = _limit(request, terms, duty, spans)
    ends = [
        (request.until, Step(en="It may wait until then.", zh="可暂缓至该时。")),
        (limit, _of_limit(limit, request, terms, duty)),
        (
            request.ended_at,
            Step(
                en=f"The request ended {_moment_en(request.ended_at, duty)}.",
                zh=f"该要求于 {_moment_zh(request.ended_at, duty)}结束。",
            ),
        ),
    ]
    known = [(end, why) for end, why in ends if end is not None]
    if not known:
        return None, Step(
            en="It may wait until that authority says that nothing stands in the way any more.",
            zh="可暂缓至该机关表明不再有妨碍为止。",
        )
    return min(known, key=lambda one: one[0])


def _limit(request: DelayRequest, terms: DelayTerms, duty: Running, spans: _Spans) -> datetime | None:
    limits = []
    if request.form is DelayForm.ORAL and terms.oral_most is not None:
        first = next(iter(spans.of(terms, DelayForm.ORAL)), request)
        limits.append(_counted(terms.oral_most, first.stated_at, duty))
    if terms.most:
        number = len(spans.of(terms))
        if terms.counts_from == "due" and duty.deadline is not None:
            limits.append(_beyond(terms.most[: number + 1], duty.deadline, duty))
        else:
            limits.append(_counted(terms.most[number], request.stated_at, duty))
    return min(limits, default=None)


def _counted(length: Length, start: datetime, duty: Running) -> datetime:
    found = count_period(Period(amount=length.amount, unit=length.unit), start, duty.counting)
    if found is None:
        raise ValueError("a length has an end")
    return found.strict_due


def _beyond(lengths: Sequence[Length], deadline: Deadline, duty: Running) -> datetime:
    """All lengths one after the other, from the day on which the duty was otherwise due, at its hour of the day."""
    zone = duty.counting.zone
    end = deadline.strict_due.astimezone(zone)
    clock_time = end.timetz() if not deadline.ends_with_day else None
    start = end if clock_time is not None else _on(end)
    for length in lengths:
        start = _on(_counted(length, start, duty)) if length.unit is not Unit.HOURS else _counted(length, start, duty)
    if clock_time is None:
        return end_of_day(start.astimezone(zone).date(), zone)
    return datetime.combine(start.astimezone(zone).date(), clock_time.replace(tzinfo=None), tzinfo=zone)


def _on(end_of_a_day: datetime) -> datetime:
    """An instant on the day that ends with 00:00 of the next."""
    return (end_of_a_day.astimezone(UTC) - timedelta(microseconds=1)).astimezone(end_of_a_day.tzinfo)


def _after(duty: Running, spans: _Spans) -> Deadline | None:
    """Where the duty ends once the waiting is over; None while that is not known, or where the law has no number."""
    until = spans.spans[-1][1]
    own, zone = duty.deadline, duty.counting.zone
    if until is None or own is None:
        return None
    terms = spans.counted[-1][1]
    strict = max(own.strict_due, until).astimezone(zone)
    if terms.anew is not None:
        period = Period(amount=terms.anew.amount, unit=terms.anew.unit, family=duty.family)
        anew = count_period(period, until, duty.counting)
        if anew is None:
            raise ValueError("a length has an end")
        strict = max(strict, anew.strict_due)
        legal = max(own.legal_end, anew.legal_end)
    elif terms.afterwards == "at_once":
        legal = max(own.legal_end, until)
    else:
        legal = _without_the_waiting(own, spans, zone)
    legal = max(legal, strict).astimezone(zone)
    whole = own.ends_with_day and last_day(strict) != strict.date()
    return Deadline(strict_due=strict, legal_end=legal, steps=own.steps, ends_with_day=whole)


def _without_the_waiting(own: Deadline, spans: _Spans, zone: ZoneInfo) -> datetime:
    """The legal end moved by the time of the waiting; a day that was begun counts as a whole one in our favour."""
    waited = sum((ends - begins for begins, ends in spans.spans if ends is not None), timedelta())
    moved = (own.legal_end.astimezone(UTC) + waited).astimezone(zone)
    return end_of_day(last_day(moved), zone) if own.ends_with_day else moved


def _reminder_after(duty: Running, until: datetime | None) -> datetime | None:
    """A reminder that rang meanwhile rings anew, as long after the waiting as it was to ring after the clock."""
    if duty.reminder is None or until is None or duty.reminder > until:
        return duty.reminder
    return until.astimezone(UTC) + (duty.reminder - duty.start)


def _called_out(since: datetime, until: datetime | None) -> datetime:
    if until is None:
        return since.astimezone(UTC) + REVIEW
    return min(until.astimezone(UTC) - min(READY, (until - since) / 5), since.astimezone(UTC) + SILENCE)


def _of_limit(limit: datetime | None, request: DelayRequest, terms: DelayTerms, duty: Running) -> Step:
    if limit is None:
        return Step(en="", zh="")
    end = limit.astimezone(duty.counting.zone)
    whole = last_day(end) != end.date()
    oral = request.form is DelayForm.ORAL and terms.oral_most is not None
    en = "The law lets it wait for an oral request" if oral else "The law lets it wait"
    zh = "法律允许因口头要求" if oral else "法律允许"
    return Step(
        en=f"{en} until {end_en(end, ends_with_day=whole)} at most.",
        zh=f"{zh}最长暂缓至 {end_zh(end, ends_with_day=whole)}。",
    )


def _of_ends(duty: Running, spans: _Spans, after: Deadline | None, *, running: bool) -> Sequence[Step]:
    """Whether the clock stands still, and what holds then."""
    begins, until = spans.spans[-1]
    since = (_moment_en(begins, duty), _moment_zh(begins, duty))
    if until is None:
        return (
            Step(
                en=f"The clock has been paused since {since[0]}; it runs on when the request ends.",
                zh=f"自 {since[1]}起暂停计算，该要求结束后继续计算。",
            ),
        )
    to = (_moment_en(until, duty), _moment_zh(until, duty))
    first = Step(
        en=f"The clock {'is' if running else 'was'} paused from {since[0]} to {to[0]}.",
        zh=f"{'' if running else '已'}自 {since[1]}至 {to[1]}暂停计算。",
    )
    return (first, _of_afterwards(duty, spans.counted[-1][1], after, until))


def _of_afterwards(duty: Running, terms: DelayTerms, after: Deadline | None, until: datetime) -> Step:
    if after is None or duty.deadline is None:
        return Step(
            en="The law gives no number for the time after it: tell as soon as it ends.",
            zh="法律未规定其后的具体时限，结束后应立即告知。",
        )
    if terms.anew is not None:
        length = f"{terms.anew.amount} {terms.anew.unit.replace('_', ' ')}"
        return Step(
            en=f"The law gives {length} from its end.",
            zh=f"法律规定自结束时起 {terms.anew.amount} {_UNITS_ZH[terms.anew.unit]}。",
        )
    if duty.deadline.strict_due > until:
        en, zh = "Its own period ends later and stands", "其自身期限在后，不变"
    else:
        en = "Its own period ended meanwhile, so it is due as the waiting ends"
        zh = "其自身期限已在暂停期间届满，暂停结束即到期"
    if terms.afterwards == "resume" and after.legal_end > after.strict_due:
        en += "; that the days of the waiting do not count is arguable, and gives the legal end"
        zh += "；暂停期间不计入期限的解释存在争议，据此得出法定最迟时间"
    return Step(en=f"{en}.", zh=f"{zh}。")


_UNITS_ZH: Mapping[Unit, str] = {
    Unit.HOURS: "小时",
    Unit.CALENDAR_DAYS: "日",
    Unit.BUSINESS_DAYS: "个工作日",
    Unit.MONTHS: "个月",
}


def _moment_en(moment: datetime | None, duty: Running) -> str:
    return moment_en(moment.astimezone(duty.counting.zone)) if moment is not None else ""


def _moment_zh(moment: datetime | None, duty: Running) -> str:
    return moment_zh(moment.astimezone(duty.counting.zone)) if moment is not None else ""
