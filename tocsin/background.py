"""The background work of a process: which workers its roles need, and what each repeats."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from functools import partial
from uuid import uuid4

import structlog

from incidents.clock import AnchoredClock
from incidents.errors import FieldFault
from incidents.record import Follower
from incidents.record.leases import Leases
from incidents.record.partitioned import Divisions, PartitionedFollower
from playbooks.automation import NAME as AUTOMATION
from playbooks.automation import Automation
from tocsin.alarms import Alarms
from tocsin.bounces import intake_of, mailbox_of
from tocsin.bridges import CampaignBridge
from tocsin.head_watch import NAME as RECORD_HEAD
from tocsin.head_watch import HeadWatch
from tocsin.keeper import Keeper
from tocsin.observability.gauges import Extra, Gauges
from tocsin.public_notice_bridge import PublicNoticeBridge
from tocsin.roles import EVERYTHING, Role
from tocsin.sender import Sender
from tocsin.services import Services
from tocsin.staff_warnings import open_staff_warnings
from tocsin.upkeep.rederiving import Rederiving
from tocsin.upkeep.revised_assets import RevisedAssets
from tocsin.watchdog import SECOND_LOOK, Watchdog
from tocsin.workers import (
    FAILURES_IN_A_ROW,
    POLL_SECONDS,
    AsyncWorker,
    Paced,
    Pause,
    RepeatingWorker,
    Worker,
    Workers,
)

log = structlog.get_logger(__name__)

FOLLOW_SECONDS = 10.0
"""Between two looks of a follower that nobody woke: it is woken within a second when the record grows."""
RELAY_SECONDS = 2.0
"""The same for the relay, which looks after its topic too."""
LAW_SECONDS = 10.0
"""Between two looks at the operator's own law packs."""
ALARM_SECONDS = 5.0
"""Between two looks at the clocks. A deadline is called out at most this much late."""
GAUGE_SECONDS = 10.0
"""Between two measurements for `/metrics`."""
MEMORY_SECONDS = 3600.0
"""Between two looks for remembered answers that are too old."""
ROWS_SECONDS = 60.0
"""Between two looks at the rows of full and of finished campaigns."""
CLOCK_SECONDS = 15.0
"""Between two questions to the database what time it is."""

UPKEEP_SECONDS = 2.0
"""Between two looks whether open incidents were derived with the law in use."""
SETTLE_SECONDS = 3 * LAW_SECONDS
"""After so long every process has read a changed law."""

ALARMS = "alarms"
STAFF_WARNINGS = "staff-warnings"
WATCHDOG = "watchdog"
UPKEEP = "upkeep"
DELIVERY_RELAY = "delivery-relay"
EVENT_RELAY = "event-relay"
DELIVERY_ROWS = "delivery-rows"
BOUNCES = "bounces"
BOUNCE_MAILBOX = "bounce-mailbox"
"""What one process at a time does, beside following."""
ALERT_CONSUMER = "alert-consumer"
DELIVERY_HINTS = "delivery-hints"


class ProjectionWorker:
    """Drives the projections, which have a loop of their own."""

    name = "projections"

    def __init__(self, services: Services, holds: Callable[[str], bool]) -> None:
        self._runner = services.projections
        self._holds = holds

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._runner.failures

    def run(self, stop: threading.Event) -> None:
        self._runner.follow(stop, poll=FOLLOW_SECONDS, holds=self._holds)

    def wake(self) -> None:
        self._runner.wake()


class Background:
    """The followers and workers of one process, built but not started."""

    def __init__(self, services: Services, roles: Collection[Role] = EVERYTHING, *, process: str | None = None) -> None:
        """The work of some roles. `process` names this one among those that share it; None: there are no others."""
        self._services = services
        self._roles = frozenset(roles)
        self._process = process
        self._stop = threading.Event()
        self._divided = False
        self._divisions = Divisions(services.engine, services.record, services.clock)
        self._automation = automation_of(services)
        self.automation = self._automation.follower(self._divisions)
        self._bridge = _bridge(services)
        self._notices = _followers_of_public_notices(services)
        self._revised_assets = RevisedAssets(
            services.engine, services.record, services.assets, services.projections, services.clock
        )
        self.followers: list[Follower | PartitionedFollower] = [
            self.automation,
            self._bridge,
            services.notifier.follower,
            services.notifier.suppression_follower,
            *self._notices,
        ]
        self._lease = timedelta(seconds=services.settings.workers.lease_seconds)
        self._keeper = None if process is None else self._open_keeper(process)
        self.automation.holds = partial(self._holds, Role.PLAYBOOKS)
        self.watchdog = Watchdog(
            services,
            self._automation,
            [*self.followers, self._revised_assets.follower],
            pause=self._stop.wait,
            # What a dead process held is not worked on until its lease has run out, which is no fault yet.
            second_look=SECOND_LOOK if self._keeper is None else SECOND_LOOK + 1.5 * self._lease.total_seconds(),
            holds=partial(self._holds, Role.PLAYBOOKS, WATCHDOG),
        )
        self.gauges = Gauges(
            services.metrics,
            services.engine,
            services.record,
            services.projections,
            self.followers,
            extra=self._measured_besides(),
        )
        self.workers = Workers(self._build(), services.record, self._stop)
        if self._keeper is not None:
            self._keeper.on_change = self.workers.wake

    def start(self) -> None:
        """Start the work."""
        if self._keeper is not None:
            self._keeper.start()
        self.workers.start()

    def ask_to_stop(self) -> None:
        """Begin nothing new. Returns at once; for signal handlers."""
        self.workers.ask_to_stop()

    def stop(self, timeout: float) -> bool:
        """Finish what is under way, then give the leases back. False when something did not end in time."""
        drained = self.workers.stop(timeout)
        if self._keeper is not None:
            self._keeper.close()
        return drained

    def fault(self) -> str | None:
        """What is wrong with the workers, for readiness; None when nothing is."""
        if self.workers.stopping:
            return "the process is ending"
        if dead := self.workers.dead():
            return f"these workers have ended: {', '.join(dead)}"
        if failing := [name for name in self.workers.failing() if self._counts(name)]:
            told = ((name, self.workers.told_by(name)) for name in failing)
            named = ", ".join(f"{name} ({said})" if said else name for name, said in told)
            return f"these workers fail again and again, see the log: {named}"
        if self._keeper is not None and self._keeper.failures >= FAILURES_IN_A_ROW:
            return "leases cannot be renewed, see the log"
        return None

    def notes(self) -> list[FieldFault]:
        """What does not go well and leaves the process fit for its work all the same."""
        return [
            FieldFault(name, self.workers.told_by(name) or "fails again and again, see the log")
            for name in self.workers.failing()
            if not self._counts(name)
        ]

    def _counts(self, worker: str) -> bool:
        """Whether a process is unfit while a worker of it fails. A door without Kafka still answers, and whoever sends
        finds batches without hints."""
        return worker != DELIVERY_HINTS and (Role.API not in self._roles or worker not in (EVENT_RELAY, ALERT_CONSUMER))

    def is_settled(self) -> bool:
        """Whether everything that follows by itself from what is recorded has been recorded too."""
        return all(follower.is_caught_up() for follower in self.followers)

    def _holds(self, role: Role, name: str) -> bool:
        return self._keeper is None or self._keeper.holds(f"{role}/{name}")

    def _open_keeper(self, process: str) -> Keeper:
        services = self._services
        singles: Mapping[Role, tuple[str, ...]] = {
            Role.PLAYBOOKS: (
                self._bridge.name,
                services.notifier.follower.name,
                services.notifier.suppression_follower.name,
                *(follower.name for follower in self._notices),
                self._revised_assets.follower.name,
                UPKEEP,
                ALARMS,
                STAFF_WARNINGS,
                WATCHDOG,
            ),
            Role.NOTIFIER: (DELIVERY_RELAY, DELIVERY_ROWS, BOUNCES, BOUNCE_MAILBOX),
            Role.PROJECTIONS: tuple(services.projections.names()),
            Role.RELAY: (EVENT_RELAY,),
        }

        def names(role: Role) -> list[str]:
            divided = self.automation.names() if role is Role.PLAYBOOKS else []
            return [f"{role}/{name}" for name in (*divided, *singles[role])]

        work = {role.value: partial(names, role) for role in singles if role in self._roles}
        return Keeper(Leases(services.engine, process, self._lease), work, duration=self._lease)

    def _measured_besides(self) -> list[Extra]:
        if not self._services.settings.kafka.is_set:
            return []
        from tocsin.event_relay import measure_relay  # a client of Kafka is loaded only where there is one

        return [partial(measure_relay, self._services)]

    def _build(self) -> list[Worker]:
        builders: Mapping[Role, Callable[[], list[Worker]]] = {
            Role.API: self._for_api,
            Role.PROJECTIONS: lambda: [ProjectionWorker(self._services, partial(self._holds, Role.PROJECTIONS))],
            Role.PLAYBOOKS: self._for_playbooks,
            Role.NOTIFIER: self._for_notifier,
            Role.INTAKE: self._for_intake,
            Role.RELAY: self._for_relay,
        }
        workers = [worker for role in Role if role in self._roles for worker in builders[role]()]
        return [*workers, *self._for_all()]

    def _for_all(self) -> list[Worker]:
        services = self._services
        workers: list[Worker] = []
        if self._roles - {Role.API, Role.INTAKE}:
            workers.append(
                self._repeat(RECORD_HEAD, Paced(HeadWatch(services.record, self._wake_workers).look, POLL_SECONDS))
            )
        if self._roles & {Role.API, Role.PROJECTIONS, Role.PLAYBOOKS}:
            workers.append(self._repeat("gauges", Paced(self.gauges.measure, GAUGE_SECONDS)))
        if self._roles & {Role.API, Role.PLAYBOOKS} and services.settings.law_folder is not None:
            workers.append(self._repeat("law", services.law_book.refresh, poll_seconds=LAW_SECONDS))
        clock = services.clock
        if isinstance(clock, AnchoredClock):

            def adjust() -> int:
                clock.adjust()
                return 0

            workers.append(self._repeat("clock", Paced(adjust, CLOCK_SECONDS)))
        if services.settings.hears_commits:
            from tocsin.listener import Listener  # the driver comes with the extra `postgres`

            workers.append(Listener(services.engine, services.record, self._wake_workers))
        return workers

    def _for_api(self) -> list[Worker]:
        return [self._repeat("memory", Paced(self._services.answers.forget_old, MEMORY_SECONDS))]

    def _for_playbooks(self) -> list[Worker]:
        services = self._services
        alarms = Alarms(services.engine, services.duties, services.runs, services.clock, uuid4)
        held = partial(self._held_work, Role.PLAYBOOKS)
        workers: list[Worker] = [
            self._repeat(self.automation.name, self._automate, poll_seconds=FOLLOW_SECONDS),
            self._following(self._bridge),
            self._following(services.notifier.follower),
            self._following(services.notifier.suppression_follower),
            *(self._following(follower) for follower in self._notices),
            self._repeat(
                self._revised_assets.follower.name,
                held(self._revised_assets.follower.name, self._revised_assets.run_once),
                poll_seconds=lambda: POLL_SECONDS if self._revised_assets.waits else FOLLOW_SECONDS,
            ),
            self._repeat(UPKEEP, Paced(held(UPKEEP, self._rederiving().run_once), UPKEEP_SECONDS)),
            self._repeat(ALARMS, held(ALARMS, alarms.run_once), poll_seconds=ALARM_SECONDS),
            self._repeat(WATCHDOG, self.watchdog.turn, poll_seconds=ALARM_SECONDS),
        ]
        if services.settings.sends_warnings:
            warnings = open_staff_warnings(services)
            workers.append(
                AsyncWorker(
                    STAFF_WARNINGS,
                    self._held_async(Role.PLAYBOOKS, STAFF_WARNINGS, warnings.run_once),
                    services.metrics,
                    begin=warnings.begin,
                    close=warnings.close,
                    poll_seconds=ALARM_SECONDS,
                )
            )
        elif not services.demo:
            log.warning("staff-warnings.off", reason="set `warnings.email` and `smtp`: nobody is mailed about duties")
        return workers

    def _automate(self) -> int:
        if not self._divided:
            self._divisions.want(AUTOMATION, self._services.settings.automation_partitions)
            self._divided = True
        return self.automation.run_once(self._goes_on)

    def _rederiving(self) -> Rederiving:
        services = self._services
        return Rederiving(
            services.engine,
            services.record,
            self._automation,
            services.law_book,
            services.profile,
            services.clock,
            settle=0.0 if self._keeper is None else SETTLE_SECONDS,
            goes_on=self._goes_on,
        )

    def _for_notifier(self) -> list[Worker]:
        services, sending = self._services, self._services.notifier
        relay = self._held_work(Role.NOTIFIER, DELIVERY_RELAY, sending.relay.run_once)
        rows = self._held_work(Role.NOTIFIER, DELIVERY_ROWS, partial(sending.rows.look_after, self._goes_on))
        return [
            self._repeat(DELIVERY_RELAY, relay),
            self._repeat(DELIVERY_ROWS, Paced(rows, ROWS_SECONDS)),
            AsyncWorker(
                "sender",
                Sender(services.engine, sending.engine, services.sending_hold).turn,
                services.metrics,
                begin=sending.engine.recover,
                close=sending.engine.close,
                poll_seconds=0.5,
            ),
            *self._for_bounces(),
            *self._for_hints(),
        ]

    def _for_hints(self) -> list[Worker]:
        services = self._services
        if not services.settings.kafka.is_set:
            return []
        from tocsin.delivery_hints import DeliveryHints, open_hint_carrier  # as for alerts

        hints = services.notifier.hints
        if not isinstance(hints, DeliveryHints):
            return []
        return [open_hint_carrier(hints, services.settings.kafka, services.metrics, process=self._process)]

    def _for_bounces(self) -> list[Worker]:
        services, settings = self._services, self._services.settings.bounces
        desk = services.notifier.bounces
        if desk is None:
            return []
        receipts = services.metrics.receipts
        desk.on_count = lambda result: receipts.labels(provider="email", outcome=result).inc()
        held = partial(self._held_work, Role.NOTIFIER)
        workers: list[Worker] = [self._repeat(BOUNCES, held(BOUNCES, desk.enter_waiting))]
        if settings.imap_host:
            look = held(BOUNCE_MAILBOX, mailbox_of(settings, desk))
            workers.append(self._repeat(BOUNCE_MAILBOX, Paced(look, settings.imap_seconds)))
        if settings.smtp_port:
            intake = intake_of(settings, desk)
            workers.append(
                AsyncWorker("bounce-intake", _nothing, services.metrics, begin=intake.start, close=intake.close)
            )
        return workers

    def _for_intake(self) -> list[Worker]:
        if not self._services.settings.kafka.is_set:
            return []
        from tocsin.alert_consumer import open_alert_consumer  # a client of Kafka is loaded only where there is one

        return [open_alert_consumer(self._services, process=self._process)]

    def _for_relay(self) -> list[Worker]:
        if not self._services.settings.kafka.is_set:
            return []
        from tocsin.event_relay import open_event_relay  # as above

        holds = partial(self._holds, Role.RELAY, EVENT_RELAY)
        return [open_event_relay(self._services, holds=holds, process=self._process, poll_seconds=RELAY_SECONDS)]

    def _repeat(self, name: str, work: Callable[[], int], *, poll_seconds: Pause = POLL_SECONDS) -> RepeatingWorker:
        return RepeatingWorker(name, work, self._services.metrics, poll_seconds=poll_seconds)

    def _following(self, follower: Follower) -> RepeatingWorker:
        def goes_on() -> bool:
            return self._goes_on() and self._holds(Role.PLAYBOOKS, follower.name)

        def work() -> int:
            return follower.run_once(goes_on) if goes_on() else 0

        return self._repeat(follower.name, work, poll_seconds=FOLLOW_SECONDS)

    def _held_work(self, role: Role, name: str, work: Callable[[], int]) -> Callable[[], int]:
        return lambda: work() if self._holds(role, name) else 0

    def _held_async(self, role: Role, name: str, work: Callable[[], Awaitable[int]]) -> Callable[[], Awaitable[int]]:
        async def turn() -> int:
            return await work() if self._holds(role, name) else 0

        return turn

    def _goes_on(self) -> bool:
        return not self._stop.is_set()

    def _wake_workers(self) -> None:
        self.workers.wake()


async def _nothing() -> int:
    return 0


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


def _followers_of_public_notices(services: Services) -> list[Follower]:
    """What hangs public notices out and suggests them, where a public address is known; and what enters letters."""
    notices, letters = services.notifier.to_public, services.notifier.letters.followers()
    if notices is None:
        return [*letters]
    bridge = PublicNoticeBridge(
        services.record,
        notices=notices,
        duties=services.duties,
        runs=services.runs,
        law=lambda: services.law,
        clock=services.clock,
        own_share=services.settings.public_notice.unreached_share,
    )
    return [notices.follower(), bridge.follower(), *letters]


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
