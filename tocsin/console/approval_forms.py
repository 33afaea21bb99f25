"""The way of a notice to its approval, from its page: asked for, given by a second person by digest, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from incidents.privacy import refuse_contacts
from incidents.record import Context
from tocsin.access.roles import Permission
from tocsin.console.campaign_page import BASE, CampaignConsole
from tocsin.console.duty_forms import Once
from tocsin.services import Services

Digest = Annotated[str, Form(max_length=200)]
Reason = Annotated[str, Form(max_length=4_000)]


class ApprovalForms:
    """The handlers. Whatever is refused is said on the campaign's page."""

    def __init__(self, console: CampaignConsole) -> None:
        self._console = console

    def ask(self, request: Request, name: str, campaign: UUID, once: Once) -> Response:
        """Ask a second person to approve exactly this text and this audience."""
        return self._console.carry_out(
            request,
            name,
            campaign,
            (Permission.PREPARE_NOTICES, once, "ask"),
            lambda services, context: services.campaigns.request_approval(context, campaign),
        )

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

        def give(services: Services, context: Context) -> None:
            refuse_contacts(override_reason, "override_reason")
            services.campaigns.approve(
                context,
                campaign,
                text_digest=text_digest,
                audience_digest=audience_digest,
                override_reason=override_reason.strip() or None,
            )

        return self._console.carry_out(request, name, campaign, (Permission.APPROVE, once, "approve"), give)

    def reject(self, request: Request, name: str, campaign: UUID, once: Once, reason: Reason = "") -> Response:
        """Say no, with a reason the author can work with. An approval can be taken back until the start."""
        return self._console.carry_out(
            request,
            name,
            campaign,
            (Permission.APPROVE, once, "reject"),
            lambda services, context: services.campaigns.reject(context, campaign, reason=reason),
        )


def add_approval_forms(router: APIRouter, console: CampaignConsole, dependencies: Sequence[Any]) -> None:
    """Add the routes. `dependencies` refuse what another site sent."""
    forms = ApprovalForms(console)
    for path, command in (
        ("approval-request", forms.ask),
        ("approval", forms.approve),
        ("rejection", forms.reject),
    ):
        router.add_api_route(f"{BASE}/{path}", command, methods=["POST"], dependencies=list(dependencies))
