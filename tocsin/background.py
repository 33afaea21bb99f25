"""The background work of an embedded service: which workers there are, and what each repeats."""

from __future__ import annotations

import threading
from uuid import uuid4

import structlog

from incidents.record import Follower
from playbooks.automation import Automation
from tocsin.alarms import Alarms
from tocsin.bridges import CampaignBridge
from tocsin.observability.gauges import Gauges
from tocsin.services import Services
from tocsin.staff_warnings import open_staff_warnings
from tocsin.watchdog import Watchdog
from tocsin.workers import AsyncWorker, Paced, RepeatingWorker, Worker, Workers

log = structlog.get_logger(__name__)

LAW_SECONDS = 10.0
"""Between two looks at the operator's own law packs."""
ALARM_SECONDS = 5.0
"""Between two looks at the clocks. A deadline is called out at most this much late."""
GAUGE_SECONDS = 10.0
"""Between two measurements for `/metrics`."""
MEMORY_SECONDS = 3600.0
"""Between two looks for remembered answers that are too old."""


class ProjectionWorker:
    """Drives the projections, which have a loop of their own."""

    name = "projections"

    def __init__(self, services: Services) -> None:
        self._runner = services.projections

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._runner.failures

    def run(self, stop: threading.Event) -> None:
        self._runner.follow(stop)

    def wake(self) -> None:
        self._runner.wake()


class Background:
    """The followers and workers of one process, built but not started."""

    def __init__(self, services: Services) -> None:
        sending = services.notifier
        automation = automation_of(services)
        self.followers = [automation.follower(), _bridge(services), sending.follower]
        warnings = open_staff_warnings(services) if services.settings.sends_warnings else None
        self.watchdog = Watchdog(services, automation, self.followers)
        self.gauges = Gauges(services.metrics, services.engine, services.record, services.projections, self.followers)
        alarms = Alarms(services.engine, services.duties, services.runs, services.clock, uuid4)
        workers: list[Worker] = [
            *(RepeatingWorker(f.name, f.run_once, services.metrics) for f in self.followers),
            RepeatingWorker("alarms", alarms.run_once, services.metrics, poll_seconds=ALARM_SECONDS),
            RepeatingWorker("delivery-relay", sending.relay.run_once, services.metrics),
            AsyncWorker(
                "sender",
                sending.engine.run_once,
                services.metrics,
                begin=sending.engine.recover,
                close=sending.engine.close,
                poll_seconds=0.5,
            ),
            ProjectionWorker(services),
            RepeatingWorker("gauges", Paced(self.gauges.measure, GAUGE_SECONDS), services.metrics),
            RepeatingWorker("memory", Paced(services.answers.forget_old, MEMORY_SECONDS), services.metrics),
            RepeatingWorker("watchdog", self.watchdog.turn, services.metrics, poll_seconds=ALARM_SECONDS),
        ]
        if warnings is not None:
            workers.append(
                AsyncWorker(
                    "staff-warnings",
                    warnings.run_once,
                    services.metrics,
                    begin=warnings.begin,
                    close=warnings.close,
                    poll_seconds=ALARM_SECONDS,
                )
            )
        elif not services.demo:
            log.warning("staff-warnings.off", reason="set `warnings.email` and `smtp`: nobody is mailed about duties")
        if services.settings.law_folder is not None:
            book = services.law_book
            workers.append(RepeatingWorker("law", book.refresh, services.metrics, poll_seconds=LAW_SECONDS))
        self.workers = Workers(workers, services.record)

    def fault(self) -> str | None:
        """What is wrong with the workers, for readiness; None when nothing is."""
        if dead := self.workers.dead():
            return f"these workers have ended: {', '.join(dead)}"
        if failing := self.workers.failing():
            return f"these workers fail again and again, see the log: {', '.join(failing)}"
        return None

    def is_settled(self) -> bool:
        """Whether everything that follows by itself from what is recorded has been recorded too."""
        return all(follower.is_caught_up() for follower in self.followers)


def automation_of(services: Services) -> Automation:
    """What follows by itself, over these services."""
    return Automation(
        services.record,
        law=services.law_book,
        calendar=services.calendars,
        profile=services.profile,
        playbooks=services.playbooks,
        clock=services.clock,
    )


def _bridge(services: Services) -> Follower:
    return CampaignBridge(
        services.record,
        campaigns=services.campaigns,
        runs=services.runs,
        duties=services.duties,
        templates=services.templates,
        profile=services.profile,
        clock=services.clock,
        policy=services.settings.delivery_policy,
    ).follower()
