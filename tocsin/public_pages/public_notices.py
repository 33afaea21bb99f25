"""`/p`: public notices, for everybody and without a key: pages, an Atom feed (RFC 4287) and JSON. They stay up; a
correction is a new version, and every version keeps its address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from hashlib import sha256
from typing import Annotated, Any
from xml.etree import ElementTree

from fastapi import APIRouter, Path, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from notifier.public_notice.boards import PUBLIC_NOTICE_PATH, PublicBoard, PublishedNotice, PublishedVersion
from tocsin.public_pages import words
from tocsin.public_pages.common import SHARED, ReadByEverybody, choose, day_of, headers_in, name_of

ATOM = "http://www.w3.org/2005/Atom"
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
FEED, DATA = f"{PUBLIC_NOTICE_PATH}/feed.atom", f"{PUBLIC_NOTICE_PATH}/notices.json"
Number = Annotated[int, Path(ge=1, le=100_000)]


class PublicNoticePages(ReadByEverybody):
    """The handlers."""

    template = "public_notice.html"

    def listed(self, request: Request) -> Response:
        """All public notices, the one that changed last on top."""
        refused = self.busy(request)
        return refused or self.page(request, "notices", listed=self._newest())

    def show(self, request: Request, code: str) -> Response:
        """A public notice as it is now."""
        return self._version(request, code, None)

    def show_version(self, request: Request, code: str, number: Number) -> Response:
        """A version of it, replaced or not."""
        return self._version(request, code, number)

    def feed(self, request: Request) -> Response:
        """The Atom feed, in the reader's language."""
        refused = self.busy(request)
        if refused is not None:
            return refused
        language = choose(request, words.LANGUAGES)
        content = _feed(self._board, self._newest(), name_of(self._services.profile, language), language, self._now)
        feed = Response(content, media_type="application/atom+xml", headers=headers_in(language))
        return _unless_known(request, feed)

    def data(self, request: Request) -> Response:
        """Everything that is published, with its history, for programs."""
        refused = self.busy(request)
        if refused is not None:
            return refused
        board, profile = self._board, self._services.profile
        document = {
            "organisation": {"name": profile.name, "names": dict(profile.names)},
            "page": board.address,
            "feed": f"{board.address}/feed.atom",
            "notices": [_as_data(board, notice) for notice in self._newest()],
        }
        answer = JSONResponse(document, headers={"Cache-Control": SHARED, "Access-Control-Allow-Origin": "*"})
        return _unless_known(request, answer)

    @property
    def _now(self) -> str:
        return self._services.clock.now().astimezone(UTC).isoformat()

    @property
    def _board(self) -> PublicBoard:
        to_public = self._services.notifier.to_public
        if to_public is None:
            raise LookupError("there are no public notices without a public address")
        return to_public.board

    def _newest(self) -> tuple[PublishedNotice, ...]:
        return self._board.newest()

    def _version(self, request: Request, code: str, number: int | None) -> Response:
        refused = self.busy(request)
        if refused is not None:
            return refused
        notice = self._board.find(code)
        version = _chosen(notice, number)
        if notice is None or version is None:
            return self.page(request, "notice_unknown", status=404)
        if code != notice.code:
            tail = f"/{number}" if number is not None else ""
            return RedirectResponse(f"{PUBLIC_NOTICE_PATH}/{notice.code}{tail}", 303)
        state = "notice" if version is notice.latest else "notice_replaced"
        return self.page(request, state, tuple(version.words), notice=notice, version=version)

    def shown(self, language: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The notice or the list, and where they are."""
        profile = self._services.profile
        ways = {"feed": FEED, "data": DATA, "path": PUBLIC_NOTICE_PATH}
        looks = {
            "day": lambda instant: day_of(instant, profile, language),
            "said": lambda version: _said(version, language),
        }
        return {"notice": None, "version": None, "listed": (), **ways, **looks, **given}


def add_public_notice_pages(router: APIRouter, pages: PublicNoticePages) -> None:
    """Add the routes."""
    reading = ["GET", "HEAD"]
    router.add_api_route(PUBLIC_NOTICE_PATH, pages.listed, methods=reading)
    router.add_api_route(FEED, pages.feed, methods=reading)
    router.add_api_route(DATA, pages.data, methods=reading)
    router.add_api_route(f"{PUBLIC_NOTICE_PATH}/{{code}}", pages.show, methods=reading)
    router.add_api_route(f"{PUBLIC_NOTICE_PATH}/{{code}}/{{number}}", pages.show_version, methods=reading)


def _unless_known(request: Request, answer: Response) -> Response:
    """The answer with an ETag of its content; without the content for a reader who has it (RFC 9110 section 13.1.2)."""
    tag = f'"{sha256(bytes(answer.body)).hexdigest()[:32]}"'
    answer.headers["ETag"] = tag
    known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    if not known & {tag, "*"}:
        return answer
    kept = {name: value for name, value in answer.headers.items() if name not in {"content-length", "content-type"}}
    return Response(status_code=304, headers=kept)


def _chosen(notice: PublishedNotice | None, number: int | None) -> PublishedVersion | None:
    if notice is None or number is None:
        return notice.latest if notice is not None else None
    return next((one for one in notice.versions if one.number == number), None)


def _said(version: PublishedVersion, language: str) -> Any:
    """The words in the language, or in one that it has."""
    return version.words.get(language) or version.words[words.choose(None, "", tuple(version.words))]


def _feed(board: PublicBoard, notices: Sequence[PublishedNotice], name: str, language: str, now: str) -> bytes:
    """RFC 4287. An entry for each notice, whose id stays when a version is added and whose `updated` moves."""
    ElementTree.register_namespace("", ATOM)
    root = ElementTree.Element(f"{{{ATOM}}}feed", {XML_LANG: language})
    _add(root, "id", board.address)
    _add(root, "title", words.Words(language)("title_notices") + f" · {name}")
    # Without notices there is no last change; a reader that caches by it then sees the day it asked.
    _add(root, "updated", notices[0].latest.published_at.isoformat() if notices else now)
    _add(_add(root, "author"), "name", name)
    _add(root, "link", rel="self", type="application/atom+xml", href=f"{board.address}/feed.atom?lang={language}")
    _add(root, "link", rel="alternate", type="text/html", href=board.address)
    for notice in notices:
        said, latest = _said(notice.latest, language), notice.latest
        entry = _add(root, "entry")
        _add(entry, "id", notice.notice_id.urn)
        _add(entry, "title", said.subject)
        _add(entry, "published", notice.versions[0].published_at.isoformat())
        _add(entry, "updated", latest.published_at.isoformat())
        for tag in latest.words:
            href = f"{board.address_of(notice.code)}?lang={tag}"
            _add(entry, "link", rel="alternate", type="text/html", hreflang=tag, href=href)
        if latest.correction:
            _add(entry, "summary", latest.correction.get(language) or next(iter(latest.correction.values())))
        _add(entry, "content", said.text, type="text")
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _add(parent: ElementTree.Element, name: str, text: str = "", **attributes: str) -> ElementTree.Element:
    found = ElementTree.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
    found.text = text or None
    return found


def _as_data(board: PublicBoard, notice: PublishedNotice) -> dict[str, Any]:
    return {
        "id": str(notice.notice_id),
        "code": notice.code,
        "address": board.address_of(notice.code),
        "published_at": notice.versions[0].published_at.isoformat(),
        "updated_at": notice.latest.published_at.isoformat(),
        "versions": [
            {
                "number": one.number,
                "address": f"{board.address_of(notice.code)}/{one.number}",
                "published_at": one.published_at.isoformat(),
                "languages": list(one.words),
                "correction": dict(one.correction),
                "words": {language: said.model_dump() for language, said in one.words.items()},
            }
            for one in notice.versions
        ],
    }
