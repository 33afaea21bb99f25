"""Decisions of people about duties: waive, overturn, file, acknowledge, assign, wait. Idempotent by their cause."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from incidents.errors import IllegalTransition, InvalidInput
from incidents.incident.incident import Incident
from incidents.privacy import refuse_contacts
from incidents.record import Context, Record, retrying
from incidents.reference import reference_of
from playbooks.duties.merged import parts_of, whole_of
from playbooks.duties.register import DutyRegister
from playbooks.law.delays import DelayRequest

MAX_REASON = 4_000
OWNER_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""Ids of owners: names of tables in the settings, and (in lower case) names of keys."""


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

    def assign(self, incident_id: UUID, duty_id: str, context: Context, *, owner: str, name: str = "") -> DutyRegister:
        """Give a duty to an owner by the id that the settings have (empty: take the assignment back)."""
        if owner and not OWNER_ID.fullmatch(owner):
            raise InvalidInput("An owner is named by an id of the settings, such as dpo.", field="owner")
        refuse_contacts(name, "name")
        return self._change(
            incident_id, context, lambda register: register.assign(incident_id, duty_id, owner, name, context)
        )

    def request_delay(self, incident_id: UUID, context: Context, request: DelayRequest) -> DutyRegister:
        """Record that an authority asked to wait. Also before any duty was identified."""
        refuse_contacts(request.authority, "authority")
        refuse_contacts(request.reason, "reason")

        def command() -> DutyRegister:
            register = self.register(incident_id)
            if not register.has_done(context):
                self._refuse_merged(incident_id)
                register.request_delay(incident_id, request, context)
                self._record.commit(register)
            return register

        return retrying(command)

    def end_delay(
        self, incident_id: UUID, delay_id: str, context: Context, *, reason: str, ended_at: datetime | None = None
    ) -> DutyRegister:
        """Record that a request to wait no longer stands; also one of an incident that became part of this one."""
        reason, when = _reason(reason), ended_at or context.recorded_at
        of = next((part for part in self._parts(incident_id) if delay_id in self.register(part).delays), incident_id)
        return self._change(of, context, lambda register: register.end_delay(of, delay_id, when, reason, context))

    def delays(self, incident_id: UUID) -> tuple[DelayRequest, ...]:
        """All requests to wait: this incident's, and those of incidents that became part of it."""
        return tuple(request for part in self._parts(incident_id) for request in self.register(part).delays.values())

    def filed_for_parts(self, incident_id: UUID) -> dict[str, list[tuple[UUID, datetime]]]:
        """By duty, which incidents that became part of this one had fulfilled it, and when. What was said of a part
        may not have told of the whole; a person says whether it did, by recording it here with its own time."""
        found: dict[str, list[tuple[UUID, datetime]]] = {}
        for part in self._parts(incident_id)[1:]:
            for duty_id, state in self.register(part).duties.items():
                if state.fulfilled_at is not None:
                    found.setdefault(duty_id, []).append((part, state.fulfilled_at))
        return found

    def _parts(self, incident_id: UUID) -> Sequence[UUID]:
        incident = self._record.find(Incident, incident_id)
        return [incident_id, *(parts_of(self._record, incident) if incident is not None else ())]

    def _refuse_merged(self, incident_id: UUID) -> None:
        incident = self._record.find(Incident, incident_id)
        if incident is not None and incident.merged_into is not None:
            whole = reference_of(whole_of(self._record, incident).id)
            raise IllegalTransition(f"The incident was merged into {whole}: record the request there.")

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
