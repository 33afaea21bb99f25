"""Whether the service lives, whether it is fit to serve, and its metrics."""

from __future__ import annotations

import ipaddress
from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool

from incidents.errors import FieldFault
from tocsin.access.roles import Permission
from tocsin.api.authentication import authenticated, refuse_unless
from tocsin.api.problems import ProblemRaised
from tocsin.api.readiness import reasons_against
from tocsin.api.responses import problems
from tocsin.api.scopes import Door, DoorPart, client_of
from tocsin.api.values import ResponseModel
from tocsin.settings import Settings

router = APIRouter(tags=["health"])


class Alive(ResponseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Note(ResponseModel):
    """Something that does not go well, and that requests do not depend on."""

    part: str
    reason: str


class Ready(ResponseModel):
    """Fit to serve."""

    status: Literal["ready"] = "ready"
    notes: tuple[Note, ...] | None = None
    """What does not go well all the same; left out when all does."""


@router.get("/healthz", summary="Liveness")
async def healthz() -> Alive:
    """The process answers. Restart it when it does not."""
    return Alive()


@router.get("/readyz", summary="Readiness", responses=problems("unavailable"), response_model_exclude_none=True)
def readyz(door: DoorPart) -> Ready:
    """Database, schema, workers and read models are fit to serve; else 503 with a reason for each that is not.

    What requests do not depend on (events that cannot be published, say) is noted and leaves the service ready.
    """
    faults = _look(door)
    if faults:
        raise ProblemRaised(
            "unavailable",
            "Not ready: " + "; ".join(f"{fault.field} {fault.reason}" for fault in faults) + ".",
            errors=faults,
            headers={"Retry-After": "5"},
        )
    notes = tuple(Note(part=note.field, reason=note.reason) for note in door.notes())
    return Ready(notes=notes or None)


@router.get(
    "/metrics",
    summary="Metrics",
    responses={**problems("not-authenticated", "forbidden"), 200: {"content": {"text/plain": {}}}},
    response_class=Response,
    openapi_extra={"security": [{"key": []}, {}]},
)
async def metrics(request: Request, door: DoorPart) -> Response:
    """Prometheus' text form, for callers on this machine, or with a key that may read. A key that is given must be good
    wherever the caller is."""
    if "authorization" in request.headers or not _is_local(request, door.services.settings):
        refuse_unless(await authenticated(request), Permission.READ)
    await run_in_threadpool(_look, door)
    return Response(await run_in_threadpool(door.services.metrics.render), media_type=CONTENT_TYPE_LATEST)


def _look(door: Door) -> list[FieldFault]:
    """What keeps the service from being ready; the metric of that name says the same."""
    faults = reasons_against(door)
    door.services.metrics.ready.set(not faults)
    return faults


def _is_local(request: Request, settings: Settings) -> bool:
    """Whether the caller is on this machine. Behind a proxy every caller would seem to be: then none is."""
    if settings.trusted_proxies or "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(client_of(request.scope)).is_loopback
    except ValueError:
        return False
