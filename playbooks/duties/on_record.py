"""From a derived duty to the form it is recorded in."""

from __future__ import annotations

from playbooks.duties.events import DutyOnRecord
from playbooks.law.duty import Duty


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
    )
