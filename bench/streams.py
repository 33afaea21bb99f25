"""What is recorded: real incident events of ours, and the same content as events of the bare library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate as BareAggregate
from eventsourcing.domain import event as bare_event

from incidents.clock import ManualClock
from incidents.incident import events as incident
from incidents.incident.incident import Incident
from incidents.record import Context, Record, open_record
from tocsin.services import registry

START = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
REGISTRY = registry()


def our_record(path: str) -> Record:
    return open_record(f"sqlite:///{path}", REGISTRY)


class BareIncident(BareAggregate):
    """The same in the library's own style, with the dictionary that its stock JSON transcoder wants."""

    class Reported(BareAggregate.Created):
        actor: str
        cause: str
        happened_at: datetime
        title: str
        reported_by: str

    class AlertLinked(BareAggregate.Event):
        actor: str
        cause: str
        happened_at: datetime
        alert: dict[str, Any]

    def __init__(self, *, actor: str, cause: str, happened_at: datetime, title: str, reported_by: str) -> None:
        self.title = title
        self.alerts: dict[UUID, dict[str, Any]] = {}

    @bare_event(AlertLinked)
    def link_alert(self, *, actor: str, cause: str, happened_at: datetime, alert: dict[str, Any]) -> None:
        self.alerts[alert["alert_id"]] = alert


def bare_application(path: str) -> Application[UUID]:
    settings = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path, "SQLITE_LOCK_TIMEOUT": "30"}
    return Application(settings)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert's content, for both sides."""

    alert_id: UUID
    command_id: UUID
    detected_at: datetime

    @property
    def values(self) -> dict[str, Any]:
        return {
            "alert_id": self.alert_id,
            "dialect": "wazuh",
            "source": "siem-1",
            "rule": "5712",
            "title": "Mailbox read from a place it was never read from",
            "severity_id": 4,
            "digest": "4f" * 32,
            "detected_at": self.detected_at,
        }


def alerts(count: int) -> list[Alert]:
    return [Alert(uuid4(), uuid4(), START + timedelta(seconds=n)) for n in range(count)]


class OurSide:
    """Commands on our incident."""

    def __init__(self) -> None:
        clock = ManualClock(START + timedelta(days=1))
        self._clock = clock
        context = Context.of_command("siem:wazuh", clock)
        self.incident = Incident.report(uuid4(), context, title="t", reported_by="alert")

    def link(self, alert: Alert) -> None:
        context = Context.of_command("siem:wazuh", self._clock, command_id=alert.command_id)
        self.incident.link_alert(context, incident.AlertSummary(**alert.values))


class BareSide:
    """The same commands on the library's aggregate."""

    def __init__(self) -> None:
        self.incident = BareIncident(
            actor="siem:wazuh", cause=f"command:{uuid4()}", happened_at=START, title="t", reported_by="alert"
        )

    def link(self, alert: Alert) -> None:
        self.incident.link_alert(
            actor="siem:wazuh",
            cause=f"command:{alert.command_id}",
            happened_at=START,
            alert=alert.values,
        )


def histories(events: int, per_incident: int = 20) -> Iterator[Incident]:
    """Incidents of `per_incident` events each, from report to closure, until there are `events`."""
    clock = ManualClock(START)

    def context() -> Context:
        clock.advance(timedelta(seconds=1))
        return Context.of_command("user:lan", clock)

    for _ in range(events // per_incident):
        one = Incident.report(uuid4(), context(), title="Mailboxes read by a stranger", reported_by="alert")
        for alert in alerts(per_incident - 8):
            one.link_alert(context(), incident.AlertSummary(**alert.values))
        one.triage(context(), "real")
        one.state_facts(context(), {"persons_affected": 200, "nature": ["confidentiality"]}, source="mail log")
        one.assign(context(), "lan")
        one.contain(context(), "accounts locked")
        one.eradicate(context())
        one.recover(context())
        one.close(context())
        yield one
