"""Mails to our own people about duties that press or were missed, repeated until somebody acknowledges (promise 8).

Which ones is read from the deadlines, which may lag; the register, which never does, decides. Rounds are counted from
the instant the step was recorded, so a service that slept sends one mail and not all that it missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import Engine

from incidents.clock import Clock
from incidents.reference import reference_of
from notifier.warnings import Addressee, StaffWarning, StaffWarnings
from notifier.warnings.book import WarningBook
from notifier.warnings.letter import StaffLanguage
from playbooks.duties.register import DutyState
from playbooks.duties.service import DutyService
from projections.deadlines.alarms import CalledOut, unacknowledged
from projections.timeline.sentences import in_language
from tocsin.owners import Owned, Owners
from tocsin.sending import email_channel
from tocsin.services import Services
from tocsin.settings import SmtpMode
from tocsin.settings_warnings import WarningSettings


class WarningsWorker:
    """One look at all warnings that nobody has acknowledged per call."""

    def __init__(
        self,
        engine: Engine,
        duties: DutyService,
        sender: StaffWarnings | None,
        clock: Clock,
        *,
        settings: WarningSettings,
        public_url: str,
        to_groups: StaffWarnings | None = None,
        groups: Sequence[Addressee] = (),
    ) -> None:
        """`sender` mails, where mail is set up; `to_groups` writes to `groups` of our own people."""
        self._engine = engine
        self._duties = duties
        self._sender = sender
        self._to_groups = to_groups
        self._groups = tuple(groups)
        self._clock = clock
        self._settings = settings
        self._owners = Owners(settings)
        self._repeat = timedelta(minutes=settings.repeat_minutes)
        self._public_url = public_url.rstrip("/")

    async def begin(self) -> None:
        """Nothing to take up: claims of a killed process run out by themselves."""

    async def close(self) -> None:
        """Let go of connections."""
        for sender in filter(None, (self._sender, self._to_groups)):
            await sender.close()

    async def run_once(self) -> int:
        """Mail what is due. Always 0: the next look is after the pause."""
        for called_out in unacknowledged(self._engine):
            state = self._duties.register(called_out.incident_id).duties.get(called_out.duty_id)
            if state is not None and state.wants_acknowledgement and state.step == called_out.step:
                await self._tell(called_out, state)
        return 0

    async def _tell(self, called_out: CalledOut, state: DutyState) -> None:
        """Tell the owner; after some repeats, and where there is none, the desk. Each in the language it reads."""
        number = max(0, (self._clock.now() - called_out.at) // self._repeat)
        owner = self._owners.of(owned(state, called_out.incident_assignee))
        if self._to_groups is not None:
            await self._send(self._to_groups, called_out, state, number, self._groups, owner=owner.name)
        if self._sender is None:
            return
        desk = [Addressee(address, self._settings.language) for address in self._settings.email]
        escalated = bool(owner.id) and number >= self._settings.escalate_after
        if owner.id:
            named = self._owners.named(owner.id)
            language = named.language or self._settings.language
            mine = [Addressee(address, language) for address in named.email]
            await self._send(self._sender, called_out, state, number, mine, owner=owner.name)
            told = set(named.email)
            desk = [one for one in desk if one.address not in told] if escalated else []
        await self._send(self._sender, called_out, state, number, desk, owner=owner.name, escalated=escalated)

    async def _send(
        self,
        sender: StaffWarnings,
        called_out: CalledOut,
        state: DutyState,
        number: int,
        addressees: Sequence[Addressee],
        *,
        owner: str,
        escalated: bool = False,
    ) -> None:
        for language in dict.fromkeys(one.language for one in addressees):
            warning = self._warning(called_out, state, number, language)
            told = warning.model_copy(update={"owner": owner, "escalated": escalated})
            await sender.send(told, [one for one in addressees if one.language == language])

    def _warning(self, called_out: CalledOut, state: DutyState, number: int, language: StaffLanguage) -> StaffWarning:
        duty = state.duty
        reference = reference_of(called_out.incident_id)
        return StaffWarning(
            incident_id=called_out.incident_id,
            reference=reference,
            duty_id=called_out.duty_id,
            instrument=in_language(duty.instrument_titles, language) or duty.instrument,
            article=duty.article,
            recipient=in_language(duty.recipient_names, language) or duty.recipient,
            stage=duty.stage,
            step=called_out.step,
            called_out_at=called_out.at,
            round=number,
            waits=duty.status == "paused",
            due=duty.strict_due or (duty.delay.resumes_due or duty.delay.until if duty.delay else None),
            time_zone=duty.time_zone,
            ends_with_day=duty.ends_with_day,
            link=f"{self._public_url}/incidents/{reference}",
        )


def owned(state: DutyState, incident_assignee: str | None) -> Owned:
    """What the owner of a duty depends on."""
    return Owned(
        duty_id=state.duty.duty_id,
        rule=state.duty.rule,
        jurisdiction=state.duty.jurisdiction,
        recipient_kind=state.duty.recipient_kind,
        assigned_to=state.owner,
        incident_assignee=incident_assignee or "",
    )


def open_staff_warnings(services: Services) -> WarningsWorker:
    """The worker over these services, with a mail connection of its own. No connection is opened before a mail."""
    settings = services.settings
    book = WarningBook(services.engine, services.clock, uuid4)
    sender = None
    if settings.smtp.mode is not SmtpMode.NONE:
        channel = email_channel(settings, services.clock, services.profile, connections=1)
        sender = StaffWarnings(book, channel, services.clock)
    groups = settings.im.of_groups()
    return WarningsWorker(
        services.engine,
        services.duties,
        sender,
        services.clock,
        settings=settings.warnings,
        public_url=settings.public_url,
        to_groups=StaffWarnings(book, settings.im.channel(groups), services.clock) if groups else None,
        groups=[Addressee(f"{name}:", settings.im.group_language) for name in groups],
    )
