"""Where people unsubscribe: a page with one button, and the one click of RFC 8058, which mail programs make."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from incidents.errors import NotFound
from notifier.channels.unsubscribe import UNSUBSCRIBE_PATH
from notifier.suppression.unsubscribing import Unsubscribing
from tocsin.api.scopes import door_of
from tocsin.console.pages import Pages


class UnsubscribePages:
    """The handlers. No login, no cookie: knowing the address is the right to."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def ask(self, request: Request, token: str) -> Response:
        """The page with the button. Looking at it changes nothing, for scanners of mail follow links."""
        _of(request).category_of(token)
        return self._pages.render(request, "unsubscribe.html", viewer=None, done=False)

    def unsubscribe(self, request: Request, token: str) -> Response:
        """The button, and the one click."""
        _of(request).unsubscribe(token)
        if "text/html" in request.headers.get("accept", ""):
            return self._pages.render(request, "unsubscribe.html", viewer=None, done=True)
        return PlainTextResponse("Unsubscribed.\n")


def _of(request: Request) -> Unsubscribing:
    unsubscribing = door_of(request.scope).services.notifier.unsubscribing
    if unsubscribing is None:
        raise NotFound("There is nothing to unsubscribe from.", field="token")
    return unsubscribing


def add_unsubscribe_pages(router: APIRouter, pages: Pages) -> None:
    """Add the routes."""
    console = UnsubscribePages(pages)
    router.add_api_route(f"{UNSUBSCRIBE_PATH}/{{token}}", console.ask, methods=["GET"])
    router.add_api_route(f"{UNSUBSCRIBE_PATH}/{{token}}", console.unsubscribe, methods=["POST"])
