"""Commands over HTTP: `Idempotency-Key`, `If-Match`, remembered answers, and waiting for the read models.

The command's id is made from the key and the Idempotency-Key, so its effect happens once even when a process dies
between effect and answer. Answers that a repeat must get again are remembered: success, bad input, an illegal
transition. Not remembered: whatever may be different next time through no change of the request (lost races,
missing things, rights, limits, our own faults).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

import structlog
from fastapi import Depends, Header
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from incidents.clock import Clock
from incidents.errors import Conflict, FieldFault, IllegalTransition, InvalidInput, TocsinError
from incidents.record import Context, stable_id
from incidents.tracing import say
from tocsin.access.answers import Answer
from tocsin.access.keys import Principal
from tocsin.access.roles import Permission
from tocsin.api.authentication import Caller, authenticated, refuse_unless
from tocsin.api.json_bodies import refuse_unfit
from tocsin.api.problems import ProblemRaised, error_response
from tocsin.api.scopes import Door, door_of

KEY_SHAPE = r"^[\x21-\x7e]{1,128}$"
_ETAG = re.compile(r'^"(\d{1,18})"$')
_KEPT_HEADERS = ("content-type", "etag", "location")


@dataclass(frozen=True, slots=True)
class Command:
    """Who commands, under which id, and from which version of the thing (None: from whatever it is)."""

    principal: Principal
    command_id: UUID
    expected_version: int | None = None

    def context(self, clock: Clock, happened_at: datetime | None = None) -> Context:
        """The context of the events that the command makes."""
        return Context.of_command(self.principal.actor, clock, command_id=self.command_id, happened_at=happened_at)


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=KEY_SHAPE,
        description="Repeat a command with the same key and it has one effect and one answer (kept for a week).",
        examples=["9b2d7c1e-5f51-4a3f-9d0e-2f3f6b1c8a77"],
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=200,
        description='The version you decided from, as given in `ETag` (`"7"`). Another one answers 412.',
    ),
]


class Commands:
    """Dependency of a command's route: checks the permission, gives the `Command`. Refuses `If-Match`."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: Request, principal: Caller, idempotency_key: IdempotencyKey = None) -> Command:
        refuse_unless(principal, self.permission)
        if "if-match" in request.headers:
            raise ProblemRaised(
                "malformed-request",
                "This command takes no If-Match.",
                errors=[FieldFault("If-Match", "is taken by commands on an incident only")],
            )
        return Command(principal, _named(command_id_of(principal, idempotency_key)))


class VersionedCommands(Commands):
    """The same for commands on something with a version, which take `If-Match`."""

    async def __call__(
        self,
        request: Request,
        principal: Caller,
        idempotency_key: IdempotencyKey = None,
        if_match: IfMatch = None,
    ) -> Command:
        refuse_unless(principal, self.permission)
        version = version_of(if_match)
        request.state.expected_version = version
        return Command(principal, _named(command_id_of(principal, idempotency_key)), version)


def commands(permission: Permission) -> Any:
    """For `Annotated[Command, commands(...)]`."""
    return Depends(Commands(permission))


def versioned_commands(permission: Permission) -> Any:
    """For `Annotated[Command, versioned_commands(...)]`."""
    return Depends(VersionedCommands(permission))


def command_id_of(principal: Principal, idempotency_key: str | None) -> UUID:
    """The id of a command: of the key and its Idempotency-Key, or a new one."""
    if idempotency_key is None:
        return uuid4()
    return stable_id("command", principal.key_id, idempotency_key)


def _named(command_id: UUID) -> UUID:
    """The id, which from here on stands in the log lines and the span of the request."""
    structlog.contextvars.bind_contextvars(command=str(command_id))
    say(command=str(command_id))
    return command_id


def version_of(if_match: str | None) -> int | None:
    """The version named by `If-Match`; None without one and for `*`. 412 for a tag that we never gave out."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.match(if_match.strip())
    if found is None:
        raise ProblemRaised(
            "precondition-failed",
            'If-Match names no version of ours. Send one ETag as you got it, such as "7".',
            errors=[FieldFault("If-Match", 'must be one ETag, such as "7"')],
        )
    return int(found[1])


def etag(version: int) -> str:
    """The ETag of a version."""
    return f'"{version}"'


class CommandRoute(APIRoute):
    """A route that changes something: authenticates before it reads, and keeps one answer per Idempotency-Key."""

    waits = True
    """Whether the answer waits (briefly) until the read models show the effect."""
    json_body = True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()
        if self.methods is not None and self.methods <= {"GET", "HEAD"}:
            return inner
        takes_json = self.json_body and self.body_field is not None

        async def handle(request: Request) -> Response:
            principal = await authenticated(request)
            door = door_of(request.scope)
            body = await request.body()
            if takes_json:
                refuse_unfit(request.headers.get("content-type"), body)
            remembering = Remembering.of(door, principal, request, body)
            return await answer_once(request, remembering, inner, waits=self.waits)

        return handle


class IntakeRoute(CommandRoute):
    """For alerts: their bodies are checked by the dialect, and nobody waits for a read model."""

    waits = False
    json_body = False


class PureRoute(CommandRoute):
    """For questions that need a body: they record nothing, so nobody waits."""

    waits = False


class UnkeptRoute(CommandRoute):
    """For commands that answer with people's data: no answer is kept. A repeat has no second effect, and gets the
    answer made anew."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = APIRoute.get_route_handler(self)
        takes_json = self.json_body and self.body_field is not None

        async def handle(request: Request) -> Response:
            await authenticated(request)
            if takes_json:
                refuse_unfit(request.headers.get("content-type"), await request.body())
            return await _answer(inner, request)

        return handle


async def answer_once(
    request: Request,
    remembering: Remembering,
    produce: Callable[[Request], Coroutine[Any, Any, Response]],
    *,
    waits: bool = True,
) -> Response:
    """The answer given to this command before, or a new one, remembered if a repeat must get it again."""
    answer = await remembering.recall()
    if answer is None:
        answer = await _answer(produce, request)
        await remembering.keep(answer, getattr(request.state, "keep_as", None))
        if waits and answer.status_code < 300:
            await run_in_threadpool(wait_until_shown, remembering.door)
    return answer


async def _answer(inner: Callable[[Request], Coroutine[Any, Any, Response]], request: Request) -> Response:
    try:
        return await inner(request)
    except TocsinError as error:
        expected = getattr(request.state, "expected_version", None)
        if isinstance(error, Conflict) and expected is not None:
            raise ProblemRaised("precondition-failed", error.detail) from error
        if isinstance(error, InvalidInput | IllegalTransition):
            return error_response(request.scope, error)
        raise


def wait_until_shown(door: Door) -> None:
    """Wait until the read models show all that is recorded now, at most for the door's `show_within` seconds."""
    if door.show_within > 0:
        door.services.projections.wait_for(door.services.record.head(), timeout=door.show_within)


@dataclass(frozen=True, slots=True)
class Remembering:
    """The answer to one request under one Idempotency-Key (without a key: nothing is remembered)."""

    door: Door
    key_id: str
    idempotency_key: str | None
    digest: bytes

    @classmethod
    def of(cls, door: Door, principal: Principal, request: Request, body: bytes | bytearray) -> Remembering:
        """For a request whose body is at hand."""
        return cls.of_digest(door, principal, request, hashlib.sha256(body).digest())

    @classmethod
    def of_digest(cls, door: Door, principal: Principal, request: Request, body_digest: bytes) -> Remembering:
        """For a request whose body was digested (SHA-256) as it came in."""
        key = request.headers.get("idempotency-key")
        if key is not None and re.fullmatch(KEY_SHAPE, key) is None:
            raise ProblemRaised(
                "malformed-request",
                "The Idempotency-Key has a wrong form.",
                errors=[FieldFault("Idempotency-Key", "must be 1 to 128 visible ASCII characters")],
            )
        line = f"{request.method} {request.url.path}?{request.url.query}\n".encode("utf-8", "replace")
        return cls(door, principal.key_id, key, hashlib.sha256(line + body_digest).digest())

    async def recall(self) -> Response | None:
        """The answer given before, marked as such. Conflict when the key was used for another request."""
        if self.idempotency_key is None:
            return None
        kept = await run_in_threadpool(
            self.door.services.answers.recall, self.key_id, self.idempotency_key, self.digest
        )
        if kept is None:
            return None
        body = kept.body.encode()
        return Response(body, kept.status, {**kept.headers, "Idempotency-Replayed": "true"})

    async def keep(self, answer: Response, body: str | None = None) -> None:
        """Remember an answer, if it is one that a repeat must get again; with another body where its own is secret."""
        if self.idempotency_key is None:
            return
        if not (answer.status_code < 300 or answer.status_code in KEPT_REFUSALS):
            return
        headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
        kept = Answer(answer.status_code, bytes(answer.body).decode() if body is None else body, headers)
        await run_in_threadpool(
            self.door.services.answers.remember, self.key_id, self.idempotency_key, self.digest, kept
        )


KEPT_REFUSALS = frozenset({409, 413, 422})
"""Refusals that reach `keep` are answers of the application: an illegal transition or bad input."""
