"""The page of the list of addresses not to be written to: ask about one, add one, lift one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from incidents.errors import Forbidden, InvalidInput, TocsinError
from notifier.suppression import Suppression
from tocsin.access.roles import Permission
from tocsin.api.problems import ProblemRaised
from tocsin.api.scopes import door_of
from tocsin.console.form_answers import said_of, status_of
from tocsin.console.pages import Pages
from tocsin.console.viewers import Viewer, viewer_of
from tocsin.services import Services

PATH = "/suppressions"
SHOWN = 50
MAX_FIELDS = 10


@dataclass(frozen=True, slots=True)
class SuppressionPage:
    """Everything on the page. `found`: what is on record of the address asked about; None: nobody asked."""

    in_force: dict[str, int]
    items: tuple[Suppression, ...]
    found: tuple[Suppression, ...] | None
    refused: str | None
    may_add: bool
    may_lift: bool


class SuppressionConsole:
    """The handlers of the page."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def show(self, request: Request) -> Response:
        """The page."""
        viewer = viewer_of(request)
        if viewer is None:
            return RedirectResponse(f"/login?next={PATH}", 303)
        return self._page(request, viewer)

    async def act(self, request: Request) -> Response:
        """Ask, add or lift. The address is in the form's body, so that it stands in no address bar and no log."""
        viewer = viewer_of(request)
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            raise ProblemRaised("forbidden", "This form was sent by another site.")
        if viewer is None or viewer.principal is None:
            return RedirectResponse(f"/login?next={PATH}", 303)
        async with request.form(max_files=0, max_fields=MAX_FIELDS, max_part_size=8 * 1024) as form:
            return await run_in_threadpool(self._done, request, viewer, form)

    def _done(self, request: Request, viewer: Viewer, form: FormData) -> Response:
        services = door_of(request.scope).services
        what, address = str(form.get("what", "")), str(form.get("address", ""))[:320]
        found: tuple[Suppression, ...] | None = None
        try:
            if what == "lift":
                self._lift(services, viewer, form)
                return RedirectResponse(PATH, 303)
            who = _refuse_unless(viewer, Permission.PREPARE_NOTICES)
            if what == "add":
                services.notifier.suppressions.add(
                    address, reason="manual", by=who, note=str(form.get("note", ""))[:500] or None
                )
            found = services.notifier.suppressions.of(address)
        except Forbidden:
            raise
        except TocsinError as error:
            return self._page(request, viewer, refused=said_of(error), status=status_of(error))
        return self._page(request, viewer, found=found)

    def _lift(self, services: Services, viewer: Viewer, form: FormData) -> None:
        who = _refuse_unless(viewer, Permission.APPROVE)
        try:
            suppression_id = UUID(str(form.get("suppression", "")))
        except ValueError:
            raise InvalidInput("That is no entry of the list.", field="suppression") from None
        services.notifier.suppressions.lift(suppression_id, by=who, reason=str(form.get("reason", ""))[:500])

    def _page(
        self,
        request: Request,
        viewer: Viewer,
        *,
        found: tuple[Suppression, ...] | None = None,
        refused: str | None = None,
        status: int = 200,
    ) -> Response:
        listed = door_of(request.scope).services.notifier.suppressions
        who = viewer.principal
        page = SuppressionPage(
            in_force=listed.counts(),
            items=listed.newest(limit=SHOWN),
            found=found,
            refused=refused,
            may_add=who is not None and who.may(Permission.PREPARE_NOTICES),
            may_lift=who is not None and who.may(Permission.APPROVE),
        )
        return self._pages.render(request, "suppressions.html", viewer=viewer, status=status, page=page)


def _refuse_unless(viewer: Viewer, permission: Permission) -> str:
    if viewer.principal is None or not viewer.principal.may(permission):
        raise Forbidden(f"This needs the permission {permission}.")
    return viewer.principal.actor


def add_suppression_pages(router: APIRouter, pages: Pages) -> None:
    """Add the page's routes."""
    console = SuppressionConsole(pages)
    router.add_api_route(PATH, console.show, methods=["GET"])
    router.add_api_route(PATH, console.act, methods=["POST"])
