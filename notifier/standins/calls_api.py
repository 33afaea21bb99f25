"""The routes of the Calls part of the Twilio stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from notifier.standins.dropping_http import cut_connection
from notifier.standins.outbox_store import OutboxStore, StoredMessage
from notifier.standins.outcomes import BUSY_TRIES, Answer, sms_outcome
from notifier.standins.twilio_calls import ENDED, CallFollower, CallRequest, call_body, new_call, read_call
from notifier.standins.twilio_messages import TwilioProblem

_BASE = "/2010-04-01/Accounts/{account}/Calls"
_MAX_FORM = 64 * 1024
_NOT_KEPT = {Answer.REFUSE, Answer.ERROR_NOT_KEPT}


class CallsApi:
    """Calls of one account."""

    def __init__(
        self,
        store: OutboxStore,
        *,
        account_sid: str,
        authenticate: Callable[[Request], Awaitable[None]],
        clock: Callable[[], datetime],
        follower: CallFollower,
        slow_seconds: float = 20.0,
        list_lag: timedelta = timedelta(0),
    ) -> None:
        self._store = store
        self._account = account_sid
        self._authenticate = authenticate
        self._clock = clock
        self._follower = follower
        self._slow_seconds = slow_seconds
        self._list_lag = list_lag

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        for path, method, handler in (
            (f"{_BASE}.json", "POST", self.create),
            (f"{_BASE}.json", "GET", self.list_calls),
            (f"{_BASE}/{{sid}}.json", "GET", self.fetch),
            (f"{_BASE}/{{sid}}.json", "POST", self.update),
        ):
            app.add_route(path, handler, methods=[method])

    async def create(self, request: Request) -> Response:
        await self._authenticate(request)
        wanted = read_call(await _form(request))
        outcome = sms_outcome(wanted.to)
        busy = outcome.answer is Answer.BUSY_FIRST and self._store.count_try("voice", wanted.to) <= BUSY_TRIES
        if outcome.answer in _NOT_KEPT or busy:
            problem = TwilioProblem(outcome.http_status, outcome.error_code or 20500, to=wanted.to)
            self._store.refuse("voice", wanted.to, str(problem.code), problem.message, self._clock())
            raise problem
        if outcome.answer is Answer.CUT_NOT_KEPT:
            return _cut(request)
        call = self._accept(wanted)
        if outcome.answer is Answer.CUT_KEPT:
            return _cut(request)
        if outcome.answer is Answer.ERROR_KEPT:
            raise TwilioProblem(outcome.http_status, outcome.error_code or 20500)
        if outcome.answer is Answer.SLOW:
            await asyncio.sleep(self._slow_seconds)
        return JSONResponse(call_body(call, self._account), 201)

    def _accept(self, wanted: CallRequest) -> StoredMessage:
        (call,) = self._store.accept([new_call(wanted, self._clock())])
        self._follower.follow(call)
        return call

    async def fetch(self, request: Request) -> Response:
        await self._authenticate(request)
        return JSONResponse(call_body(self._find(request), self._account))

    async def update(self, request: Request) -> Response:
        """Ending a call: one that was not answered is canceled, another completed."""
        await self._authenticate(request)
        call, form = self._find(request), await _form(request)
        wanted = form.get("Status", [""])[0]
        if wanted not in {"canceled", "completed"} or call.status in ENDED:
            raise TwilioProblem(400, 21220, "Call is not in-progress. Cannot redirect.")
        self._store.set_status(call.sid, wanted, self._clock(), unless=ENDED)
        return JSONResponse(call_body(self._find(request), self._account))

    async def list_calls(self, request: Request) -> Response:
        """By To, From and Status, the newest first. One page: more than a thousand are not given."""
        await self._authenticate(request)
        query, youngest = request.query_params, self._clock() - self._list_lag
        found = self._store.messages(
            channel="voice",
            to=query.get("To") or None,
            sender=query.get("From") or None,
            status=query.get("Status") or None,
            limit=1000,
        )
        calls = [call_body(call, self._account) for call in found if call.accepted_at <= youngest]
        uri = f"{request.url.path}?{request.url.query}"
        page = {"page": 0, "page_size": 1000, "start": 0, "end": max(len(calls) - 1, 0), "uri": uri}
        links = {"first_page_uri": uri, "next_page_uri": None, "previous_page_uri": None}
        return JSONResponse({**page, **links, "calls": calls})

    def _find(self, request: Request) -> StoredMessage:
        call = self._store.message(request.path_params["sid"])
        if call is None or call.channel != "voice":
            raise TwilioProblem(404, 20404, f"The requested resource {request.url.path} was not found")
        return call


def _cut(request: Request) -> Response:
    return Response(status_code=204 if cut_connection(request) else 502)


async def _form(request: Request) -> dict[str, list[str]]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_FORM:
            raise TwilioProblem(413, 20001, f"The request body is larger than {_MAX_FORM} bytes.")
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise TwilioProblem(400, 20001, "The request body is not a readable form.") from None
