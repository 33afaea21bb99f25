"""Checks of law packs beyond their schema: sources, dates, cases for every rule, and the cases themselves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from incidents.errors import FieldFault, InvalidInput
from incidents.facts.facts import Facts
from playbooks.law.calendars import Calendars, standard_calendars
from playbooks.law.derive import derive
from playbooks.law.duty import Duty
from playbooks.law.law import Law, assemble
from playbooks.law.pack import Case, Expected, Occasion, Pack, Party, Rule, Status


def lint(law: Law, calendar: Calendars | None = None) -> list[FieldFault]:
    """Every fault of every pack: where (`instrument: rule or case`) and what. Empty when all is well."""
    work = calendar or standard_calendars()
    return [fault for pack in law.packs for fault in _pack_faults(pack, law, work)]


def _pack_faults(pack: Pack, law: Law, calendar: Calendars) -> Iterator[FieldFault]:
    name = pack.instrument.id
    if not pack.instrument.sources:
        yield FieldFault(name, "An instrument needs at least one source.")
    for rule in pack.rules:
        for reason in _rule_faults(pack, rule, calendar):
            yield FieldFault(f"{name}: {rule.id}", reason)
    for case in pack.cases:
        for reason in run_case(case, pack, law, calendar):
            yield FieldFault(f"{name}: case {case.id}", reason)


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
    # What has no trigger short of its chain or status can hardly be missed by a case.
    if not any(status in ("none", "exempt", "possible") for status in expected):
        yield "No case just fails to trigger this rule."


def run_case(case: Case, pack: Pack, law: Law, calendar: Calendars) -> list[str]:
    """What a case expected and did not get, in sentences."""
    try:
        facts = Facts.parse(case.facts)
    except InvalidInput as fault:
        return [fault.detail]
    alone = assemble([pack], law.schemes)
    duties = derive(
        facts,
        alone,
        calendar,
        at=datetime.fromisoformat(case.at),
        submissions={name: datetime.fromisoformat(text) for name, text in case.submissions.items()},
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
        ):
            if wanted is not None and (got is None or got.isoformat() != wanted):
                yield f"expected {field} {wanted}, got {got.isoformat() if got else None}"
        if expected.settle_by is not None and set(duty.settle_by) != set(expected.settle_by):
            yield f"expected to be settled by {sorted(expected.settle_by)}, got {sorted(duty.settle_by)}"
