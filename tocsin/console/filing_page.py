"""The page of a filing: what it must say, who or what says it, whom it goes to; and the forms that change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from incidents.errors import FieldFault, Forbidden, InvalidInput, TocsinError
from incidents.incident.incident import Incident
from incidents.record import Context
from incidents.reference import reference_of
from playbooks.filings.events import ItemWritten
from playbooks.filings.prepare import PreparedFiling, Receiver
from playbooks.filings.service import FilingView
from tocsin.access.keys import Principal
from tocsin.access.roles import Permission
from tocsin.api.commands import command_id_of
from tocsin.api.paths import incident_named
from tocsin.api.problems import ProblemRaised
from tocsin.api.routes.filings import may_see_addresses
from tocsin.api.scopes import door_of
from tocsin.console.form_answers import status_of
from tocsin.console.pages import Pages
from tocsin.console.viewers import Viewer, viewer_of
from tocsin.services import Services

Act = Callable[[Services, UUID, str, Context, FormData], None]

MAX_FIELDS = 400
TAGS = {"en": "en", "zh": "zh-Hans"}


@dataclass(frozen=True, slots=True)
class Refused:
    """What a form was refused for, and what had been typed into it."""

    detail: str
    faults: tuple[FieldFault, ...] = ()
    typed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FilingPage:
    """Everything on the page."""

    reference: str
    title: str
    view: FilingView
    receivers: tuple[Receiver, ...]
    warnings: tuple[str, ...]
    document: PreparedFiling
    may_write: bool
    may_decide: bool
    token: str
    """Names the next command, so that a form sent twice has one effect."""


def gather(services: Services, incident_id: UUID, duty_id: str, viewer: Viewer) -> FilingPage:
    """The page's content. NotFound when there is no such duty."""
    tag, who = TAGS[viewer.language], viewer.principal
    seen = who is not None and may_see_addresses(who)
    view = services.filings.view(incident_id, duty_id, tag)
    is_open = view.state.fulfilled_at is None
    return FilingPage(
        reference=reference_of(incident_id),
        title=services.record.load(Incident, incident_id).title,
        view=view,
        receivers=services.filings.addressed(view, with_addresses=seen),
        warnings=tuple(warning.words(tag) for warning in view.receivers.warnings),
        document=services.filings.document(incident_id, duty_id, language=tag, with_addresses=seen),
        may_write=is_open and who is not None and who.may(Permission.HANDLE_INCIDENTS),
        may_decide=is_open and who is not None and who.may(Permission.DECIDE_DUTIES),
        token=str(uuid4()),
    )


class FilingConsole:
    """The handlers of the page."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def show(self, request: Request, name: str, duty: str) -> Response:
        """The page."""
        viewer = viewer_of(request)
        if viewer is None:
            return RedirectResponse("/login", 303)
        services = door_of(request.scope).services
        return self._page(request, services, incident_named(services, name), duty, viewer)

    async def write(self, request: Request, name: str, duty: str) -> Response:
        """Take over what was typed into the items."""
        return await self._act(request, name, duty, Permission.HANDLE_INCIDENTS, _write)

    async def approve(self, request: Request, name: str, duty: str) -> Response:
        """Approve what was on the page."""
        return await self._act(request, name, duty, Permission.DECIDE_DUTIES, _approve)

    async def submit(self, request: Request, name: str, duty: str) -> Response:
        """Record that it went out."""
        return await self._act(request, name, duty, Permission.DECIDE_DUTIES, _submit)

    async def _act(self, request: Request, name: str, duty: str, needed: Permission, act: Act) -> Response:
        viewer = viewer_of(request)
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            raise ProblemRaised("forbidden", "This form was sent by another site.")
        if viewer is None or viewer.principal is None:
            return RedirectResponse("/login", 303)
        if not viewer.principal.may(needed):
            raise Forbidden(f"This needs the permission {needed}.")
        async with request.form(max_files=0, max_fields=MAX_FIELDS, max_part_size=64 * 1024) as form:
            return await run_in_threadpool(self._done, request, name, duty, viewer, viewer.principal, form, act)

    def _done(
        self,
        request: Request,
        name: str,
        duty: str,
        viewer: Viewer,
        principal: Principal,
        form: FormData,
        act: Act,
    ) -> Response:
        services = door_of(request.scope).services
        incident_id = incident_named(services, name)
        token = str(form.get("token", "")) or None
        context = Context.of_command(
            principal.actor, services.clock, command_id=command_id_of(principal, token and f"console {token}")
        )
        try:
            act(services, incident_id, duty, context, form)
        except TocsinError as error:
            typed = {field: str(value) for field, value in form.items() if isinstance(value, str)}
            refused = Refused(error.detail, tuple(error.errors), typed)
            return self._page(request, services, incident_id, duty, viewer, refused=refused, status=status_of(error))
        return RedirectResponse(request.url.path.rpartition("/")[0], 303)

    def _page(
        self,
        request: Request,
        services: Services,
        incident_id: UUID,
        duty: str,
        viewer: Viewer,
        *,
        refused: Refused | None = None,
        status: int = 200,
    ) -> Response:
        page = gather(services, incident_id, duty, viewer)
        return self._pages.render(request, "filing.html", viewer=viewer, status=status, page=page, refused=refused)


def _write(services: Services, incident_id: UUID, duty: str, context: Context, form: FormData) -> None:
    """Only what differs from what was written before: a page that is saved unchanged records nothing."""
    said = services.filings.view(incident_id, duty).filing.said
    typed: dict[str, ItemWritten] = {}
    for key, value in form.items():
        kind, _, item = key.partition(".")
        if kind == "text" and isinstance(value, str):
            new = ItemWritten(text=value.replace("\r\n", "\n").strip(), not_yet_known=f"unknown.{item}" in form)
            if new != (said[item].item if item in said else ItemWritten()):
                typed[item] = new
    if typed:
        services.filings.write(incident_id, duty, context, typed)


def _approve(services: Services, incident_id: UUID, duty: str, context: Context, form: FormData) -> None:
    services.filings.approve(
        incident_id,
        duty,
        context,
        digest=str(form.get("digest", "")),
        override_reason=str(form.get("override_reason", "")) or None,
    )


def _submit(services: Services, incident_id: UUID, duty: str, context: Context, form: FormData) -> None:
    at, reference = str(form.get("submitted_at", "")).strip(), str(form.get("reference", "")).strip()
    if len(reference) > 64 or not reference.isprintable():
        raise InvalidInput("The receiver's reference has at most 64 printable characters.", field="reference")
    services.filings.submit(
        incident_id,
        duty,
        context,
        submitted_at=_instant(at) if at else None,
        reference=reference,
        override_reason=str(form.get("override_reason", "")) or None,
    )


def _instant(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise InvalidInput("Write the time with its zone, such as 2026-11-20T09:30+08:00.", field="submitted_at")
    return when


def add_filing_pages(router: APIRouter, pages: Pages) -> None:
    """Add the page's routes."""
    console = FilingConsole(pages)
    path = "/incidents/{name}/filings/{duty}"
    router.add_api_route(path, console.show, methods=["GET"])
    router.add_api_route(f"{path}/items", console.write, methods=["POST"])
    router.add_api_route(f"{path}/approval", console.approve, methods=["POST"])
    router.add_api_route(f"{path}/submission", console.submit, methods=["POST"])
