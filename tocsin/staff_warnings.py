"""Mails to our own people about duties that press or were missed, repeated until somebody acknowledges (promise 8).

Which ones is read from the deadlines, which may lag; the register, which never does, decides. Rounds are counted from
the instant the step was recorded, so a service that slept sends one mail and not all that it missed.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from sqlalchemy import Engine

from incidents.clock import Clock
from incidents.reference import reference_of
from notifier.warnings import StaffWarning, StaffWarnings
from notifier.warnings.book import WarningBook
from notifier.warnings.letter import StaffLanguage
from playbooks.duties.register import DutyState
from playbooks.duties.service import DutyService
from projections.deadlines.alarms import CalledOut, unacknowledged
from projections.timeline.sentences import in_language
from tocsin.sending import email_channel
from tocsin.services import Services


class WarningsWorker:
    """One look at all warnings that nobody has acknowledged per call."""

    def __init__(
        self,
        engine: Engine,
        duties: DutyService,
        sender: StaffWarnings,
        clock: Clock,
        *,
        repeat: timedelta,
        public_url: str,
        language: StaffLanguage,
    ) -> None:
        self._engine = engine
        self._duties = duties
        self._sender = sender
        self._clock = clock
        self._repeat = repeat
        self._public_url = public_url.rstrip("/")
        self._language = language

    async def begin(self) -> None:
        """Nothing to take up: claims of a killed process run out by themselves."""

    async def close(self) -> None:
        """Let go of connections."""
        await self._sender.close()

    async def run_once(self) -> int:
        """Mail what is due. Always 0: the next look is after the pause."""
        for called_out in unacknowledged(self._engine):
            state = self._duties.register(called_out.incident_id).duties.get(called_out.duty_id)
            if state is not None and state.wants_acknowledgement and state.step == called_out.step:
                await self._sender.send(self._warning(called_out, state))
        return 0

    def _warning(self, called_out: CalledOut, state: DutyState) -> StaffWarning:
        duty = state.duty
        reference = reference_of(called_out.incident_id)
        since = self._clock.now() - called_out.at
        return StaffWarning(
            incident_id=called_out.incident_id,
            reference=reference,
            duty_id=called_out.duty_id,
            instrument=in_language(duty.instrument_titles, self._language) or duty.instrument,
            article=duty.article,
            recipient=in_language(duty.recipient_names, self._language) or duty.recipient,
            stage=duty.stage,
            step=called_out.step,
            called_out_at=called_out.at,
            round=max(0, since // self._repeat),
            due=duty.strict_due,
            time_zone=duty.time_zone,
            ends_with_day=duty.ends_with_day,
            link=f"{self._public_url}/incidents/{reference}",
        )


def open_staff_warnings(services: Services) -> WarningsWorker:
    """The worker over these services, with a mail connection of its own. No connection is opened before a mail."""
    settings = services.settings
    channel = email_channel(settings, services.clock, services.profile, connections=1)
    sender = StaffWarnings(
        WarningBook(services.engine, services.clock, uuid4),
        channel,
        services.clock,
        addresses=settings.warnings.email,
        language=settings.warnings.language,
    )
    return WarningsWorker(
        services.engine,
        services.duties,
        sender,
        services.clock,
        repeat=timedelta(minutes=settings.warnings.repeat_minutes),
        public_url=settings.public_url,
        language=settings.warnings.language,
    )
