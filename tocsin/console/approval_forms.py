"""The way of a notice to its approval, from its page: asked for, given by a second person by digest, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from incidents.errors import TocsinError
from incidents.privacy import refuse_contacts
from tocsin.access.roles import Permission
from tocsin.api.paths import incident_named
from tocsin.console.campaign_page import BASE, CampaignConsole, campaign_of
from tocsin.console.duty_forms import Once, back_to, command_of

Digest = Annotated[str, Form(max_length=200)]
Reason = Annotated[str, Form(max_length=4_000)]


class ApprovalForms:
    """The handlers. Whatever is refused is said on the campaign's page."""

    def __init__(self, console: CampaignConsole) -> None:
        self._console = console

    def ask(self, request: Request, name: str, campaign: UUID, once: Once) -> Response:
        """Ask a second person to approve exactly this text and this audience."""
        services, context = command_of(request, Permission.PREPARE_NOTICES, once, "ask", str(campaign))
        campaign_of(services, incident_named(services, name), campaign)
        try:
            services.campaigns.request_approval(context, campaign)
        except TocsinError as error:
            return self._console.again(request, name, campaign, error)
        return back_to(request, name, f"/campaigns/{campaign}")

    def approve(
        self,
        request: Request,
        name: str,
        campaign: UUID,
        once: Once,
        text_digest: Digest,
        audience_digest: Digest,
        override_reason: Reason = "",
    ) -> Response:
        """Approve the text that was on the page, for the audience that it named."""
        services, context = command_of(request, Permission.APPROVE, once, "approve", str(campaign))
        campaign_of(services, incident_named(services, name), campaign)
        try:
            refuse_contacts(override_reason, "override_reason")
            services.campaigns.approve(
                context,
                campaign,
                text_digest=text_digest,
                audience_digest=audience_digest,
                override_reason=override_reason.strip() or None,
            )
        except TocsinError as error:
            return self._console.again(request, name, campaign, error)
        return back_to(request, name, f"/campaigns/{campaign}")

    def reject(self, request: Request, name: str, campaign: UUID, once: Once, reason: Reason = "") -> Response:
        """Say no, with a reason the author can work with. An approval can be taken back until the start."""
        services, context = command_of(request, Permission.APPROVE, once, "reject", str(campaign))
        campaign_of(services, incident_named(services, name), campaign)
        try:
            services.campaigns.reject(context, campaign, reason=reason)
        except TocsinError as error:
            return self._console.again(request, name, campaign, error)
        return back_to(request, name, f"/campaigns/{campaign}")


def add_approval_forms(router: APIRouter, console: CampaignConsole, dependencies: Sequence[Any]) -> None:
    """Add the routes. `dependencies` refuse what another site sent."""
    forms = ApprovalForms(console)
    for path, command in (
        ("approval-request", forms.ask),
        ("approval", forms.approve),
        ("rejection", forms.reject),
    ):
        router.add_api_route(f"{BASE}/{path}", command, methods=["POST"], dependencies=list(dependencies))
