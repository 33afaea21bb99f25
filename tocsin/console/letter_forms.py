"""Letters of a campaign, from its page: batches made, their files saved, and what people say became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from incidents.errors import NotFound
from incidents.privacy import refuse_contacts
from incidents.record import Context
from notifier.letters.events import Part, Stated
from tocsin.access.roles import Permission
from tocsin.console.campaign_page import BASE, CampaignConsole
from tocsin.console.duty_forms import Once
from tocsin.console.form_answers import attached
from tocsin.services import Services

LETTERS = "#h-letters"
"""Where on the page they are."""


class LetterForms:
    """The handlers. Whatever is refused is said on the campaign's page."""

    def __init__(self, console: CampaignConsole) -> None:
        self._console = console

    def make(self, request: Request, name: str, campaign: UUID, once: Once) -> Response:
        """Put together those who could not be reached otherwise."""
        return self._console.carry_out(
            request,
            name,
            campaign,
            (Permission.PREPARE_NOTICES, once, "letters"),
            lambda services, context: services.notifier.letters.make(context, campaign),
            part=LETTERS,
        )

    def export(self, request: Request, name: str, campaign: UUID, batch: UUID, part: Part, once: Once) -> Response:
        """The pages or the addresses, to be saved. That they were given out is on record."""

        def give_out(services: Services, context: Context) -> Response:
            _must_belong(services, campaign, batch)
            found = services.notifier.letters.export(context, batch, part)
            return Response(found.content, media_type=found.media, headers=attached(found.name))

        command = (Permission.READ_HISTORY, once, "letters-export")
        return self._console.carry_out(request, name, campaign, command, give_out, about=batch)

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

        def enter(services: Services, context: Context) -> None:
            _must_belong(services, campaign, batch)
            refuse_contacts(reference, "reference")
            services.notifier.letters.say(context, batch, state, reference.strip())

        command = (Permission.PREPARE_NOTICES, once, f"letters-{state}")
        return self._console.carry_out(request, name, campaign, command, enter, about=batch, part=LETTERS)


def _must_belong(services: Services, campaign: UUID, batch: UUID) -> None:
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
