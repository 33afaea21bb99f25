"""Writing a duty from what was decided about a rule. What the rule always says is put together once and shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from incidents.facts.conditions import Verdict
from incidents.grading.grade import GradeResult
from playbooks.law import reasons
from playbooks.law.duty import Duty, DutyClock, DutyContent, DutyExemption, DutyStatus, Retention
from playbooks.law.forum import Seat
from playbooks.law.pack import Pack, Rule
from playbooks.law.pausing import Paused
from playbooks.law.period import Deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What was decided about one rule for one incident."""

    status: DutyStatus
    bound: Verdict
    trigger: Verdict
    where: Seat
    clock: DutyClock
    own: Deadline | None
    """The deadline by the rule's own period."""
    held: Paused
    """The deadline and the reminder that hold, with what requests to wait did to them."""
    kept: Retention | None
    exemptions: tuple[DutyExemption, ...]
    asked: tuple[str, ...]
    """Ids of the content items that are asked for."""


class Script:
    """What a rule says of every duty that comes from it."""

    def __init__(self, pack: Pack, rule: Rule) -> None:
        self.pack = pack
        self.rule = rule
        self.trigger = rule.trigger_condition
        self.begins = rule.in_force_from or pack.instrument.in_force_from
        self.ends = rule.in_force_to or pack.instrument.in_force_to
        self.conditions = tuple(exemption.condition for exemption in rule.exemptions)
        self.asked_if = tuple((item.id, item.condition if item.when else None) for item in rule.contents.items)
        self.constant = _of_rule(pack, rule)
        self.says = reasons.of_rule(pack, rule)
        self.origin = reasons.of_pack(pack, rule)
        self.items = {item.id: DutyContent(id=item.id, text=item.text) for item in rule.contents.items}
        self.ids = tuple(f"{rule.id}:{recipient.role}:{rule.stage}" for recipient in rule.recipients)
        self.by_request = frozenset(exemption.id for exemption in rule.exemptions if exemption.delay is not None)
        self.delays = tuple(exemption.delay for exemption in rule.exemptions if exemption.delay is not None)
        self._exemptions: dict[tuple[int, Verdict | None], DutyExemption] = {}

    def in_force(self, day: date) -> bool:
        """Whether the rule is in force on that day at the seat of the authority."""
        return (self.begins is None or self.begins <= day) and (self.ends is None or day <= self.ends)

    def exemption(self, at: int, verdict: Verdict | None) -> DutyExemption:
        """The exemption at that place with what was found about it."""
        key = (at, verdict)
        if key not in self._exemptions:
            exemption = self.rule.exemptions[at]
            self._exemptions[key] = DutyExemption(
                id=exemption.id,
                words=exemption.words,
                effect=exemption.effect,
                holds=None if verdict is None or verdict.is_unknown else verdict.is_true,
                settle_by=verdict.open_facts if verdict is not None else (),
            )
        return self._exemptions[key]


def write_duties(
    script: Script, decided: Decided, known: reasons.KnownFacts, grades: Mapping[str, GradeResult | str]
) -> Sequence[Duty]:
    """One duty for each recipient of the rule."""
    rule, clock, held = script.rule, decided.clock, decided.held
    deadline = held.deadline
    certain = decided.status in (DutyStatus.DUE, DutyStatus.PAUSED)
    possible = decided.status is DutyStatus.POSSIBLE
    settle_by = tuple(dict.fromkeys((*decided.bound.open_facts, *decided.trigger.open_facts))) if possible else ()
    why = (
        *script.says,
        *reasons.of_conditions(
            rule, script.trigger.schemes, (decided.bound, decided.trigger), known, grades, settle_by
        ),
        *reasons.of_exemptions(decided.exemptions, script.by_request, held),
        *reasons.of_clock(rule, clock, decided.where),
        *reasons.of_deadline(rule, decided.own, held, decided.where),
        *reasons.of_retention(decided.kept, decided.where),
        *script.origin,
    )
    said = {
        **script.constant,
        "status": decided.status,
        "clock": clock,
        "strict_due": deadline.strict_due if deadline and certain else None,
        "legal_end": deadline.legal_end if deadline and certain else None,
        "ends_with_day": deadline.ends_with_day if deadline else False,
        "time_zone": decided.where.zone.key,
        "reminder_at": held.reminder if certain else None,
        "delay": held.delay if certain else None,
        "retention": decided.kept,
        "contents": tuple([script.items[name] for name in decided.asked]),
        "exemptions": decided.exemptions,
        "settle_by": settle_by,
        "earliest_deadline": (deadline.strict_due if deadline else held.reminder) if possible else None,
        "why": why,
    }
    return [
        Duty(**said, id=name, recipient=recipient) for name, recipient in zip(script.ids, rule.recipients, strict=True)
    ]


def _of_rule(pack: Pack, rule: Rule) -> dict[str, Any]:
    """What a duty takes over from its rule and instrument as it stands."""
    instrument = pack.instrument
    return {
        "rule": rule.id,
        "instrument": instrument.name,
        "instrument_id": instrument.id,
        "instrument_title": instrument.title,
        "article": rule.article,
        "jurisdiction": instrument.jurisdiction,
        "party": rule.party,
        "recipient_note": rule.recipient_note,
        "stage": rule.stage,
        "promptness": rule.promptness,
        "delayable_by": tuple(
            dict.fromkeys(by for exemption in rule.exemptions if exemption.delay for by in exemption.delay.by)
        ),
        "recurs": rule.period.recurrence is not None,
        "contents_basis": rule.contents.basis,
        "channels": rule.channels,
        "confidence": rule.confidence,
        "evidence": rule.evidence,
        "note": rule.note,
        "penalties": rule.penalties,
        "pack_version": instrument.version,
    }
