"""Commands on incidents: load, decide, save. Every command is idempotent by the cause in its context."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from incidents.errors import Conflict, InvalidInput
from incidents.facts import Facts, parse_changes
from incidents.incident.incident import Incident
from incidents.incident.known import handed_over
from incidents.privacy import refuse_contacts
from incidents.record import Context, Record, retrying
from incidents.tracing import begin_incident

MAX_TITLE = 200
MAX_TEXT = 10_000


class IncidentService:
    """What people and automation can do to incidents."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def report(
        self,
        incident_id: UUID,
        context: Context,
        *,
        title: str,
        summary: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> Incident:
        """Declare an incident from a person's report, with what is known already."""
        title = _text(title, "title", limit=MAX_TITLE, required=True)
        summary = _text(summary, "summary")
        changes = parse_changes(facts or {})
        Facts().revise(changes).check()

        def command() -> Incident:
            found = self._record.find(Incident, incident_id)
            if found is not None:
                if found.has_done(context):
                    return found
                raise Conflict(f"Incident {incident_id} exists already.", field="id")
            incident = Incident.report(incident_id, context, title=title, summary=summary)
            incident.state_facts(context, changes, source="report")
            self._record.commit(incident)
            begin_incident(incident_id)
            return incident

        return retrying(command)

    def change(
        self,
        incident_id: UUID,
        context: Context,
        decide: Callable[[Incident], None],
        *,
        expected_version: int | None = None,
    ) -> Incident:
        """Load, let `decide` give commands to the aggregate, save.

        With `expected_version` the caller decided from a state it had seen: if the incident has moved on, that
        is a Conflict for the caller to resolve. Without it a lost race is repeated from the load.
        """

        def command() -> Incident:
            incident = self._record.load(Incident, incident_id)
            if incident.has_done(context):
                return incident
            _check_version(incident, expected_version)
            decide(incident)
            self._record.commit(incident)
            return incident

        return command() if expected_version is not None else retrying(command)

    def triage(
        self, incident_id: UUID, context: Context, *, assessment: str = "", expected_version: int | None = None
    ) -> Incident:
        """Confirm that it is real."""
        assessment = _text(assessment, "assessment")
        return self.change(
            incident_id,
            context,
            lambda incident: incident.triage(context, assessment),
            expected_version=expected_version,
        )

    def move(
        self,
        incident_id: UUID,
        context: Context,
        transition: str,
        *,
        comment: str = "",
        expected_version: int | None = None,
    ) -> Incident:
        """One of `contain`, `eradicate`, `recover`, `close`, `reopen`."""
        comment = _text(comment, "comment", required=transition == "reopen")
        commands: dict[str, Callable[[Incident], None]] = {
            "contain": lambda incident: incident.contain(context, comment),
            "eradicate": lambda incident: incident.eradicate(context, comment),
            "recover": lambda incident: incident.recover(context, comment),
            "close": lambda incident: incident.close(context, comment),
            "reopen": lambda incident: incident.reopen(context, comment),
        }
        if transition not in commands:
            raise InvalidInput(
                f"There is no transition {transition!r}; there are: {', '.join(commands)}.", field="transition"
            )
        return self.change(incident_id, context, commands[transition], expected_version=expected_version)

    def state_facts(
        self,
        incident_id: UUID,
        context: Context,
        facts: Mapping[str, Any],
        *,
        source: str = "",
        expected_version: int | None = None,
    ) -> Incident:
        """State or revise facts; `unknown` takes one back. InvalidInput names every fact that is wrong, and both facts
        where one of these contradicts another or one that is already stated."""
        changes = parse_changes(facts)
        source = _text(source, "source", limit=MAX_TITLE)

        def state(incident: Incident) -> None:
            Facts().revise(incident.facts).revise(changes).check(about=changes)
            incident.state_facts(context, changes, source=source)

        return self.change(incident_id, context, state, expected_version=expected_version)

    def assign(
        self, incident_id: UUID, context: Context, assignee: str, *, expected_version: int | None = None
    ) -> Incident:
        """Give the incident to a person (the name of a key)."""
        assignee = _text(assignee, "assignee", limit=64, required=True)
        return self.change(
            incident_id,
            context,
            lambda incident: incident.assign(context, assignee),
            expected_version=expected_version,
        )

    def add_note(
        self, incident_id: UUID, context: Context, text: str, *, expected_version: int | None = None
    ) -> Incident:
        """Add a note to the timeline. Contact data of people does not belong in notes and is refused."""
        text = _text(text, "text", required=True)
        return self.change(
            incident_id,
            context,
            lambda incident: incident.add_note(context, text),
            expected_version=expected_version,
        )

    def merge(
        self,
        incident_id: UUID,
        context: Context,
        into: UUID,
        *,
        reason: str = "",
        expected_version: int | None = None,
    ) -> Incident:
        """This incident is part of another; both streams are saved in one transaction."""
        reason = _text(reason, "reason")

        def command() -> Incident:
            incident = self._record.load(Incident, incident_id)
            if incident.has_done(context):
                return incident
            _check_version(incident, expected_version)
            target = self._record.load(Incident, into)
            incident.merge_into(target, context, reason)
            target.state_facts(context, handed_over(incident, target), source=f"merged incident {incident.id}")
            self._record.commit(incident, target)
            return incident

        return command() if expected_version is not None else retrying(command)

    def override_grade(
        self,
        incident_id: UUID,
        context: Context,
        *,
        scheme: str,
        level: str,
        reason: str,
        expected_version: int | None = None,
    ) -> Incident:
        """A person grades against the computed level, with a reason on record."""
        reason = _text(reason, "reason", required=True)

        def decide(incident: Incident) -> None:
            before = incident.grades.get(scheme)
            incident.grade(
                context,
                scheme=scheme,
                scheme_version=before.scheme_version if before else "",
                level=level,
                met=before.met if before else (),
                open_criteria=before.open if before else (),
                override_reason=reason,
            )

        return self.change(incident_id, context, decide, expected_version=expected_version)


def _check_version(incident: Incident, expected: int | None) -> None:
    if expected is not None and incident.version != expected:
        raise Conflict(
            f"The incident is at version {incident.version}, you decided from {expected}. "
            "Load it again and repeat the command."
        )


def _text(value: str, field: str, *, limit: int = MAX_TEXT, required: bool = False) -> str:
    value = value.strip()
    if required and not value:
        raise InvalidInput(f"{field} must not be empty.", field=field)
    if len(value) > limit:
        raise InvalidInput(f"{field} may have {limit} characters; it has {len(value)}.", field=field)
    refuse_contacts(value, field)
    return value
