"""The last net: a fault of our own is logged with its reason and answered without it."""

from __future__ import annotations

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tocsin.api.problem_catalog import CATALOG
from tocsin.api.problems import problem_response
from tocsin.api.scopes import request_id_of

log = structlog.get_logger(__name__)


class Faults:
    """ASGI middleware around the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watching(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watching)
        except Exception as error:
            # Whatever it is, the caller gets an answer and the log gets the reason.
            log.exception("request.failed", fault=type(error).__name__, request_id=request_id_of(scope))
            if started:
                raise  # half an answer is out: only a broken connection tells the caller
            kind = CATALOG["internal"]
            await problem_response(scope, kind, kind.meaning)(scope, receive, send)
