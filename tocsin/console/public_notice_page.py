"""The page of one public notice: its words as they would be published, its versions, and what the reader may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from incidents.errors import Forbidden, IllegalTransition, InvalidInput, NotFound, TocsinError
from incidents.record import Context
from incidents.reference import reference_of
from notifier.public_notice.events import SaidInPublic
from notifier.public_notice.notice import NoticeStatus
from notifier.public_notice.service import NoticesToPublic, PublicNoticeView
from projections.deadlines.deadlines import Deadline
from tocsin.access.keys import Principal
from tocsin.access.roles import Permission
from tocsin.api.commands import command_id_of
from tocsin.api.problems import ProblemRaised
from tocsin.api.scopes import door_of
from tocsin.console.duties_named import duties_behind
from tocsin.console.form_answers import said_of, status_of
from tocsin.console.notice_words import (
    WordField,
    WordValue,
    correction_typed,
    corrections_shown,
    values_shown,
    values_typed,
)
from tocsin.console.pages import Pages
from tocsin.console.viewers import Viewer, viewer_of
from tocsin.services import Services

PATH = "/public-notices"
MAX_FIELDS = 200
_NEEDED = {
    "draft": Permission.PREPARE_NOTICES,
    "revise": Permission.PREPARE_NOTICES,
    "ask": Permission.PREPARE_NOTICES,
    "publish": Permission.APPROVE,
    "reject": Permission.APPROVE,
    "dismiss": Permission.DECIDE_DUTIES,
}
_CHANGEABLE = frozenset({NoticeStatus.DRAFT, NoticeStatus.REJECTED, NoticeStatus.PUBLISHED})
"""In which its words may be changed here. One that waits for approval has to be rejected first, so that nobody changes
what somebody else is reading to approve it."""


@dataclass(frozen=True, slots=True)
class PublicNoticePage:
    """Everything on the page."""

    reference: str
    notice: PublicNoticeView
    words: Mapping[str, SaidInPublic]
    duties: tuple[Deadline, ...]
    """That name what it does not tell; none where it tells all."""
    values: tuple[WordValue, ...]
    """What may be changed by whoever reads the page, for the version that is prepared; none where nothing may."""
    corrections: tuple[WordField, ...]
    may: frozenset[str]
    refused: str | None
    changing: bool
    """Whether the form with the words was refused: it is shown as it was filled in."""
    version: str
    """That the words in the form come from. One that was refused keeps its own: under a newer one, sending it again
    would undo what somebody else wrote."""
    stale: bool
    """Whether that is not the version as it stands, or not one that may be changed: nothing can be saved from it."""
    token: str
    """Names the next command, so that a form sent twice has one effect."""


class PublicNoticeConsole:
    """The handlers of the page."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def show(self, request: Request, notice: UUID) -> Response:
        """The page."""
        viewer = viewer_of(request)
        if viewer is None:
            return RedirectResponse(f"/login?next={PATH}/{notice}", 303)
        return self._page(request, notice, viewer)

    async def begin(self, request: Request) -> Response:
        """Draft one with the words of a campaign."""
        return await self._act(request, None)

    async def act(self, request: Request, notice: UUID) -> Response:
        """Take a suggestion up or dismiss it, change the words, ask for approval, publish or reject."""
        return await self._act(request, notice)

    async def _act(self, request: Request, notice: UUID | None) -> Response:
        viewer = viewer_of(request)
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            raise ProblemRaised("forbidden", "This form was sent by another site.")
        if viewer is None or viewer.principal is None:
            return RedirectResponse("/login", 303)
        async with request.form(max_files=0, max_fields=MAX_FIELDS, max_part_size=64 * 1024) as form:
            return await run_in_threadpool(self._done, request, notice, viewer, viewer.principal, form)

    def _done(
        self, request: Request, notice: UUID | None, viewer: Viewer, principal: Principal, form: FormData
    ) -> Response:
        services = door_of(request.scope).services
        what = "draft" if notice is None else str(form.get("what", ""))
        needed = _NEEDED.get(what)
        if needed is None:
            raise InvalidInput("That is nothing that can be done here.", field="what")
        if not principal.may(needed):
            raise Forbidden(f"This needs the permission {needed}.")
        token = str(form.get("token", "")) or None
        context = Context.of_command(
            principal.actor, services.clock, command_id=command_id_of(principal, token and f"console {token}")
        )
        try:
            found = _begin(services, context, form) if notice is None else _do(services, notice, what, context, form)
        except TocsinError as error:
            if notice is None:
                raise
            typed = _typed(form) if what == "revise" else {}
            version = str(form.get("version", ""))[:20] if typed else None
            return self._page(
                request, notice, viewer, refused=said_of(error), typed=typed, version=version, status=status_of(error)
            )
        return RedirectResponse(f"{PATH}/{found.notice_id}", 303)

    def _page(
        self,
        request: Request,
        notice: UUID,
        viewer: Viewer,
        *,
        refused: str | None = None,
        typed: Mapping[str, str] = {},
        version: str | None = None,
        status: int = 200,
    ) -> Response:
        services, who = door_of(request.scope).services, viewer.principal
        notices = notices_of(services)
        view = notices.view(notice)
        may = frozenset(what for what, needed in _NEEDED.items() if who is not None and who.may(needed))
        changes = "revise" in may and view.status in _CHANGEABLE
        kept = bool(typed and view.template)  # what was typed can be copied from the page, whatever has happened
        manifest = services.templates.get(view.template).manifest if changes or kept else None
        current = str(view.version)
        page = PublicNoticePage(
            reference=reference_of(view.incident_id),
            notice=view,
            words=notices.preview(notice),
            duties=duties_behind(services, view.incident_id, view.missing_items, view.untold_duties),
            values=values_shown(manifest, view.values, viewer.language, typed) if manifest else (),
            corrections=corrections_shown(manifest, view.values, view.correction, viewer.language, typed)
            if manifest and view.versions
            else (),
            may=may,
            refused=refused,
            changing=bool(typed),
            version=current if version is None else version,
            stale=version not in (None, current) or not changes,
            token=str(uuid4()),
        )
        return self._pages.render(request, "public_notice.html", viewer=viewer, status=status, page=page)


def notices_of(services: Services) -> NoticesToPublic:
    """The public notices. NotFound where no public address is set."""
    if services.notifier.to_public is None:
        raise NotFound("There are no public notices here: no public address is set.")
    return services.notifier.to_public


def _begin(services: Services, context: Context, form: FormData) -> PublicNoticeView:
    incident_id, campaign_id = _id(form, "incident"), _id(form, "campaign")
    return notices_of(services).draft(context, incident_id=incident_id, campaign_id=campaign_id)


def _do(services: Services, notice: UUID, what: str, context: Context, form: FormData) -> PublicNoticeView:
    notices, reason = notices_of(services), str(form.get("reason", ""))[:2_000]
    match what:
        case "draft":
            view = notices.view(notice)
            return notices.draft(context, incident_id=view.incident_id, notice_id=notice)
        case "revise":
            view, typed, seen = notices.view(notice), _typed(form), _version(form)
            if view.version == seen and view.status is NoticeStatus.AWAITING_APPROVAL:
                raise IllegalTransition("It waits for approval as it stands: have it rejected first, then change it.")
            values = values_typed(services.templates.get(view.template).manifest, view.values, typed)
            return notices.revise(context, notice, values, correction_typed(typed), seen=seen)
        case "ask":
            return notices.request_approval(context, notice)
        case "publish":
            digest = str(form.get("digest", ""))[:200]
            return notices.publish(context, notice, text_digest=digest, override_reason=reason or None)
        case "reject":
            return notices.reject(context, notice, reason=reason)
    return notices.dismiss(context, notice, reason=reason)


def _id(form: FormData, name: str) -> UUID:
    try:
        return UUID(str(form.get(name, "")))
    except ValueError:
        raise InvalidInput("That names nothing here.", field=name) from None


def _typed(form: FormData) -> dict[str, str]:
    """What was typed into the fields for the words."""
    return {key: text for key, text in form.items() if "." in key and isinstance(text, str)}


def _version(form: FormData) -> int:
    try:
        return int(str(form.get("version", "")))
    except ValueError:
        raise InvalidInput("The form does not say what it comes from. Load the page again.", field="version") from None


def add_public_notice_console(router: APIRouter, pages: Pages) -> None:
    """Add the page's routes."""
    console = PublicNoticeConsole(pages)
    router.add_api_route(PATH, console.begin, methods=["POST"])
    router.add_api_route(f"{PATH}/{{notice}}", console.show, methods=["GET"])
    router.add_api_route(f"{PATH}/{{notice}}", console.act, methods=["POST"])
