"""The register of one incident's duties: what was derived, waived, fulfilled or missed, and when.

The register compares what law and facts demand now with what is on record, and records only the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from incidents.errors import IllegalTransition, InvalidInput, NotFound
from incidents.record import Aggregate, Context, folds, stable_id
from playbooks.duties.events import (
    DelayEnded,
    DelayRequested,
    DutyAcknowledged,
    DutyAssigned,
    DutyFulfilled,
    DutyIdentified,
    DutyLifted,
    DutyMissed,
    DutyOnRecord,
    DutyResumed,
    DutyRevised,
    DutyWaived,
    DutyWarned,
    WaiverOverturned,
)
from playbooks.law.delays import MAX_REQUESTS, DelayRequest

WARN_AT = (50, 80, 95)
"""Percent of the window after which an open duty is called out (promise 8)."""

MISSED = 101
"""The step after the last: the strict deadline passed while the duty was open."""

_EXPLAINS = frozenset({"why", "pack_version", "note", "exemptions", "confidence", "content_texts", "delayable_by"})
"""Fields that explain a duty; alone they are no revision worth an event."""

RUNS = frozenset({"due", "paused"})
"""What a duty is that somebody has to act on; one that is paused can be called out too: its waiting ends."""


@dataclass(frozen=True, slots=True)
class DutyState:
    """One duty as the record has it."""

    duty: DutyOnRecord
    waived: bool = False
    lifted: bool = False
    fulfilled_at: datetime | None = None
    missed: bool = False
    warned: int = 0
    called_out_at: datetime | None = None
    """When the present step was recorded."""
    acknowledged: int = 0
    """The step that somebody acknowledged last."""
    owner: str = ""
    """Id of the owner it was assigned to; empty: whoever owns such duties."""
    resumed: bool = False
    """Its waiting ended by itself, and what follows has not been derived yet."""

    @property
    def step(self) -> int:
        """What has been called out: 0 (nothing), 50, 80, 95, 100 (a reminder) or `MISSED`."""
        return MISSED if self.missed else self.warned

    @property
    def wants_acknowledgement(self) -> bool:
        """Whether a warning is out that nobody has acknowledged, about something still to be done."""
        return self.is_open and self.duty.status in RUNS and self.step > self.acknowledged

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to do something (or decide that nothing is to be done)."""
        return not (self.waived or self.lifted or self.fulfilled_at or self.duty.status == "exempt")


class DutyRegister(Aggregate):
    """All duties of one incident."""

    def __init__(self, register_id: UUID) -> None:
        super().__init__(register_id)
        self.duties: dict[str, DutyState] = {}
        self.submissions: dict[str, datetime] = {}
        """Rule to the instant of its (latest) submission: the clocks of the stages that follow."""
        self.delays: dict[str, DelayRequest] = {}
        """Requests to wait, by id, in the order in which they were recorded."""

    @staticmethod
    def id_for(incident_id: UUID) -> UUID:
        """Where the duties of an incident are recorded."""
        return stable_id("duties", str(incident_id))

    def update(self, incident_id: UUID, derived: Iterable[DutyOnRecord], context: Context) -> None:
        """Record the difference between `derived` and what is on record.

        A missed deadline is judged by what was in force and known when it passed: once a duty was recorded as missed,
        facts learned later never move its clock and its ends to a later time. They may show that these were earlier
        still; everything else about the duty may be revised, and it may be lifted, but stays missed.
        """
        now = {duty.duty_id: self._as_judged(duty) for duty in self.in_turn(derived)}
        for duty_id, duty in now.items():
            state = self.duties.get(duty_id)
            if state is None or state.lifted:
                self.emit(DutyIdentified, context, incident_id=incident_id, duty=duty)
            elif state.fulfilled_at is None and (changed := _changed(state.duty, duty)):
                self._revise(incident_id, state, duty, changed, context)
        for duty_id, state in list(self.duties.items()):
            if duty_id not in now and not state.lifted and state.fulfilled_at is None:
                self.emit(
                    DutyLifted,
                    context,
                    incident_id=incident_id,
                    duty_id=duty_id,
                    reason="By the facts and the law of now there is no such duty.",
                )

    def in_turn(self, derived: Iterable[DutyOnRecord]) -> Iterator[DutyOnRecord]:
        """The derived duties, those that come again with the id of their turn."""
        return map(self._in_turn, derived)

    def _in_turn(self, duty: DutyOnRecord) -> DutyOnRecord:
        """A duty that comes again, its clock being its own last submission, is another duty at each turn, so that every
        turn is warned of, filed and judged for itself. A turn that is open keeps its clock: when another recipient of
        the same rule is told, nothing moves for this one."""
        if duty.clock_event != own_submission(duty.rule):
            return duty
        state, turn = self.duties.get(duty.duty_id), 1
        turn_id = duty.duty_id
        while state is not None and state.fulfilled_at is not None:
            turn += 1
            turn_id = f"{duty.duty_id}:{turn}"
            state = self.duties.get(turn_id)
        duty = duty.model_copy(update={"duty_id": turn_id})
        if state is None or duty.status != "due" or _no_later(duty.clock_at, state.duty.clock_at):
            return duty
        return duty.model_copy(update={name: getattr(state.duty, name) for name in _JUDGED})

    def passed(self, now: datetime) -> Mapping[str, datetime]:
        """The open duties whose strict deadline lies before `now` and is not on record as missed, with it."""
        return {
            duty_id: due
            for duty_id, state in self.duties.items()
            if state.is_open
            and not state.missed
            and state.duty.status in RUNS
            and (due := state.duty.strict_due) is not None
            and due < now
        }

    def miss(self, incident_id: UUID, duty_id: str, context: Context) -> None:
        """Record that the strict deadline passed, before what came later is taken into account."""
        due = self.passed(context.recorded_at).get(duty_id)
        if due is not None:
            self.emit(DutyMissed, context, incident_id=incident_id, duty_id=duty_id, strict_due=due)

    def _revise(
        self, incident_id: UUID, state: DutyState, duty: DutyOnRecord, changed: tuple[str, ...], context: Context
    ) -> None:
        """A waiver was decided for the situation as it was: when the duty falls due anew, it has to be decided anew."""
        fell_due = duty.status in RUNS and state.duty.status not in RUNS
        self.emit(DutyRevised, context, incident_id=incident_id, duty=duty, changed=changed)
        if state.waived and fell_due:
            self.emit(
                WaiverOverturned,
                context,
                incident_id=incident_id,
                duty_id=duty.duty_id,
                reason=f"It was waived while it was {state.duty.status.replace('_', ' ')}; by new facts it is due.",
            )

    def _as_judged(self, duty: DutyOnRecord) -> DutyOnRecord:
        state = self.duties.get(duty.duty_id)
        if state is None or not state.missed:
            return duty
        judged = state.duty
        if duty.status == "paused":  # the request was recorded after the deadline had passed
            return duty.model_copy(update={name: getattr(judged, name) for name in (*_JUDGED, "delay", "status")})
        if not _no_later(duty.strict_due, judged.strict_due):
            return duty.model_copy(update={name: getattr(judged, name) for name in _JUDGED})
        held = [name for name in ("clock_at", "legal_end") if not _no_later(getattr(duty, name), getattr(judged, name))]
        return duty.model_copy(update={name: getattr(judged, name) for name in held})

    def hand_over(self, incident_id: UUID, reason: str, context: Context) -> None:
        """Lift everything that is open: the incident was merged, and the duties go on with the other one."""
        for duty_id, state in list(self.duties.items()):
            if state.is_open:
                self.emit(DutyLifted, context, incident_id=incident_id, duty_id=duty_id, reason=reason)

    def waive(self, incident_id: UUID, duty_id: str, reason: str, context: Context) -> None:
        """Record that a named person finds the duty not required."""
        self._open(duty_id)
        if not reason.strip():
            raise InvalidInput("A waiver needs its reason: it will be read by an auditor.", field="reason")
        if not context.actor.startswith("user:"):
            raise InvalidInput("Only a person can waive a duty.", field="actor")
        self.miss(incident_id, duty_id, context)
        self.emit(DutyWaived, context, incident_id=incident_id, duty_id=duty_id, reason=reason)

    def overturn_waiver(self, incident_id: UUID, duty_id: str, reason: str, context: Context) -> None:
        """Take a waiver back."""
        state = self._get(duty_id)
        if not state.waived:
            raise IllegalTransition(f"Duty {duty_id} is not waived.")
        self.emit(WaiverOverturned, context, incident_id=incident_id, duty_id=duty_id, reason=reason)

    def fulfil(self, incident_id: UUID, duty_id: str, submitted_at: datetime, how: str, context: Context) -> None:
        """Record that the filing was made or the notice sent; whether it was late is settled here for ever."""
        state = self._open(duty_id)
        if submitted_at > context.recorded_at:
            raise InvalidInput("A filing cannot have been made in the future.", field="submitted_at")
        if (started := state.duty.clock_at) is not None and submitted_at < started:
            raise InvalidInput(
                f"The duty's clock started at {started.isoformat()}; nothing can be filed before that.",
                field="submitted_at",
            )
        due = state.duty.strict_due
        if due is not None and submitted_at > due:
            self.miss(incident_id, duty_id, context)
        end = state.duty.legal_end or due
        self.emit(
            DutyFulfilled,
            context,
            incident_id=incident_id,
            duty_id=duty_id,
            rule=state.duty.rule,
            how=how,
            late=end is not None and submitted_at > end,
            submitted_at=submitted_at,
        )

    def acknowledge(self, incident_id: UUID, duty_id: str, context: Context) -> None:
        """Record that a named person has seen the warning: it is not repeated, the next step warns anew."""
        state = self._open(duty_id)
        if not context.actor.startswith("user:"):
            raise InvalidInput("Only a person can acknowledge a warning.", field="actor")
        if state.step == 0:
            raise IllegalTransition(
                f"Nothing has been called out about duty {duty_id}: there is nothing to acknowledge."
            )
        if state.acknowledged >= state.step:
            raise IllegalTransition(f"The warning about duty {duty_id} was acknowledged before.")
        self.emit(DutyAcknowledged, context, incident_id=incident_id, duty_id=duty_id, step=state.step)

    def assign(self, incident_id: UUID, duty_id: str, owner: str, name: str, context: Context) -> None:
        """Give the duty to an owner (empty: take the assignment back). The same again changes nothing."""
        state = self._open(duty_id)
        if owner != state.owner:
            self.emit(DutyAssigned, context, incident_id=incident_id, duty_id=duty_id, owner=owner, name=name)

    def request_delay(self, incident_id: UUID, request: DelayRequest, context: Context) -> None:
        """Record that an authority asked to wait. What each duty does with it is derived."""
        if not context.actor.startswith("user:"):
            raise InvalidInput("Only a person can record a request to wait.", field="actor")
        if request.stated_at > context.recorded_at:
            raise InvalidInput("The request cannot have been made in the future.", field="stated_at")
        if request.id in self.delays:
            raise IllegalTransition(f"The request {request.id} is on record already.")
        if len(self.delays) >= MAX_REQUESTS:
            raise IllegalTransition(f"{MAX_REQUESTS} requests to wait are on record; no more are taken.")
        said = request.model_dump(exclude={"id", "ended_at"}, mode="json")
        self.emit(DelayRequested, context, incident_id=incident_id, delay_id=request.id, **said)

    def end_delay(self, incident_id: UUID, delay_id: str, ended_at: datetime, reason: str, context: Context) -> None:
        """Record that a request to wait no longer stands: the clocks that it paused run on from `ended_at`."""
        request = self.delays.get(delay_id)
        if request is None:
            raise NotFound(f"There is no request to wait {delay_id[:80]} on record.", field="delay")
        if request.ended_at is not None:
            raise IllegalTransition(f"The request {delay_id} ended at {request.ended_at.isoformat()}.")
        if ended_at > context.recorded_at:
            raise InvalidInput("It cannot have ended in the future; a later end is a new request.", field="ended_at")
        if ended_at < request.stated_at:
            raise InvalidInput("It cannot have ended before it was made.", field="ended_at")
        self.emit(DelayEnded, context, incident_id=incident_id, delay_id=delay_id, ended_at=ended_at, reason=reason)

    def watch(self, incident_id: UUID, context: Context) -> None:
        """Call out what became pressing by `context.recorded_at`: shares of the window passed, deadlines missed,
        waiting that ended by itself."""
        for duty_id, state in list(self.duties.items()):
            if not state.is_open or state.duty.status not in RUNS:
                continue
            if (until := waited_until(state, context.recorded_at)) is not None:
                self.emit(DutyResumed, context, incident_id=incident_id, duty_id=duty_id, waited_until=until)
                continue
            step = pressing(state.duty.clock_at, state.duty.strict_due, state.duty.reminder_at, context.recorded_at)
            if step > state.warned:
                self.emit(DutyWarned, context, incident_id=incident_id, duty_id=duty_id, percent=step)
            due = state.duty.strict_due
            if due is not None and context.recorded_at > due and not state.missed:
                self.emit(DutyMissed, context, incident_id=incident_id, duty_id=duty_id, strict_due=due)

    def open_duties(self, *, recipient_kinds: Iterable[str] = ()) -> Mapping[str, DutyState]:
        """The open duties by id, of these kinds of recipient (all if none is named)."""
        kinds = set(recipient_kinds)
        return {
            duty_id: state
            for duty_id, state in self.duties.items()
            if state.is_open and (not kinds or state.duty.recipient_kind in kinds)
        }

    def _get(self, duty_id: str) -> DutyState:
        try:
            return self.duties[duty_id]
        except KeyError:
            raise NotFound(f"There is no duty {duty_id} on record for this incident.", field="duty") from None

    def _open(self, duty_id: str) -> DutyState:
        state = self._get(duty_id)
        if state.fulfilled_at is not None:
            raise IllegalTransition(f"Duty {duty_id} was fulfilled at {state.fulfilled_at.isoformat()}.")
        if state.waived:
            raise IllegalTransition(f"Duty {duty_id} is waived; overturn the waiver first.")
        if state.lifted:
            raise IllegalTransition(f"Duty {duty_id} was lifted: the facts no longer trigger it.")
        return state

    @folds(DutyIdentified)
    def _identified(self, event: DutyIdentified) -> None:
        before = self.duties.get(event.duty.duty_id)
        # A duty that was lifted and comes back keeps what was missed and warned: the record does not forget.
        self.duties[event.duty.duty_id] = (
            DutyState(event.duty) if before is None else replace(before, duty=event.duty, lifted=False, resumed=False)
        )

    @folds(DutyRevised)
    def _revised(self, event: DutyRevised) -> None:
        state = self.duties[event.duty.duty_id]
        state = replace(state, duty=event.duty, resumed=False)
        if restarts_warnings(event) and not state.missed:
            state = replace(state, warned=0, acknowledged=0)
        self.duties[event.duty.duty_id] = state

    @folds(DutyAssigned)
    def _assigned(self, event: DutyAssigned) -> None:
        self.duties[event.duty_id] = replace(self.duties[event.duty_id], owner=event.owner)

    @folds(DutyResumed)
    def _resumed(self, event: DutyResumed) -> None:
        self.duties[event.duty_id] = replace(self.duties[event.duty_id], resumed=True)

    @folds(DelayRequested)
    def _delay_requested(self, event: DelayRequested) -> None:
        said = event.model_dump(include=set(DelayRequest.model_fields))
        self.delays[event.delay_id] = DelayRequest(id=event.delay_id, **said)

    @folds(DelayEnded)
    def _delay_ended(self, event: DelayEnded) -> None:
        request = self.delays[event.delay_id]
        self.delays[event.delay_id] = request.model_copy(update={"ended_at": event.ended_at})

    @folds(DutyLifted)
    def _lifted(self, event: DutyLifted) -> None:
        self.duties[event.duty_id] = replace(self.duties[event.duty_id], lifted=True)

    @folds(DutyWaived)
    def _waived(self, event: DutyWaived) -> None:
        self.duties[event.duty_id] = replace(self.duties[event.duty_id], waived=True)

    @folds(WaiverOverturned)
    def _overturned(self, event: WaiverOverturned) -> None:
        self.duties[event.duty_id] = replace(self.duties[event.duty_id], waived=False)

    @folds(DutyFulfilled)
    def _fulfilled(self, event: DutyFulfilled) -> None:
        self.duties[event.duty_id] = replace(self.duties[event.duty_id], fulfilled_at=event.submitted_at)
        self.submissions[event.rule] = event.submitted_at

    @folds(DutyWarned)
    def _warned(self, event: DutyWarned) -> None:
        self._called_out(event, warned=event.percent)

    @folds(DutyMissed)
    def _missed(self, event: DutyMissed) -> None:
        self._called_out(event, missed=True)

    @folds(DutyAcknowledged)
    def _acknowledged(self, event: DutyAcknowledged) -> None:
        self.duties[event.duty_id] = replace(self.duties[event.duty_id], acknowledged=event.step)

    def _called_out(self, event: DutyWarned | DutyMissed, **changes: Any) -> None:
        state = self.duties[event.duty_id]
        self.duties[event.duty_id] = replace(state, called_out_at=event.recorded_at, **changes)


def own_submission(rule: str) -> str:
    """The clock event of a duty that counts from its own last submission."""
    return f"submitted:{rule}"


def waited_until(state: DutyState, now: datetime) -> datetime | None:
    """The end of a duty's waiting, if that has passed and nobody recorded it yet."""
    delay = state.duty.delay
    if state.duty.status != "paused" or state.resumed or delay is None or delay.until is None:
        return None
    return delay.until if delay.until <= now else None


def restarts_warnings(event: DutyRevised) -> bool:
    """Whether the window moved: what was called out of the old one says nothing about the new one."""
    return not {"clock_at", "strict_due", "reminder_at"}.isdisjoint(event.changed)


def pressing(started: datetime | None, due: datetime | None, reminder: datetime | None, now: datetime) -> int:
    """The step of its window that an open duty has passed, 0 for none.

    With a deadline these are the steps of `WARN_AT`. Where the law names no number ("promptly"), the internal
    reminder is called out once, as step 100: it says that nobody has acted, not that a deadline was missed.
    """
    if started is None:
        return 0
    if due is not None:
        used = window_used(started, due, now)
        return max((step for step in WARN_AT if step <= used), default=0)
    return 100 if reminder is not None and now >= reminder else 0


def window_used(started: datetime, due: datetime, now: datetime) -> float:
    """Percent of the window from `started` to `due` that has passed at `now`; 100 and more when it is over."""
    window = (due - started).total_seconds()
    if window <= 0:
        return 100.0
    return max(0.0, (now - started).total_seconds() / window * 100)


_JUDGED = ("clock_event", "clock_at", "strict_due", "legal_end", "reminder_at", "time_zone", "ends_with_day")


def _no_later(new: datetime | None, judged: datetime | None) -> bool:
    return judged is None or (new is not None and new <= judged)


def _changed(before: DutyOnRecord, after: DutyOnRecord) -> tuple[str, ...]:
    return tuple(
        name
        for name in DutyOnRecord.model_fields
        if name not in _EXPLAINS and getattr(before, name) != getattr(after, name)
    )
