"""Requests of authorities to wait: record one, end one, see what each duty does with it; and who may own duties."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field, ValidationError

from incidents.errors import FieldFault, InvalidInput
from incidents.incident.incident import Incident
from playbooks.duties.register import DutyRegister, DutyState
from playbooks.law.delays import DelayAuthority, DelayForm, DelayRequest
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS
from tocsin.api.commands import Command, CommandRoute, commands
from tocsin.api.paths import IncidentId
from tocsin.api.responses import CHANGING, READING, READING_ONE
from tocsin.api.scopes import Parts
from tocsin.api.values import Line, Reason, RequestModel, ResponseModel, Text, ZonedTime
from tocsin.background import automation_of
from tocsin.owners import Owners
from tocsin.services import Services

router = APIRouter(prefix="/v1", tags=["duties"], route_class=CommandRoute)

Decides = Annotated[Command, commands(Permission.DECIDE_DUTIES)]
DelayName = Annotated[str, Path(pattern=r"^[A-Za-z0-9-]{1,64}$", description="The request's id.")]


class AskToWait(RequestModel):
    """What an authority asked."""

    by: DelayAuthority = Field(description="Who asks; each duty waits only for whom its law names.")
    authority: Line = Field(
        examples=["FBI, Dallas field office"], description="Its name, and the function of who spoke for it."
    )
    form: DelayForm = Field(description="Some laws let a duty wait for a written request only, or for a shorter time.")
    stated_at: ZonedTime | None = Field(None, description="When it was asked, if not now.")
    until: ZonedTime | None = Field(None, description="Until when; without it until the authority says otherwise.")
    extraordinary: bool = Field(False, description="It claims extraordinary circumstances (Form 8-K Item 1.05(c)).")
    reason: Annotated[Text, Field(max_length=4_000)] = Field("", description="Why, in the words of the authority.")

    def request(self, delay_id: str, now: datetime) -> DelayRequest:
        """The request as the law reads it. InvalidInput where its times do not fit."""
        try:
            return DelayRequest(id=delay_id, **{**self.model_dump(), "stated_at": self.stated_at or now})
        except ValidationError as fault:
            raise InvalidInput(
                "The request ends before it was made.", errors=[FieldFault("until", "must come after stated_at")]
            ) from fault


class EndWaiting(RequestModel):
    """A request no longer stands."""

    ended_at: ZonedTime | None = Field(None, description="Since when, if not now.")
    reason: Reason


class Effect(ResponseModel):
    """What a duty does with the requests on record."""

    duty_id: str
    recipient: str
    status: str
    pauses: bool
    until: datetime | None
    resumes_due: datetime | None
    strict_due: datetime | None

    @classmethod
    def of(cls, state: DutyState) -> Effect:
        """Of one duty."""
        duty, delay = state.duty, state.duty.delay
        pauses = duty.status == "paused"
        return cls(
            duty_id=duty.duty_id,
            recipient=duty.recipient,
            status=duty.status,
            pauses=pauses,
            until=delay.until if delay is not None and pauses else None,
            resumes_due=delay.resumes_due if delay is not None and pauses else None,
            strict_due=duty.strict_due,
        )


class Waiting(ResponseModel):
    """The requests on record, and what every open duty does with them."""

    delays: tuple[DelayRequest, ...]
    effects: tuple[Effect, ...]


class OwnerNamed(ResponseModel):
    """Somebody who may own duties. No address."""

    id: str
    name: str


class OwnersNamed(ResponseModel):
    """All of them."""

    items: tuple[OwnerNamed, ...]


@router.get("/owners", summary="Who may own duties", dependencies=[READS], responses=READING)
def list_owners(services: Parts) -> OwnersNamed:
    """The owners of the settings, by id."""
    known = Owners(services.settings.warnings).known()
    return OwnersNamed(items=tuple(OwnerNamed(id=name, name=known[name]) for name in sorted(known)))


@router.get("/incidents/{incident}/delays", summary="Requests to wait", dependencies=[READS], responses=READING_ONE)
def list_delays(incident: IncidentId, services: Parts) -> Waiting:
    """The requests on record, those that ended included, and what every open duty does with them."""
    return _waiting(services, incident, services.duties.register(incident))


@router.post("/incidents/{incident}/delays", status_code=201, summary="Record a request to wait", responses=CHANGING)
def request_delay(command: Decides, incident: IncidentId, body: AskToWait, services: Parts) -> Waiting:
    """An authority asks that telling wait. Each duty waits as its own law lets it, or not at all; the answer says
    which. What pauses runs on by itself when its time is over."""
    request = body.request(str(command.command_id), services.clock.now())
    services.duties.request_delay(incident, command.context(services.clock), request)
    return _waiting(services, incident, _derived(services, command, incident))


@router.post(
    "/incidents/{incident}/delays/{delay}/end", status_code=201, summary="End a request to wait", responses=CHANGING
)
def end_delay(command: Decides, incident: IncidentId, delay: DelayName, body: EndWaiting, services: Parts) -> Waiting:
    """The authority says that nothing stands in the way any more, or the request was recorded by mistake."""
    services.duties.end_delay(
        incident, delay, command.context(services.clock), reason=body.reason, ended_at=body.ended_at
    )
    return _waiting(services, incident, _derived(services, command, incident))


def _derived(services: Services, command: Command, incident: UUID) -> DutyRegister:
    """The register as it will be when the automation has followed; nothing is recorded here."""
    found = services.record.load(Incident, incident)
    return automation_of(services).derive(found, command.context(services.clock))


def _waiting(services: Services, incident: UUID, derived: DutyRegister) -> Waiting:
    return Waiting(
        delays=services.duties.delays(incident),
        effects=tuple(Effect.of(state) for state in derived.open_duties().values() if state.duty.status in SHOWN),
    )


SHOWN = frozenset({"due", "paused", "waiting_for_clock"})
"""Of possible duties nobody can say yet whether they exist."""
