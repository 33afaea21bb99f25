"""Test sends: the notice as it stands to colleagues named in the settings, marked as a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from incidents.errors import IllegalTransition
from incidents.record import Context
from notifier.campaigns.trial import MOST, TrialMail
from tocsin.access.roles import Permission
from tocsin.api.commands import Command, CommandRoute, commands
from tocsin.api.responses import CHANGING
from tocsin.api.scopes import Parts
from tocsin.api.values import RequestModel, ResponseModel, Word
from tocsin.sending import email_channel
from tocsin.services import Services
from tocsin.settings import SmtpMode

router = APIRouter(prefix="/v1", tags=["campaigns"], route_class=CommandRoute)

Prepares = Annotated[Command, commands(Permission.PREPARE_NOTICES)]
CampaignId = Annotated[UUID, Path(examples=["0b7f6c1e-8a51-4a3f-9d0e-2f3f6b1c8a77"])]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", max_length=35)]


class SendTrial(RequestModel):
    """Who gets it, by the names of the settings."""

    to: Annotated[list[Word], Field(min_length=1, max_length=MOST, description="Names under `[warnings.owners]`.")]
    languages: Annotated[list[Language], Field(max_length=MOST)] = Field(
        [], description="None given: every language of the audience."
    )


class TrialSent(ResponseModel):
    """What the mail server said of each mail."""

    mails: tuple[TrialMail, ...]


@router.post("/campaigns/{campaign}/test-mails", summary="Mail a test to colleagues", responses=CHANGING)
async def send(command: Prepares, campaign: CampaignId, body: SendTrial, services: Parts) -> TrialSent:
    """Before it is sent: the notice as it stands, marked as a test, by mail to colleagues. It counts for nothing."""
    return TrialSent(
        mails=await mail_trial(services, command.context(services.clock), campaign, body.to, body.languages)
    )


async def mail_trial(
    services: Services, context: Context, campaign: UUID, to: Sequence[str], languages: Sequence[str]
) -> tuple[TrialMail, ...]:
    """Mail it and wait for the server's answers. IllegalTransition where no mail server is set."""
    settings, trials = services.settings, services.trials
    view, chosen = await run_in_threadpool(trials.plan, campaign, to, languages)
    if settings.smtp.mode is SmtpMode.NONE:
        raise IllegalTransition("No mail server is set; set `smtp`.")
    channel = email_channel(settings, services.clock, services.profile, connections=1)
    return await trials.send(context, view, to, chosen, channel)
