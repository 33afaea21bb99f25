"""From derived duties to the form they are recorded in.

As long as nobody knows where the affected people live, most of the world's rules are possible. Recording each of them,
and lifting each again an hour later, would bury the few that matter; so they are recorded as one open question, shown
first like every possible duty, with the facts that settle it, the earliest deadline among them, and their places.
`tocsin duties` and the simulation list them one by one.
"""

from __future__ import annotations

from collections.abc import Iterable

from playbooks.duties.events import DelayOnRecord, DutyOnRecord, RetentionOnRecord
from playbooks.law.duty import Duty, DutyStatus

PLACES = ("persons_by_country", "persons_by_province")
"""The facts that say where the people live."""

WHERE_PEOPLE_LIVE = "open-question:where-people-live"


def all_on_record(derived: Iterable[Duty]) -> list[DutyOnRecord]:
    """What is recorded of these duties."""
    each: list[DutyOnRecord] = []
    open_by_place: list[Duty] = []
    for duty in derived:
        if duty.status is DutyStatus.POSSIBLE and not set(PLACES).isdisjoint(duty.settle_by):
            open_by_place.append(duty)
        else:
            each.append(on_record(duty))
    return [*([_open_question(open_by_place)] if open_by_place else []), *each]


def _open_question(duties: list[Duty]) -> DutyOnRecord:
    places = sorted({duty.jurisdiction for duty in duties})
    asked = tuple(fact for fact in PLACES if any(fact in duty.settle_by for duty in duties))
    earliest = [duty.earliest_deadline for duty in duties if duty.earliest_deadline is not None]
    names = ", ".join(places)
    why = {
        "en": f"{len(duties)} more duties in {len(places)} places depend on where the affected people live: {names}.",
        "zh": f"另有 {len(duties)} 项义务取决于受影响个人的所在地，涉及 {len(places)} 个法域：{names}。",
    }
    return DutyOnRecord(
        duty_id=WHERE_PEOPLE_LIVE,
        rule=WHERE_PEOPLE_LIVE,
        instrument="Where do the affected people live?",
        instrument_titles={"en": "Where do the affected people live?", "zh": "受影响的个人在哪里？"},
        article="",
        jurisdiction="ZZ",
        recipient="Further authorities and people",
        recipient_names={"en": "Further authorities and people", "zh": "其他主管部门和个人"},
        recipient_kind="internal",
        stage="log",
        status=DutyStatus.POSSIBLE.value,
        clock_event="aware",
        time_zone="UTC",
        settle_by=asked,
        earliest_deadline=min(earliest, default=None),
        why=({"kind": "open", "text": why},),
    )


def on_record(duty: Duty) -> DutyOnRecord:
    """The duty as an event holds it. The explanation goes along, so that the record explains itself."""
    return DutyOnRecord(
        duty_id=duty.id,
        rule=duty.rule,
        instrument=duty.instrument,
        article=duty.article,
        jurisdiction=duty.jurisdiction,
        recipient=str(duty.recipient),
        recipient_kind=duty.recipient.kind.value,
        stage=duty.stage.value,
        status=duty.status.value,
        clock_event=duty.clock.event,
        clock_at=duty.clock.at,
        strict_due=duty.strict_due,
        legal_end=duty.legal_end,
        reminder_at=duty.reminder_at,
        time_zone=duty.time_zone,
        contents=tuple(item.id for item in duty.contents),
        settle_by=duty.settle_by,
        why=tuple(reason.model_dump(mode="json") for reason in duty.why),
        pack_version=duty.pack_version,
        confidence=duty.confidence,
        promptness=duty.promptness.value if duty.promptness else None,
        earliest_deadline=duty.earliest_deadline,
        ends_with_day=duty.ends_with_day,
        recipient_names=dict(duty.recipient.name),
        instrument_titles=dict(duty.instrument_title),
        content_texts={item.id: dict(item.text) for item in duty.contents},
        exemptions=tuple(exemption.model_dump(mode="json") for exemption in duty.exemptions),
        note=duty.note,
        delay=DelayOnRecord.model_validate(duty.delay.model_dump(mode="json")) if duty.delay else None,
        delayable_by=tuple(by.value for by in duty.delayable_by),
        retention=RetentionOnRecord.model_validate(duty.retention.model_dump(mode="json")) if duty.retention else None,
    )
