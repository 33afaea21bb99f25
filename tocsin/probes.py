"""What a process without the API answers to those who look after it: is it alive, is it fit, what does it measure."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from incidents.errors import FieldFault

log = structlog.get_logger(__name__)

Faults = Callable[[], Sequence[FieldFault]]
"""One entry for each part that is not fit for its work."""
STARTING = 10.0
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_probes(
    faults: Faults, metrics: Callable[[], bytes], *, notes: Faults = list, before_the_door: bool = False
) -> Starlette:
    """The three pages. Nothing personal is on them, and no key is asked for: they listen where nobody else is.

    `notes` are what does not go well and leaves the process fit.

    `before_the_door`: the API will answer here soon, so everything else is 503 and not unknown.
    """

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        found = await run_in_threadpool(faults)
        if not found:
            noted = _plain(await run_in_threadpool(notes))
            return JSONResponse({"status": "ready", **({"notes": noted} if noted else {})})
        return JSONResponse({"status": "not ready", "reasons": _plain(found)}, 503, {"Retry-After": "5"})

    async def show(_request: Request) -> Response:
        await run_in_threadpool(faults)  # one of the metrics says whether there are any
        return Response(await run_in_threadpool(metrics), media_type=CONTENT_TYPE_LATEST)

    async def not_yet(_request: Request) -> Response:
        return JSONResponse({"status": "starting"}, 503, {"Retry-After": "5"})

    routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", show)]
    if before_the_door:
        routes.append(Route("/{path:path}", not_yet, methods=METHODS))
    return Starlette(routes=routes)


def _plain(found: Sequence[FieldFault]) -> list[dict[str, str]]:
    return [{"part": fault.field, "reason": fault.reason} for fault in found]


class ProbeServer:
    """Answers in a thread of its own, on sockets that stay the caller's."""

    def __init__(self, app: Starlette, sockets: Sequence[socket.socket]) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(
                app, log_config=None, access_log=False, server_header=False, lifespan="off", timeout_graceful_shutdown=2
            )
        )
        self._sockets = [one.dup() for one in sockets]
        self._thread = threading.Thread(target=self._server.run, args=(self._sockets,), name="probes", daemon=True)

    def __enter__(self) -> ProbeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(STARTING)
        for one in self._sockets:
            one.close()
