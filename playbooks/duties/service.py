"""Decisions of people about duties: waive, overturn, file, acknowledge. Every command is idempotent by its cause."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from incidents.errors import InvalidInput
from incidents.privacy import refuse_contacts
from incidents.record import Context, Record, retrying
from playbooks.duties.register import DutyRegister

MAX_REASON = 4_000


class DutyService:
    """What people can do to the duties of an incident."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def register(self, incident_id: UUID) -> DutyRegister:
        """The duties on record of an incident (an empty register before any was identified)."""
        register_id = DutyRegister.id_for(incident_id)
        return self._record.find(DutyRegister, register_id) or DutyRegister(register_id)

    def waive(self, incident_id: UUID, duty_id: str, context: Context, *, reason: str) -> DutyRegister:
        """Record the decision of a named person that a duty is not required."""
        reason = _reason(reason)
        return self._change(
            incident_id, context, lambda register: register.waive(incident_id, duty_id, reason, context)
        )

    def overturn_waiver(self, incident_id: UUID, duty_id: str, context: Context, *, reason: str) -> DutyRegister:
        """Take a waiver back."""
        reason = _reason(reason)
        return self._change(
            incident_id, context, lambda register: register.overturn_waiver(incident_id, duty_id, reason, context)
        )

    def fulfil(
        self,
        incident_id: UUID,
        duty_id: str,
        context: Context,
        *,
        submitted_at: datetime | None = None,
        how: str = "filing",
    ) -> DutyRegister:
        """Record that a filing was made (or a notice went out); lateness is settled here."""
        when = submitted_at or context.recorded_at
        return self._change(
            incident_id, context, lambda register: register.fulfil(incident_id, duty_id, when, how, context)
        )

    def acknowledge(self, incident_id: UUID, duty_id: str, context: Context) -> DutyRegister:
        """Record that a named person has seen the warning: it is not repeated."""
        return self._change(incident_id, context, lambda register: register.acknowledge(incident_id, duty_id, context))

    def watch(self, incident_id: UUID, context: Context) -> DutyRegister:
        """Call out what became pressing."""
        return self._change(incident_id, context, lambda register: register.watch(incident_id, context))

    def _change(self, incident_id: UUID, context: Context, decide: Callable[[DutyRegister], None]) -> DutyRegister:
        def command() -> DutyRegister:
            register = self._record.load(DutyRegister, DutyRegister.id_for(incident_id))
            if not register.has_done(context):
                decide(register)
                self._record.commit(register)
            return register

        return retrying(command)


def _reason(text: str) -> str:
    text = text.strip()
    if not text:
        raise InvalidInput("Give the reason: an auditor will read it.", field="reason")
    if len(text) > MAX_REASON:
        raise InvalidInput(f"The reason may have {MAX_REASON} characters; it has {len(text)}.", field="reason")
    refuse_contacts(text, "reason")
    return text
