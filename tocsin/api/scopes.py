"""What the door keeps beside a request: the application's parts, the request's id, who calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import anyio
from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from incidents.errors import FieldFault
from tocsin.api.attempts import Attempts
from tocsin.api.problem_catalog import ProblemKind
from tocsin.services import Services

REQUEST_ID = "tocsin.request_id"

Probe = Callable[[], str | None]
"""Answers None when a part is fit to serve, else the reason why it is not. Must answer within a second."""

ProblemPage = Callable[[Scope, ProblemKind, str], Response | None]


@dataclass(frozen=True, slots=True)
class Door:
    """What one door was built from."""

    services: Services
    attempts: Attempts
    probes: Mapping[str, Probe]
    notes: Callable[[], Sequence[FieldFault]]
    """What does not go well and leaves the service fit to serve."""
    show_within: float
    """Seconds an answer to a command waits for the read models to show what it did."""
    problem_page: ProblemPage
    """Makes the page of a problem for a person, or None for a program."""
    uploads: anyio.CapacityLimiter
    """How many uploads are held in memory at the same time; others wait for their turn."""


def door_of(scope: Scope) -> Door:
    """The door that a request came in by."""
    door: Door = scope["app"].state.door
    return door


def request_id_of(scope: Scope) -> str:
    """The id given to the request."""
    return str(scope.get(REQUEST_ID, ""))


def client_of(scope: Scope) -> str:
    """The caller's address as the server knows it (after trusted proxies), or `unknown`."""
    client = scope.get("client")
    return client[0] if client else "unknown"


async def get_door(request: Request) -> Door:
    """Dependency: the door."""
    return door_of(request.scope)


async def get_services(request: Request) -> Services:
    """Dependency: the application's services."""
    return door_of(request.scope).services


DoorPart = Annotated[Door, Depends(get_door)]
Parts = Annotated[Services, Depends(get_services)]
