"""A rule in words: for `tocsin law explain` and the pages under docs/law."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from playbooks.law.delays import DelayTerms
from playbooks.law.pack import Clock, Effect, Pack, Rule, Status
from playbooks.law.period import Family, Period, Unit
from playbooks.law.reasons import VERIFY

_FAMILIES = {
    Family.PLAIN: "",
    Family.EU_1182_71: "counted under Regulation 1182/71",
    Family.UK_1182_71: "counted under Regulation 1182/71 as the United Kingdom reads it",
    Family.DORA_2025_301: "counted under Delegated Regulation 2025/301 art. 5",
    Family.DAY_ONE_JP: "the day of knowledge is day 1",
    Family.NEXT_BUSINESS_DAY: "a last day off may move to the next business day",
    Family.SEC_8K: "US federal business days, until 17:30 New York",
}
_EFFECTS = {
    Effect.NOT_REQUIRED: "not required",
    Effect.DEFERRED: "may wait",
    Effect.REPLACED: "another duty takes its place",
    Effect.EXTENDED: "more time",
}


def _amount(amount: int | None, unit: Unit) -> str:
    word = unit.value.replace("_", " ")
    return f"{amount} {word.removesuffix('s') if amount == 1 else word}"


def period_words(period: Period) -> str:
    """A period as one would say it; empty where there is none."""
    said: list[str] = []
    if period.amount is not None:
        said.append(_amount(period.amount, period.unit))
        if period.retention:
            said.append("as the time a record is kept")
        if period.before is not None:
            said.append("counted backwards from the planned event")
    if period.until is not None:
        day = "the same day" if period.until.day == "same" else "the next working day"
        said.append(f"until {period.until.at} of {day}")
    if period.fixed_date is not None:
        said.append(f"by {period.fixed_date} (month-day)")
    if period.end_of_day_at is not None:
        said.append(f"until {period.end_of_day_at:%H:%M} of the last day")
    if period.cap is not None:
        limit = f"{_amount(period.cap.amount, period.cap.unit)} from " if period.cap.amount is not None else ""
        said.append(f"and no later than {limit}“{period.cap.event}”")
    if period.rollover is not None:
        at = f"{period.rollover.at:%H:%M} of " if period.rollover.at is not None else ""
        unless = " (not for all)" if period.rollover.not_for else ""
        said.append(f"an end on a day off moves to {at}the next working day{unless}")
    if period.recurrence is not None:
        every = period.recurrence
        again = f"every {_amount(every.amount, every.unit)}" if every.amount is not None else every.words or "again"
        said.append(f"{again}{f', until “{every.until_event}”' if every.until_event else ''}")
    if period.yardstick is not None:
        low, high = period.yardstick.amount_min, period.yardstick.amount_max
        figures = " to ".join(str(figure) for figure in dict.fromkeys((low, high)) if figure is not None)
        said.append(f"a regulator expects {figures} {period.yardstick.unit.value.replace('_', ' ')} (not law)")
    if words := _FAMILIES[period.family]:
        said.append(words)
    return "; ".join(said)


def delay_words(terms: DelayTerms) -> str:
    """On whose request a duty may wait, for how long at most, and what holds then."""
    form = "in writing" if terms.form == "written" else "orally or in writing"
    said = [f"at the request of {' or '.join(by.value.replace('_', ' ') for by in terms.by)}, {form}"]
    if terms.written_needs_until:
        said.append("a written one must name the time")
    if terms.oral_most is not None:
        said.append(f"an oral one for {_amount(terms.oral_most.amount, terms.oral_most.unit)} at most")
    if terms.most:
        each = [
            f"{_amount(length.amount, length.unit)}{' in extraordinary circumstances' if length.extraordinary else ''}"
            for length in terms.most
        ]
        since = " counted on from the day on which it was due" if terms.counts_from == "due" else ""
        said.append(f"for {', then '.join(each)} at most{since}")
    if terms.anew is not None:
        said.append(f"{_amount(terms.anew.amount, terms.anew.unit)} remain from the end of the waiting")
    elif terms.afterwards == "at_once":
        said.append("due when the waiting ends")
    else:
        said.append("then its own period goes on")
    if terms.note:
        said.append(f"confidence {terms.confidence or 'as the rule'}: {terms.note}")
    return "; ".join(said)


def clock_words(clock: Clock) -> str:
    """What starts the clock."""
    if clock.after:
        said = f"submission under {' or '.join(clock.after)}"
    elif clock.end_of:
        said = f"the end of the period of {clock.end_of}"
    else:
        said = f"“{clock.event}”"
    if clock.exact:
        said += f": {clock.exact['en']}"
    return f"{said} (else {', '.join(clock.fallbacks)})" if clock.fallbacks else said


def status_words(pack: Pack, rule: Rule | None = None) -> str:
    """Whether it binds, and from when until when."""
    instrument = pack.instrument
    status: Status = (rule.status if rule is not None else None) or instrument.status
    begins: date | None = (rule.in_force_from if rule is not None else None) or instrument.in_force_from
    ends: date | None = (rule.in_force_to if rule is not None else None) or instrument.in_force_to
    said = status.value.replace("_", " ")
    if begins is not None:
        said += f", from {begins}"
    return f"{said} to {ends}" if ends is not None else said


def confidence_words(rule: Rule) -> str:
    """How sure, on what; with a warning when low."""
    said = f"{rule.confidence}{f' ({rule.evidence})' if rule.evidence else ''}"
    return f"{said}: {VERIFY['en']}" if rule.confidence == "low" else said


def both(texts: object) -> str:
    """English, and Chinese after it where there is any."""
    if not isinstance(texts, dict):
        return str(texts)
    return f"{texts['en']} · {texts['zh']}" if texts.get("zh") else str(texts["en"])


def describe(pack: Pack, rule: Rule) -> Iterator[tuple[str, str]]:
    """What a rule says, part by part: (label, text)."""
    yield "status", status_words(pack, rule)
    yield "who", both(rule.who)
    yield "what happened", both(rule.incident)
    yield "bound if", " ".join(rule.bound.split())
    yield "triggered if", " ".join(rule.trigger.split())
    for exemption in rule.exemptions:
        when = f" (if {' '.join(exemption.when.split())})" if exemption.when else " (a person judges)"
        yield "exemption", f"{both(exemption.words)}: {_EFFECTS[exemption.effect]}{when}"
        if exemption.delay is not None:
            yield "may wait", delay_words(exemption.delay)
    for recipient in rule.recipients:
        yield "tell", f"{both(recipient.name)} ({recipient.kind})"
    if rule.recipient_note:
        yield "about the recipient", rule.recipient_note
    yield "stage", rule.stage.value.replace("_", " ")
    yield "clock", clock_words(rule.clock)
    words = [rule.promptness.value.replace("_", " ")] if rule.promptness else []
    yield "by when", "; ".join([*words, *([said] if (said := period_words(rule.period)) else [])]) or "no number"
    if rule.wording:
        yield "wording", both(rule.wording) if rule.wording.get("en") else "; ".join(rule.wording.values())
    for item in rule.contents.items:
        yield (
            f"content ({rule.contents.basis})",
            f"{both(item.text)} [{item.id}]{' (conditional)' if item.when else ''}",
        )
    if rule.channels:
        yield "channels", ", ".join(rule.channels)
    if rule.substitute is not None:
        yield "public notice instead", both(rule.substitute.how)
    if rule.penalties:
        yield "penalties", rule.penalties
    yield from _about(pack, rule)


def _about(pack: Pack, rule: Rule) -> Iterator[tuple[str, str]]:
    """What is said about the rule rather than by it."""
    if rule.party != "operator":
        yield "whose duty", rule.party.value
    yield "confidence", confidence_words(rule)
    if rule.note:
        yield "note", rule.note
    for source in rule.sources or pack.instrument.sources:
        yield "source", source
    if rule.carries:
        yield "carries", ", ".join(rule.carries)
