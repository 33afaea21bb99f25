"""Checks of law packs beyond their schema: sources, dates, cases for every rule, and the cases themselves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from incidents.errors import FieldFault, InvalidInput
from incidents.facts.conditions import ConditionContext
from incidents.facts.facts import Facts
from incidents.grading.grade import grade
from playbooks.law.calendars import Calendars, standard_calendars
from playbooks.law.derive import derive
from playbooks.law.duty import Duty
from playbooks.law.law import Law, assemble
from playbooks.law.pack import Case, Expected, Occasion, Pack, Party, Rule, Status


def lint(law: Law, calendar: Calendars | None = None) -> list[FieldFault]:
    """Every fault of every pack: where (`file:line: rule or case`) and what. Empty when all is well."""
    work = calendar or standard_calendars()
    return [fault for pack in law.packs for fault in _pack_faults(pack, law, work)]


def _pack_faults(pack: Pack, law: Law, calendar: Calendars) -> Iterator[FieldFault]:
    if not pack.instrument.sources:
        yield FieldFault(
            f"{pack.place('instrument')}: {pack.instrument.id}", "An instrument needs at least one source."
        )
    nothing_known = _context_without_facts(law)
    for at, rule in enumerate(pack.rules):
        for reason in (*_rule_faults(pack, rule, calendar), *_reach_faults(rule, nothing_known)):
            yield FieldFault(f"{pack.place('rules', at)}: {rule.id}", reason)
    alone = assemble([pack], law.schemes)
    for at, case in enumerate(pack.cases):
        for reason in run_case(case, alone, calendar):
            yield FieldFault(f"{pack.place('cases', at)}: case {case.id}", reason)


def _context_without_facts(law: Law) -> ConditionContext:
    nothing = Facts()
    grades = {scheme.key: grade(scheme, nothing).rank_range(scheme) for scheme in law.schemes.values()}
    return ConditionContext(
        nothing, grades=grades, levels={scheme.key: scheme.ranks() for scheme in law.schemes.values()}
    )


def _reach_faults(rule: Rule, nothing_known: ConditionContext) -> Iterator[str]:
    """While nothing is known a rule must be open: neither out of reach nor a duty of everybody."""
    bound, trigger = rule.bound_condition, rule.trigger_condition
    found = [condition.evaluate(nothing_known) for condition in (bound, trigger)]
    if any(verdict.is_false for verdict in found):
        yield "It can never be a duty: with nothing known, bound or trigger is already false."
    elif all(verdict.is_true for verdict in found) and rule.occasion is not Occasion.STANDING:
        yield "It is a duty of everybody at any time: with nothing known, bound and trigger are already true."
    elif not any((*bound.facts, *trigger.facts, *bound.schemes, *trigger.schemes)):
        yield "Neither bound nor trigger asks about a fact."


def _rule_faults(pack: Pack, rule: Rule, calendar: Calendars) -> Iterator[str]:
    instrument = pack.instrument
    begins, ends = rule.in_force_from or instrument.in_force_from, rule.in_force_to or instrument.in_force_to
    if begins and instrument.in_force_from and begins < instrument.in_force_from:
        yield "in_force_from lies before that of its instrument."
    if begins and ends and ends < begins:
        yield "in_force_to lies before in_force_from."
    status = rule.status or instrument.status
    if status is Status.IN_FORCE and begins is None and not (rule.note or instrument.note):
        yield "A rule in force needs in_force_from, or a note that says why it is not recorded."
    if rule.confidence == "low" and not rule.note:
        yield "Low confidence needs a note that says why."
    try:
        calendar.of(instrument.forum.calendar)
    except KeyError:
        yield f"There is no calendar for {instrument.forum.calendar}."
    expected = [case.expect[rule.id].status for case in pack.cases if rule.id in case.expect]
    if not any(status in ("due", "waiting_for_clock") for status in expected):
        yield "No case triggers this rule."
    if any(exemption.delay is not None for exemption in rule.exemptions) and "paused" not in expected:
        yield "No case makes this rule wait, as its terms of delay let it."
    # What has no trigger short of its chain or status can hardly be missed by a case.
    if not any(status in ("none", "exempt", "possible") for status in expected):
        yield "No case just fails to trigger this rule."


def run_case(case: Case, law: Law, calendar: Calendars) -> list[str]:
    """What a case expected of the rules of `law` and did not get, in sentences."""
    try:
        facts = Facts.parse(case.facts)
    except InvalidInput as fault:
        return [fault.detail]
    duties = derive(
        facts,
        law,
        calendar,
        at=datetime.fromisoformat(case.at),
        submissions={name: datetime.fromisoformat(text) for name, text in case.submissions.items()},
        delays=case.delays,
        parties=frozenset(Party),
        occasions=frozenset(Occasion),
        statuses=frozenset(Status),
    )
    problems: list[str] = []
    for name, expected in case.expect.items():
        found = [duty for duty in duties if duty.rule == name]
        problems += [f"{name}: {problem}" for problem in _differences(expected, found)]
    return problems


def _differences(expected: Expected, found: list[Duty]) -> Iterator[str]:
    if expected.status == "none":
        if found:
            yield f"expected no duty, got {found[0].status}"
        return
    if not found:
        yield f"expected {expected.status}, got no duty"
    for duty in found:
        if duty.status != expected.status:
            yield f"expected {expected.status}, got {duty.status}"
        for field, wanted, got in (
            ("strict_due", expected.strict_due, duty.strict_due),
            ("legal_end", expected.legal_end, duty.legal_end),
            ("clock", expected.clock, duty.clock.at),
            ("kept_until", expected.kept_until, duty.retention.until if duty.retention else None),
            ("paused_until", expected.paused_until, duty.delay.until if duty.delay else None),
            ("reminder_at", expected.reminder_at, duty.reminder_at),
        ):
            if wanted is not None and (got is None or got.astimezone(ZoneInfo(duty.time_zone)).isoformat() != wanted):
                yield f"expected {field} {wanted}, got {got.isoformat() if got else None}"
        if expected.settle_by is not None and set(duty.settle_by) != set(expected.settle_by):
            yield f"expected to be settled by {sorted(expected.settle_by)}, got {sorted(duty.settle_by)}"
