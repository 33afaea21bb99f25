"""The console's routes: board, incident, login, explanations of problems, style and script."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from incidents.errors import NotAuthenticated, NotFound
from tocsin.access.roles import Permission
from tocsin.api.authentication import check_key
from tocsin.api.paths import incident_named
from tocsin.api.problem_catalog import CATALOG
from tocsin.api.problems import ProblemRaised
from tocsin.api.scopes import door_of
from tocsin.console import board_page, incident_page
from tocsin.console.approval_forms import add_approval_forms
from tocsin.console.campaign_forms import add_campaign_forms
from tocsin.console.campaign_page import add_campaign_pages
from tocsin.console.duty_forms import add_forms
from tocsin.console.filing_page import add_filing_pages
from tocsin.console.history_page import add_history_pages
from tocsin.console.letter_forms import add_letter_forms
from tocsin.console.pages import Pages
from tocsin.console.public_notice_page import add_public_notice_console
from tocsin.console.sessions import LASTS
from tocsin.console.suppression_page import add_suppression_pages
from tocsin.console.unsubscribe_page import add_unsubscribe_pages
from tocsin.console.viewers import language_of, principal_of, session_cookie, sessions_of, viewer_of
from tocsin.console.words import words_in

STATIC = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "bell.svg": "image/svg+xml",
}
_STATIC_AGE = "public, max-age=300"

Search = Annotated[str | None, Query(max_length=200)]
Cursor = Annotated[str | None, Query(max_length=1_000)]


class Console:
    """The handlers; they share the templates."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def board(self, request: Request, search: Search = None, cursor: Cursor = None) -> Response:
        """The severity board."""
        viewer = viewer_of(request)
        if viewer is None:
            return _to_login(request)
        services = door_of(request.scope).services
        page = board_page.gather(services, services.clock.now(), search=search, cursor=cursor)
        return self._pages.render(request, "board.html", viewer=viewer, page=page, search=search or "", cursor=cursor)

    def incident(self, request: Request, name: str, cursor: Cursor = None) -> Response:
        """One incident."""
        viewer = viewer_of(request)
        if viewer is None:
            return _to_login(request)
        services = door_of(request.scope).services
        incident_id = incident_named(services, name)
        page = incident_page.gather(services, incident_id, services.clock.now(), cursor=cursor)
        return self._pages.render(request, "incident.html", viewer=viewer, page=page, cursor=cursor)

    def login_form(self, request: Request, next: str = "/") -> Response:
        """Where a key is pasted."""
        if principal_of(request) is not None:
            return RedirectResponse(_local(next), 303)
        return self._pages.render(request, "login.html", fault=None, next=_local(next))

    def log_in(
        self,
        request: Request,
        key: Annotated[str, Form(max_length=256)],
        next: Annotated[str, Form(max_length=2_000)] = "/",
    ) -> Response:
        """Start a session with a key that may read."""
        _refuse_foreign(request)
        words = words_in(language_of(request))
        try:
            principal = check_key(request, key.strip())
        except NotAuthenticated:
            return self._refused(request, words("login_wrong"), next, status=401)
        except ProblemRaised as raised:
            seconds = raised.headers.get("Retry-After", "60")
            return self._refused(request, words("login_wait", seconds=seconds), next, status=429, retry_after=seconds)
        if not principal.may(Permission.READ):
            return self._refused(request, words("login_siem"), next, status=403)
        services = door_of(request.scope).services
        response = RedirectResponse(_local(next), 303)
        response.set_cookie(
            session_cookie(services),
            sessions_of(services).make(principal.key_id),
            max_age=int(LASTS.total_seconds()),
            path="/",
            secure=services.settings.public_url.startswith("https://"),
            httponly=True,
            samesite="strict",
        )
        return response

    def log_out(self, request: Request) -> Response:
        """End the session in this browser."""
        _refuse_foreign(request)
        services = door_of(request.scope).services
        response = RedirectResponse("/" if services.demo else "/login", 303)
        response.delete_cookie(
            session_cookie(services),
            path="/",
            secure=services.settings.public_url.startswith("https://"),
            httponly=True,
            samesite="strict",
        )
        return response

    def problem(self, request: Request, code: str) -> Response:
        """What a kind of problem means: where the type URIs of problem documents lead."""
        kind = CATALOG.get(code)
        if kind is None:
            raise NotFound("There is no such kind of problem.", field="code")
        return self._pages.render(
            request, "problem.html", viewer=viewer_of(request), kind=kind, detail=None, request_id=""
        )

    def static(self, name: str) -> Response:
        """Style, script and picture, served from the package."""
        media = STATIC.get(name)
        if media is None:
            raise NotFound("There is no such file.")
        content = files("tocsin.console").joinpath("static", name).read_bytes()
        return Response(content, media_type=media, headers={"Cache-Control": _STATIC_AGE})

    def _refused(
        self, request: Request, reason: str, next_page: str, *, status: int, retry_after: str | None = None
    ) -> Response:
        headers = {"Retry-After": retry_after} if retry_after else {}
        return self._pages.render(
            request, "login.html", status=status, headers=headers, fault=reason, next=_local(next_page)
        )


def create_console(pages: Pages) -> APIRouter:
    """The console's router."""
    console = Console(pages)
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/", console.board, methods=["GET"])
    router.add_api_route("/incidents/{name}", console.incident, methods=["GET"])
    add_forms(router, Depends(_refuse_foreign))
    add_campaign_forms(router, Depends(_refuse_foreign))
    own = [Depends(_refuse_foreign)]
    campaigns = add_campaign_pages(router, pages, own)
    add_approval_forms(router, campaigns, own)
    add_letter_forms(router, campaigns, own)
    add_history_pages(router, pages, own)
    add_filing_pages(router, pages)
    add_suppression_pages(router, pages)
    add_public_notice_console(router, pages)
    add_unsubscribe_pages(router, pages)
    router.add_api_route("/login", console.login_form, methods=["GET"])
    router.add_api_route("/login", console.log_in, methods=["POST"])
    router.add_api_route("/logout", console.log_out, methods=["POST"])
    router.add_api_route("/problems/{code}", console.problem, methods=["GET"])
    router.add_api_route("/static/{name}", console.static, methods=["GET"])
    return router


def _to_login(request: Request) -> Response:
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)


def _local(address: str) -> str:
    """A path on this host; anything else becomes the board (no open redirect)."""
    parts = urlsplit(address)
    plain = not parts.scheme and not parts.netloc and address.isprintable() and "\\" not in address
    return address if plain and address.startswith("/") and not address.startswith("//") else "/"


def _refuse_foreign(request: Request) -> None:
    """A form that another site sent for the reader is refused, whatever the cookie's policy let through."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise ProblemRaised("forbidden", "This form was sent by another site.")
