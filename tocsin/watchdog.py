"""The watchdog: proves that the clocks themselves run, and tells the outside so by a heartbeat.

Everything that is supposed to happen by itself is worked out once more from the record and compared with what is on
record and what people are shown. The heartbeat goes out only when all agrees, so its absence is the alarm: for faults,
for a dead process and for a dead machine alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import httpx
import structlog

from incidents.incident.incident import Incident
from incidents.record import Context, Follower
from incidents.record.partitioned import PartitionedFollower
from incidents.reference import reference_of
from playbooks.automation import Automation
from playbooks.duties.events import DutyIdentified, DutyLifted, DutyRevised
from playbooks.duties.register import RUNS, DutyRegister, DutyState, pressing, waited_until
from projections.deadlines.alarms import open_duties
from tocsin.services import Services
from tocsin.upkeep.looked_after import looked_after

log = structlog.get_logger(__name__)

ACTOR = "system:watchdog"
GRACE = timedelta(minutes=1)
"""How late a deadline may be called out before that is a fault."""
SECOND_LOOK = 3.0
"""Seconds after which a fault is looked at again: what is only under way is gone by then."""
HEARTBEAT_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class WatchdogFault:
    """One thing that is not as it should be. `where` is an incident's reference, a follower or a read model."""

    where: str
    duty: str
    what: str


@dataclass(frozen=True, slots=True)
class WatchdogReport:
    """What one look found."""

    looked_at: datetime
    incidents: int
    duties: int
    faults: tuple[WatchdogFault, ...]

    @property
    def well(self) -> bool:
        """Whether nothing was found."""
        return not self.faults


class Watchdog:
    """Looks at all incidents that are looked after. Records nothing."""

    def __init__(
        self,
        services: Services,
        automation: Automation,
        followers: Sequence[Follower | PartitionedFollower],
        *,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], object] = time.sleep,
        second_look: float = SECOND_LOOK,
        holds: Callable[[], bool] = lambda: True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Of several processes the one that `holds` looks. `second_look`: seconds until a fault is looked at again."""
        self._services = services
        self._automation = automation
        self._followers = tuple(followers)
        self._transport = transport
        self._pause = pause
        self._second_look = second_look
        self._holds = holds
        self._monotonic = monotonic
        self._every = services.settings.watchdog.every_minutes * 60.0
        self._next = monotonic() + self._every  # a service that has just started has things to catch up with

    def turn(self) -> int:
        """Look, if it is time to; then say what was found, by heartbeat, metric and log. Always 0."""
        metrics = self._services.metrics
        if not self._holds():
            # Another process looks, and the greatest of what all show is what counts.
            for gauge in (metrics.watchdog_well, metrics.watchdog_faults, metrics.watchdog_looked):
                gauge.set(0)
            return 0
        if self._monotonic() < self._next:
            return 0
        self._next = self._monotonic() + self._every
        metrics.watchdog_well.set(0)  # stays so if the look itself fails
        report = self.look()
        if not self._holds():
            log.warning("watchdog.too-late")  # this process stood still in between, and what it saw is old
            return 0
        metrics.watchdog_well.set(int(report.well))
        metrics.watchdog_faults.set(len(report.faults))
        metrics.watchdog_looked.set(report.looked_at.timestamp())
        for fault in report.faults:
            log.error("watchdog.fault", where=fault.where, duty=fault.duty, what=fault.what)
        if report.well:
            self._beat()
        return 0

    def look(self) -> WatchdogReport:
        """Look once, and once more if something was found: only what is found both times is a fault."""
        report = self._look()
        if report.well:
            return report
        self._pause(self._second_look)
        again = self._look()
        faults = tuple(fault for fault in again.faults if fault in set(report.faults))
        return WatchdogReport(again.looked_at, again.incidents, again.duties, faults)

    def _look(self) -> WatchdogReport:
        now = self._services.clock.now()
        faults = list(self._lagging())
        incidents = duties = 0
        for incident_id in looked_after(self._services.engine):
            incidents += 1
            register = self._services.duties.register(incident_id)
            duties += len(register.open_duties())
            reference = reference_of(incident_id)
            for duty, what in self._wrong(incident_id, register, now):
                faults.append(WatchdogFault(reference, duty, what))
        return WatchdogReport(now, incidents, duties, tuple(faults))

    def _lagging(self) -> Iterator[WatchdogFault]:
        # The position is part of the fault: whoever is behind but gets on is not found twice at the same one.
        for follower in self._followers:
            if not follower.is_caught_up():
                yield WatchdogFault(f"follower {follower.name}", "", f"stands still at position {follower.position}")
        for lag in self._services.projections.lag():
            if lag.failure is not None:
                yield WatchdogFault(f"projection {lag.name}", "", lag.failure)
            elif lag.behind:
                yield WatchdogFault(f"projection {lag.name}", "", f"stands still at position {lag.position}")

    def _wrong(self, incident_id: UUID, register: DutyRegister, now: datetime) -> Iterator[tuple[str, str]]:
        yield from self._differs(incident_id, register, now)
        shown = open_duties(self._services.engine, incident_id)
        for duty_id, state in register.open_duties().items():
            if duty_id not in shown:
                yield duty_id, "is open on record but not among the deadlines shown"
            elif shown[duty_id] != state.duty.strict_due:
                yield duty_id, "is shown with another deadline than is on record"
            if is_silent(state, now - GRACE):
                yield duty_id, "presses or is missed, and was not called out"
        for duty_id in shown.keys() - register.open_duties().keys():
            yield duty_id, "is shown as open, but is not on record"

    def _differs(self, incident_id: UUID, register: DutyRegister, now: datetime) -> Iterator[tuple[str, str]]:
        incident = self._services.record.load(Incident, incident_id)
        context = Context(actor=ACTOR, cause=f"timer:{uuid4()}", recorded_at=now)
        for event in self._automation.derive(incident, context).collect_events():
            match event:
                case DutyIdentified(duty=duty):
                    yield duty.duty_id, "follows from facts and law of now, but is not on record"
                case DutyRevised(duty=duty, changed=changed):
                    before = register.duties[duty.duty_id]
                    if waited_until(before, now) is not None and waited_until(before, now - GRACE) is None:
                        continue  # its waiting has just ended; the watch over clocks is about to say so
                    yield duty.duty_id, f"is on record with another {', '.join(changed)}"
                case DutyLifted(duty_id=duty_id):
                    yield duty_id, "is on record, but does not follow from facts and law of now"

    def _beat(self) -> None:
        url = self._services.settings.watchdog.heartbeat_url.get_secret_value()
        if not url:
            return
        try:
            with httpx.Client(transport=self._transport, timeout=HEARTBEAT_TIMEOUT, follow_redirects=False) as client:
                client.get(url).raise_for_status()
        except httpx.HTTPStatusError as error:
            log.warning("watchdog.heartbeat-refused", status=error.response.status_code)
        except httpx.HTTPError as error:  # the address is a secret and stands in the text
            log.warning("watchdog.heartbeat-failed", reason=type(error).__name__)


def is_silent(state: DutyState, at: datetime) -> bool:
    """Whether an open duty passed a step or its deadline before `at`, and nobody called it out."""
    duty = state.duty
    if not state.is_open or duty.status not in RUNS or state.missed:
        return False
    if waited_until(state, at) is not None:
        return True
    if duty.strict_due is not None and at > duty.strict_due:
        return True
    return pressing(duty.clock_at, duty.strict_due, duty.reminder_at, at) > state.warned
