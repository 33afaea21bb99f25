"""What is recorded of a playbook run. One stream per run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from incidents.record.event import Event, Instant


class RunStarted(Event, kind="run.started"):
    """A playbook began for an incident, with a frozen copy of its definition."""

    incident_id: UUID
    playbook: str
    definition: dict[str, Any]
    definition_digest: str
    drill: bool = False


class StepStarted(Event, kind="run.step-started"):
    """A step is open: a task waits for a person, an approval for another, a wait for an event or a time."""

    incident_id: UUID
    step: str
    step_kind: str
    title: dict[str, str]
    """Language tag to text."""
    details: dict[str, Any] = Field(default_factory=dict)


class StepCompleted(Event, kind="run.step-completed"):
    """A step is done, with its outcome (`done`, `approved`, `rejected`, `sent`, `filed`, `skipped`)."""

    incident_id: UUID
    step: str
    outcome: str
    comment: str = ""
    details: dict[str, Any] = Field(default_factory=dict)


class TimerSet(Event, kind="run.timer-set"):
    """Something will happen at `due_at` unless it is cancelled first."""

    incident_id: UUID
    timer_id: UUID
    step: str
    due_at: Instant


class TimerFired(Event, kind="run.timer-fired"):
    """The time of a timer came."""

    incident_id: UUID
    timer_id: UUID
    step: str


class TimerCancelled(Event, kind="run.timer-cancelled"):
    """What the timer waited for came first."""

    incident_id: UUID
    timer_id: UUID
    step: str


class RunFinished(Event, kind="run.finished"):
    """No step is left."""

    incident_id: UUID
    outcome: str


EVENTS: tuple[type[Event], ...] = (
    RunStarted,
    StepStarted,
    StepCompleted,
    TimerSet,
    TimerFired,
    TimerCancelled,
    RunFinished,
)
