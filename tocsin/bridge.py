"""What every bridge between rooms does: it acts on an event by commands to the other room, and never stops at one that
the other room refuses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import structlog

from incidents.clock import Clock
from incidents.errors import IllegalTransition, InvalidInput, NotFound
from incidents.record import Aggregate, Context, Event, Record, Recorded, retrying
from playbooks.duties.register import DutyRegister

log = structlog.get_logger(__name__)

ACTOR = "system:bridge"


class Bridge(ABC):
    """A follower's handler. Every command carries its cause, so what a kill repeats has no second effect."""

    def __init__(self, record: Record, clock: Clock) -> None:
        self._record = record
        self._clock = clock

    def __call__(self, recorded: Recorded) -> Sequence[Aggregate]:
        event = recorded.event
        context = Context.of_event(event, self._clock, actor=ACTOR)
        try:
            self._act(event, context)
        except (InvalidInput, IllegalTransition, NotFound) as error:
            # The state of the thing refuses, and will refuse again: repeating would only stop all that comes after.
            log.error("bridge.refused", event_kind=event.kind, reference=event.reference, reason=error.detail)
        return []

    @abstractmethod
    def _act(self, event: Event, context: Context) -> None:
        """Do what the event calls for."""

    def _fulfil(self, incident_id: UUID, duties: Iterable[str], at: datetime, by: str, context: Context) -> None:
        """Of these duties, those that are open yet are fulfilled."""

        def command() -> None:
            register = self._record.find(DutyRegister, DutyRegister.id_for(incident_id))
            if register is None or register.has_done(context):
                return
            for duty_id in duties:
                state = register.duties.get(duty_id)
                if state is not None and state.is_open:
                    register.fulfil(incident_id, duty_id, at, by, context)
            self._record.commit(register)

        retrying(command)
