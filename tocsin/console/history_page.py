"""The page on which what became of one person is looked up, for those who may know. Every look is on record; the
address comes in with a form and is never shown again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from incidents.errors import InvalidInput, NotAuthenticated
from incidents.record import Context
from incidents.reference import reference_of
from notifier.history.events import By
from projections.coverage.history import PersonHistory
from tocsin.access.roles import Permission
from tocsin.api.authentication import refuse_unless
from tocsin.console.duty_forms import Once, command_of
from tocsin.console.form_answers import attached, said_of
from tocsin.console.pages import Pages
from tocsin.console.viewers import Viewer, viewer_of
from tocsin.services import Services

PATH = "/history"
MOST = 50
"""People looked up again for a file: the random ids of one person, one for each audience."""

Known = Annotated[str, Form(max_length=320)]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Everything on the page. `items`: what was found; None: nobody asked yet."""

    items: tuple[PersonHistory, ...] | None
    references: dict[UUID, str]
    """References of incidents."""
    recipients: tuple[UUID, ...]
    """The person's random ids, by which the same can be had as a file."""
    unsearched: int
    """Audiences that an address is not found in."""
    refused: str | None
    reason: str
    """As typed, to go on with; it holds nothing personal, or it is refused."""
    once: UUID


class HistoryConsole:
    """The handlers of the page."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def show(self, request: Request) -> Response:
        """The form."""
        viewer = viewer_of(request)
        if viewer is None or viewer.principal is None:
            return RedirectResponse(f"/login?next={PATH}", 303)
        refuse_unless(viewer.principal, Permission.READ_HISTORY)
        return self._page(request, viewer)

    def look_up(
        self,
        request: Request,
        once: Once,
        known: Known = "",
        by: Annotated[Literal["address", "reference"], Form()] = "address",
        reason: Annotated[str, Form(max_length=1_000)] = "",
    ) -> Response:
        """What became of the person. What is known of them stands in no address bar and no log."""
        services, context = command_of(request, Permission.READ_HISTORY, once, "history", by)
        viewer = _viewer(request)
        try:
            if not known.strip():
                raise InvalidInput("Type an address, or the reference in a notice.", field="known")
            found = services.history.search(context, by=by, value=known.strip(), reason=reason)
        except InvalidInput as error:
            kept = "" if any(fault.field == "reason" for fault in error.errors) else reason
            return self._page(request, viewer, refused=said_of(error), reason=kept, status=422)
        unsearched = len(services.history.unsearched(by))
        return self._page(request, viewer, found=found, unsearched=unsearched, reason=reason)

    def save(
        self,
        request: Request,
        once: Once,
        recipient: Annotated[list[UUID], Form(min_length=1, max_length=MOST)],
        reason: Annotated[str, Form(max_length=1_000)] = "",
    ) -> Response:
        """The same as a file, asked for by random ids. It is a look of its own."""
        services, context = command_of(request, Permission.READ_HISTORY, once, "history-person-file")
        try:
            found = _all_of(services, context, recipient, reason)
        except InvalidInput as error:
            return self._page(request, _viewer(request), refused=said_of(error), status=422)
        items = [one.model_dump(mode="json") for one in found]
        content = json.dumps({"items": items}, ensure_ascii=False, indent=2).encode()
        return Response(content, media_type="application/json", headers=attached("history.json"))

    def _page(
        self,
        request: Request,
        viewer: Viewer,
        *,
        found: tuple[PersonHistory, ...] | None = None,
        unsearched: int = 0,
        refused: str | None = None,
        reason: str = "",
        status: int = 200,
    ) -> Response:
        items = found or ()
        page = HistoryPage(
            items=found,
            references={one.incident_id: reference_of(one.incident_id) for one in items},
            recipients=tuple(dict.fromkeys(one.recipient_id for one in items))[:MOST],
            unsearched=unsearched,
            refused=refused,
            reason=reason,
            once=uuid4(),
        )
        return self._pages.render(request, "history.html", viewer=viewer, status=status, page=page)


def _all_of(services: Services, context: Context, recipients: Sequence[UUID], reason: str) -> tuple[PersonHistory, ...]:
    by: By = "recipient"
    found: dict[tuple[UUID, UUID], PersonHistory] = {}
    for one in dict.fromkeys(recipients):
        for history in services.history.search(context, by=by, value=str(one), reason=reason):
            found[history.campaign_id, history.recipient_id] = history
    return tuple(found.values())


def _viewer(request: Request) -> Viewer:
    viewer = viewer_of(request)
    if viewer is None:
        raise NotAuthenticated("Log in first: every look carries a name.")
    return viewer


def add_history_pages(router: APIRouter, pages: Pages, dependencies: Sequence[Any]) -> None:
    """Add the page's routes. `dependencies` refuse what another site sent."""
    console, guarded = HistoryConsole(pages), list(dependencies)
    router.add_api_route(PATH, console.show, methods=["GET"])
    router.add_api_route(PATH, console.look_up, methods=["POST"], dependencies=guarded)
    router.add_api_route(f"{PATH}/file", console.save, methods=["POST"], dependencies=guarded)
