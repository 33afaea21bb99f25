"""`/n`: is this notice from us? For everybody, without a key.

The page of a code is the same for whoever asks, so it says nothing about any person. A link that came with a notice
names its reader by an HMAC; opening it shows the same page with a button, and only pressing that tells us anything. The
answer is the same whether the link is one of ours or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from notifier.public.code import MAX_TYPED, tidy_code
from notifier.public.notices import PUBLIC_PATH, PublicNotice
from notifier.public_notice.boards import PUBLIC_NOTICE_PATH
from tocsin.public_pages import words
from tocsin.public_pages.common import PRIVATE, SHARED, ReadByEverybody, day_of
from tocsin.public_pages.limits import Throttle
from tocsin.public_pages.public_notices import PublicNoticePages, add_public_notice_pages
from tocsin.services import Services

_LANG = Annotated[str, Form(max_length=20)]


class PublicPages(ReadByEverybody):
    """The handlers."""

    template = "page.html"
    headers: ClassVar[Mapping[str, str]] = {"X-Robots-Tag": "noindex"}

    def ask(self, request: Request) -> Response:
        """Where a code is typed."""
        return self.busy(request) or self.page(request, "ask")

    def typed(
        self, request: Request, code: Annotated[str, Form(max_length=MAX_TYPED * 4)] = "", lang: _LANG = ""
    ) -> Response:
        """A code that was typed: to its page. What cannot be one is not put into an address."""
        tidied = tidy_code(code)
        if tidied is None:
            return self.busy(request) or self.page(request, "unknown", status=404, cache=PRIVATE, lang=lang)
        return RedirectResponse(f"{PUBLIC_PATH}/{tidied}{_query(lang=lang)}", 303)

    def show(self, request: Request, code: str) -> Response:
        """The page of a code."""
        thanks = "thanks" in request.query_params
        return self._answer(request, code, cache=PRIVATE if thanks else SHARED, thanks=thanks)

    def show_personal(self, request: Request, code: str, token: str) -> Response:
        """The same page, with a button. Whose link it is is not looked up: programs open links too."""
        del token
        return self._answer(request, code, cache=PRIVATE, confirm=True)

    def confirm(self, request: Request, code: str, token: str, lang: _LANG = "") -> Response:
        """The button was pressed. To the page of the code, whatever came of it."""
        refused = self.busy(request)
        if refused is not None:
            return refused
        acknowledging = self._services.notifier.acknowledging
        if acknowledging is not None:
            acknowledging.acknowledge(code, token)
        return RedirectResponse(
            f"{PUBLIC_PATH}/{quote(tidy_code(code) or '0', safe='')}{_query(thanks='1', lang=lang)}",
            303,
            headers={"Cache-Control": PRIVATE},
        )

    def _answer(
        self, request: Request, code: str, *, cache: str, confirm: bool = False, thanks: bool = False
    ) -> Response:
        refused = self.busy(request)
        if refused is not None:
            return refused
        public = self._services.notifier.public
        notice = public.find(code) if public is not None else None
        if notice is None and (hung := self._services.notifier.to_public) is not None and hung.board.find(code):
            # The code of a public notice, typed where codes of notices to single people are checked.
            base = self._services.settings.public_url.rstrip("/")
            target = hung.board.address_of(tidy_code(code) or "").removeprefix(base)
            return RedirectResponse(target, 303)
        # A notice without words in any language could not be sent; were there one, it would not be shown.
        if notice is None or not notice.words:
            return self.page(request, "unknown", status=404, cache=cache)
        available = tuple(notice.words)
        return self.page(request, "genuine", available, cache=cache, notice=notice, confirm=confirm, thanks=thanks)

    def _published(self, notice: PublicNotice) -> list[str]:
        """Paths of the public notices about the same incident."""
        to_public = self._services.notifier.to_public
        if to_public is None:
            return []
        return [f"{PUBLIC_NOTICE_PATH}/{one.code}" for one in to_public.board.beside(notice.campaign_id)]

    def shown(self, language: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Of a notice its words, when it was sent first, and what is public about the same incident."""
        notice: PublicNotice | None = given.get("notice")
        values = {"confirm": False, "thanks": False, "notice": None, **given}
        if notice is not None:
            values |= {"said": notice.words[language], "published": self._published(notice)}
            values["sent"] = day_of(notice.first_sent_at, self._services.profile, language)
        return values


def public_router(services: Services) -> APIRouter:
    """The router of the public pages."""
    limits = services.settings.notice_pages
    throttle = Throttle(services.clock, per_address_minute=limits.per_address_minute, per_second=limits.per_second)
    pages = PublicPages(services, throttle)
    router = APIRouter(include_in_schema=False)
    add_public_notice_pages(router, PublicNoticePages(services, throttle))
    reading, code, token = ["GET", "HEAD"], f"{PUBLIC_PATH}/{{code}}", f"{PUBLIC_PATH}/{{code}}/{{token}}"
    router.add_api_route(PUBLIC_PATH, pages.ask, methods=reading)
    router.add_api_route(PUBLIC_PATH, pages.typed, methods=["POST"])
    router.add_api_route(code, pages.show, methods=reading)
    router.add_api_route(token, pages.show_personal, methods=reading)
    router.add_api_route(token, pages.confirm, methods=["POST"])
    return router


def _query(*, thanks: str = "", lang: str) -> str:
    pairs = {"thanks": thanks, "lang": lang if lang in words.NAMES else ""}
    query = "&".join(f"{name}={value}" for name, value in pairs.items() if value)
    return f"?{query}" if query else ""
