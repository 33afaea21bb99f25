"""The outbox as pages: every message as the person would see it, without scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Form, Query
from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from notifier.standins.email_content import EmailContent, read_email
from notifier.standins.outbox_store import Channel, OutboxStore, StoredMessage
from notifier.standins.outbox_words import STATES, Language, preferred_language, words

_TEMPLATES = Path(__file__).parent / "templates"
_PAGE_SIZE = 40

PAGE_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src data:; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
"""Of the page itself; a mail shown in a frame inherits it, so inline styles
are let in and nothing is loaded."""

MAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"
"""Of a mail shown in a frame. Links open in a new tab; scripts, forms and remote images do nothing."""


def create_outbox_router(store: OutboxStore, *, prefix: str = "/outbox") -> APIRouter:
    """Pages at ``prefix``, and the same as JSON: ``/messages.json`` and ``/counts.json``.

    Everything is readable without a login, so mount it only where the messages are simulated.
    """
    pages = _Pages(store, prefix)
    router = APIRouter(prefix=prefix, include_in_schema=False)
    router.add_api_route("", pages.overview, methods=["GET"], response_class=HTMLResponse)
    router.add_api_route("", pages.search, methods=["POST"], response_class=HTMLResponse)
    router.add_api_route("/outbox.css", _style, methods=["GET"])
    router.add_api_route("/messages.json", pages.messages_json, methods=["GET"])
    router.add_api_route("/counts.json", pages.counts_json, methods=["GET"])
    router.add_api_route("/{message_id:int}", pages.message, methods=["GET"], response_class=HTMLResponse)
    return router


def framed_mail(html: str) -> str:
    """A mail's HTML as the document of a sandboxed frame: policy first, links into a new tab."""
    return (
        '<!doctype html><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{MAIL_POLICY}">'
        '<meta name="viewport" content="width=device-width"><base target="_blank">'
        "<style>body{font-family:system-ui,sans-serif;margin:12px;overflow-wrap:anywhere}</style>" + html
    )


def _style() -> Response:
    return FileResponse(_TEMPLATES / "outbox.css", media_type="text/css")


class _Pages:
    def __init__(self, store: OutboxStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        self._templates.filters["clock"] = lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S")

    def _render(self, request: Request, name: str, lang: Language, *, status: int = 200, **values: Any) -> Response:
        text = self._templates.get_template(name).render(
            w=words(lang), lang=lang, base=request.scope.get("root_path", "") + self._prefix, **values
        )
        headers = {
            "Content-Security-Policy": PAGE_POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        return HTMLResponse(text, status, headers)

    def overview(
        self,
        request: Request,
        channel: str = "",
        state: str = "",
        same: Annotated[int | None, Query(ge=1, le=2**62)] = None,
        before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
        lang: str | None = None,
    ) -> Response:
        """The list. ``same`` is the number of a message: only messages to its address are shown, so
        that no address stands in a URL."""
        like = self._store.message_by_id(same) if same is not None else None
        return self._list(request, lang, channel=channel, state=state, before=before, same=same, like=like)

    def search(
        self,
        request: Request,
        channel: Annotated[str, Form()] = "",
        state: Annotated[str, Form()] = "",
        address: Annotated[str, Form(max_length=320)] = "",
        before: Annotated[int | None, Form(ge=1, le=2**62)] = None,
        lang: Annotated[str | None, Form()] = None,
    ) -> Response:
        """The list by a part of an address, posted for the same reason."""
        return self._list(request, lang, channel=channel, state=state, before=before, address=address.strip())

    def _list(
        self,
        request: Request,
        lang: str | None,
        *,
        channel: str,
        state: str,
        before: int | None,
        address: str = "",
        same: int | None = None,
        like: StoredMessage | None = None,
    ) -> Response:
        language = preferred_language(lang, request.headers.get("accept-language", ""))
        shown_channel = _channel(channel)
        shown_state = state if state in STATES else None
        found: list[StoredMessage] = []
        if same is None or like is not None:
            found = self._store.messages(
                channel=shown_channel,
                status=shown_state,
                to=like.recipient if like else None,
                address_part=address or None,
                before_id=before,
                limit=_PAGE_SIZE + 1,
            )
        counts = self._store.status_counts()
        filtered = bool(shown_channel or shown_state or address or same)
        return self._render(
            request,
            "outbox.html",
            language,
            messages=found[:_PAGE_SIZE],
            older=found[_PAGE_SIZE - 1].id if len(found) > _PAGE_SIZE else None,
            before=before,
            channel=shown_channel or "",
            state=shown_state or "",
            address=address,
            same=same,
            like=like,
            filtered=filtered,
            states=STATES,
            totals={name: sum(n for (c, _), n in counts.items() if c == name) for name in get_args(Channel)},
            refusals=[] if filtered or before else self._store.refusals(limit=20),
        )

    def message(self, request: Request, message_id: int, lang: str | None = None) -> Response:
        """One message in full."""
        language = preferred_language(lang, request.headers.get("accept-language", ""))
        message = self._store.message_by_id(message_id) if 0 < message_id < 2**62 else None
        if message is None:
            return self._render(request, "message.html", language, status=404, message=None)
        content: EmailContent | None = None
        frame = ""
        if message.raw is not None:
            content = read_email(message.raw)
            frame = framed_mail(content.html) if content.html else ""
        return self._render(
            request,
            "message.html",
            language,
            message=message,
            content=content,
            frame=frame,
            callbacks=self._store.callbacks(message.sid),
        )

    def messages_json(
        self,
        channel: str = "",
        after: Annotated[int, Query(ge=0, le=2**62)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    ) -> Response:
        """Messages after the given number, oldest first, for programs."""
        found = self._store.messages(channel=_channel(channel), after_id=after, limit=limit)
        return JSONResponse({"messages": [_summary(message) for message in found]})

    def counts_json(self, channel: str = "") -> Response:
        """How many messages each address was sent, for programs."""
        return JSONResponse({"counts": self._store.counts(_channel(channel))})


def _channel(text: str) -> Channel | None:
    known: tuple[Channel, ...] = get_args(Channel)
    return next((channel for channel in known if channel == text), None)


def _summary(message: StoredMessage) -> dict[str, Any]:
    return {
        "id": message.id,
        "sid": message.sid,
        "channel": message.channel,
        "to": message.recipient,
        "from": message.sender,
        "subject": message.subject,
        "body": message.body,
        "campaign": message.campaign,
        "message_id": message.message_id,
        "status": message.status,
        "error_code": message.error_code,
        "accepted_at": message.accepted_at.isoformat(),
    }
