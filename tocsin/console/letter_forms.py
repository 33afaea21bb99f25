"""Letters of a campaign, from its page: batches made, their files saved, and what people say became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from incidents.errors import NotFound, TocsinError
from incidents.privacy import refuse_contacts
from notifier.letters.events import Part, Stated
from tocsin.access.roles import Permission
from tocsin.api.paths import incident_named
from tocsin.console.campaign_page import BASE, CampaignConsole, campaign_of
from tocsin.console.duty_forms import Once, back_to, command_of
from tocsin.console.form_answers import attached
from tocsin.services import Services


class LetterForms:
    """The handlers. Whatever is refused is said on the campaign's page."""

    def __init__(self, console: CampaignConsole) -> None:
        self._console = console

    def make(self, request: Request, name: str, campaign: UUID, once: Once) -> Response:
        """Put together those who could not be reached otherwise."""
        services, context = command_of(request, Permission.PREPARE_NOTICES, once, "letters", str(campaign))
        campaign_of(services, incident_named(services, name), campaign)
        try:
            services.notifier.letters.make(context, campaign)
        except TocsinError as error:
            return self._console.again(request, name, campaign, error)
        return back_to(request, name, f"/campaigns/{campaign}#h-letters")

    def export(self, request: Request, name: str, campaign: UUID, batch: UUID, part: Part, once: Once) -> Response:
        """The pages or the addresses, to be saved. That they were given out is on record."""
        services, context = command_of(request, Permission.READ_HISTORY, once, "letters-export", str(batch))
        _must_belong(services, name, campaign, batch)
        try:
            found = services.notifier.letters.export(context, batch, part)
        except TocsinError as error:
            return self._console.again(request, name, campaign, error)
        return Response(found.content, media_type=found.media, headers=attached(found.name))

    def say(
        self,
        request: Request,
        name: str,
        campaign: UUID,
        batch: UUID,
        once: Once,
        state: Annotated[Stated, Form()],
        reference: Annotated[str, Form(max_length=200)] = "",
    ) -> Response:
        """How far the letters are, by the word of whoever says so."""
        services, context = command_of(request, Permission.PREPARE_NOTICES, once, f"letters-{state}", str(batch))
        _must_belong(services, name, campaign, batch)
        try:
            refuse_contacts(reference, "reference")
            services.notifier.letters.say(context, batch, state, reference.strip())
        except TocsinError as error:
            return self._console.again(request, name, campaign, error)
        return back_to(request, name, f"/campaigns/{campaign}#h-letters")


def _must_belong(services: Services, name: str, campaign: UUID, batch: UUID) -> None:
    campaign_of(services, incident_named(services, name), campaign)
    if services.notifier.letters.view(batch).campaign_id != campaign:
        raise NotFound("That campaign has no such letters.", field="batch")


def add_letter_forms(router: APIRouter, console: CampaignConsole, dependencies: Sequence[Any]) -> None:
    """Add the routes. `dependencies` refuse what another site sent."""
    forms, batch = LetterForms(console), "/letters/{batch}"
    for path, command in (
        ("/letters", forms.make),
        (f"{batch}/files/{{part}}", forms.export),
        (f"{batch}/statement", forms.say),
    ):
        router.add_api_route(f"{BASE}{path}", command, methods=["POST"], dependencies=list(dependencies))
