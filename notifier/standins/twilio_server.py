"""A server that speaks the Messages part of Twilio's API (2010-04-01) as the real one does."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import structlog
from fastapi import FastAPI
from fastapi.security import HTTPBasic
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from notifier.standins.callback_sender import CallbackSender
from notifier.standins.calls_api import CallsApi
from notifier.standins.dropping_http import cut_connection
from notifier.standins.outbox_store import NewMessage, OutboxStore, StoredMessage
from notifier.standins.outcomes import BUSY_TRIES, Answer, SmsOutcome, sms_outcome
from notifier.standins.receipt_plan import CANCELABLE_STATES, initial_status
from notifier.standins.sms_segments import segment_count
from notifier.standins.twilio_calls import CallFollower
from notifier.standins.twilio_messages import (
    MessageRequest,
    TwilioProblem,
    message_body,
    read_request,
)

log = structlog.get_logger(__name__)

_MAX_FORM = 64 * 1024
_MAX_PAGE = 1000
_BASE = "/2010-04-01/Accounts/{account}/Messages"


def create_twilio_app(
    store: OutboxStore,
    *,
    account_sid: str,
    auth_token: str,
    clock: Callable[[], datetime],
    callbacks: CallbackSender,
    new_sid: Callable[[], str] | None = None,
    slow_seconds: float = 20.0,
    list_lag: timedelta = timedelta(0),
    calls: CallFollower | None = None,
) -> FastAPI:
    """The ASGI app: create, fetch, list, update and delete messages of one account; with ``calls``, calls too.

    ``slow_seconds`` is how long the ``slow`` numbers wait for their answer; ``list_lag`` hides messages
    younger than that from the list, as an index that lags would. Run it under ``HttpStandin``: another
    server cannot cut connections, and answers 502 where one should be cut.
    """
    api = _MessagesApi(store, account_sid, auth_token, clock, callbacks, new_sid or _random_sid, slow_seconds, list_lag)
    app = FastAPI(title="Twilio stand-in", openapi_url=None)
    for path, method, handler in (
        (f"{_BASE}.json", "POST", api.create),
        (f"{_BASE}.json", "GET", api.list_messages),
        (f"{_BASE}/{{sid}}.json", "GET", api.fetch),
        (f"{_BASE}/{{sid}}.json", "POST", api.update),
        (f"{_BASE}/{{sid}}.json", "DELETE", api.delete),
    ):
        app.add_route(path, handler, methods=[method])
    if calls is not None:
        CallsApi(
            store,
            account_sid=account_sid,
            authenticate=api.authenticate,
            clock=clock,
            follower=calls,
            slow_seconds=slow_seconds,
            list_lag=list_lag,
        ).add_to(app)
    app.add_exception_handler(TwilioProblem, _answer_problem)
    app.add_exception_handler(HTTPException, _answer_not_found)
    return app


def _random_sid() -> str:
    return "SM" + secrets.token_hex(16)


def _answer_problem(_request: Request, problem: Exception) -> Response:
    assert isinstance(problem, TwilioProblem)  # noqa: S101 - registered for this class only
    headers = {"WWW-Authenticate": 'Basic realm="Twilio API"'} if problem.status == 401 else {}
    return JSONResponse(problem.body(), problem.status, headers)


def _answer_not_found(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    code = 20004 if status == 405 else 20404
    return JSONResponse(TwilioProblem(status, code, f"The requested resource was not found ({status})").body(), status)


class _MessagesApi:
    def __init__(
        self,
        store: OutboxStore,
        account_sid: str,
        auth_token: str,
        clock: Callable[[], datetime],
        callbacks: CallbackSender,
        new_sid: Callable[[], str],
        slow_seconds: float,
        list_lag: timedelta,
    ) -> None:
        self._store = store
        self._account = account_sid
        self._token = auth_token
        self._clock = clock
        self._callbacks = callbacks
        self._new_sid = new_sid
        self._slow_seconds = slow_seconds
        self._list_lag = list_lag
        self._basic = HTTPBasic(auto_error=False)

    async def authenticate(self, request: Request) -> None:
        try:
            given = await self._basic(request)
        except HTTPException:  # the header is there and cannot be read
            raise TwilioProblem(401, 20003) from None
        if given is None or not (
            secrets.compare_digest(given.username.encode(), self._account.encode())
            and secrets.compare_digest(given.password.encode(), self._token.encode())
        ):
            raise TwilioProblem(401, 20003)
        if request.path_params["account"] != self._account:
            raise TwilioProblem(404, 20404, f"The requested resource {request.url.path} was not found")

    def _find(self, request: Request) -> StoredMessage:
        message = self._store.message(request.path_params["sid"])
        if message is None or message.channel != "sms":
            raise TwilioProblem(404, 20404, f"The requested resource {request.url.path} was not found")
        return message

    # -- create ------------------------------------------------------------------------------------

    async def create(self, request: Request) -> Response:
        await self.authenticate(request)
        wanted = read_request(await _form(request))
        outcome = sms_outcome(wanted.to)
        match outcome.answer:
            case Answer.REFUSE | Answer.ERROR_NOT_KEPT:
                raise self._refused(wanted, outcome)
            case Answer.BUSY_FIRST if self._store.count_try("sms", wanted.to) <= BUSY_TRIES:
                raise self._refused(wanted, outcome)
            case Answer.CUT_NOT_KEPT:
                return _cut(request)
            case Answer.CUT_KEPT:
                self._accept(wanted, outcome)
                return _cut(request)
            case Answer.ERROR_KEPT:
                self._accept(wanted, outcome)
                raise TwilioProblem(outcome.http_status, outcome.error_code or 20500)
            case Answer.SLOW:
                message = self._accept(wanted, outcome)
                await asyncio.sleep(self._slow_seconds)
            case _:
                message = self._accept(wanted, outcome)
        return self._resource(message, 201)

    def _refused(self, wanted: MessageRequest, outcome: SmsOutcome) -> TwilioProblem:
        problem = TwilioProblem(outcome.http_status, outcome.error_code or 20500, to=wanted.to)
        self._store.refuse("sms", wanted.to, str(problem.code), problem.message, self._clock())
        return problem

    def _accept(self, wanted: MessageRequest, outcome: SmsOutcome) -> StoredMessage:
        status = initial_status(with_service=bool(wanted.service_sid), scheduled=wanted.send_at is not None)
        (message,) = self._store.accept(
            [
                NewMessage(
                    sid=self._new_sid(),
                    channel="sms",
                    recipient=wanted.to,
                    sender=wanted.sender,
                    body=wanted.body,
                    campaign=wanted.campaign,
                    service_sid=wanted.service_sid,
                    status_callback=wanted.status_callback,
                    segments=segment_count(wanted.body),
                    outcome=outcome.name,
                    status=status,
                    accepted_at=self._clock(),
                    send_at=wanted.send_at,
                )
            ]
        )
        self._callbacks.follow(message)
        return message

    # -- one message -------------------------------------------------------------------------------

    async def fetch(self, request: Request) -> Response:
        await self.authenticate(request)
        return self._resource(self._find(request), 200)

    async def update(self, request: Request) -> Response:
        await self.authenticate(request)
        message, form = self._find(request), await _form(request)
        if form.get("Status"):
            if form["Status"] != "canceled" or message.status not in CANCELABLE_STATES:
                raise TwilioProblem(400, 30409)
            await self._callbacks.cancel(message)
        if "Body" in form:
            if form["Body"]:
                raise TwilioProblem(400, 20001, "Body can only be updated to an empty string.")
            self._store.redact(message.sid, self._clock())
        return self._resource(self._find(request), 200)

    async def delete(self, request: Request) -> Response:
        await self.authenticate(request)
        self._store.delete(self._find(request).sid)
        return Response(status_code=204)

    # -- the list ----------------------------------------------------------------------------------

    async def list_messages(self, request: Request) -> Response:
        await self.authenticate(request)
        query = request.query_params
        size = _number(query, "PageSize", 50, maximum=_MAX_PAGE)
        page = _number(query, "Page", 0, maximum=10_000_000)
        before = None
        if query.get("PageToken"):
            last = self._store.message(query["PageToken"].removeprefix("PA"))
            if last is None:
                raise TwilioProblem(400, 20001, "Page token is not valid; start from the first page.")
            before = last.id
        found = self._matching(query, before, size + 1)
        shown, more = found[:size], len(found) > size
        base = f"/2010-04-01/Accounts/{self._account}/Messages.json"

        def link(number: int, token: str = "") -> str:
            keep = {k: v for k, v in query.items() if k not in {"Page", "PageToken", "PageSize"}}
            extra = {"PageToken": token} if token else {}
            return f"{base}?{urlencode({**keep, 'PageSize': size, 'Page': number, **extra}, quote_via=quote)}"

        start = page * size
        return JSONResponse(
            {
                "end": start + max(len(shown) - 1, 0),
                "first_page_uri": link(0),
                "next_page_uri": link(page + 1, "PA" + shown[-1].sid) if more else None,
                "page": page,
                "page_size": size,
                "previous_page_uri": None,
                "messages": [message_body(message, self._account) for message in shown],
                "start": start,
                "uri": str(request.url.path) + (f"?{request.url.query}" if request.url.query else ""),
            },
            headers=_request_headers(),
        )

    def _matching(self, query: QueryParams, before: int | None, wanted: int) -> list[StoredMessage]:
        youngest = self._clock() - self._list_lag
        matching: list[StoredMessage] = []
        while len(matching) < wanted:
            found = self._store.messages(
                channel="sms",
                to=query.get("To") or None,
                sender=query.get("From") or None,
                before_id=before,
                limit=_MAX_PAGE,
            )
            matching += [m for m in found if m.accepted_at <= youngest and _sent_when(m, query)]
            if len(found) < _MAX_PAGE:
                break
            before = found[-1].id
        return matching[:wanted]

    def _resource(self, message: StoredMessage, status: int) -> Response:
        return JSONResponse(message_body(message, self._account), status, _request_headers())


def _request_headers() -> dict[str, str]:
    return {"Twilio-Request-Id": "RQ" + secrets.token_hex(16), "Twilio-Concurrent-Requests": "1"}


def _cut(request: Request) -> Response:
    if cut_connection(request):
        return Response(status_code=204)  # goes nowhere: the connection is gone
    log.warning("standin.cannot_cut", reason="the app does not run under HttpStandin; answering 502")
    return Response(status_code=502)


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_FORM:
            raise TwilioProblem(413, 20001, f"The request body is larger than {_MAX_FORM} bytes.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise TwilioProblem(400, 20001, "The request body is not a readable form.") from None


def _number(query: QueryParams, name: str, default: int, *, maximum: int) -> int:
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise TwilioProblem(400, 20001, f"Invalid {name}: give a whole number.")
    return min(max(int(text), 1 if name == "PageSize" else 0), maximum)


def _sent_when(message: StoredMessage, query: QueryParams) -> bool:
    """Twilio's DateSent filters; they compare days, and a message that was not sent matches none."""
    checks: dict[str, Callable[[str, str], bool]] = {
        "DateSent": lambda sent, day: sent[: len(day)] == day,
        "DateSent<": lambda sent, day: sent[: len(day)] <= day,
        "DateSent>": lambda sent, day: sent[: len(day)] >= day,
    }
    asked: list[Any] = [(check, query[name]) for name, check in checks.items() if query.get(name)]
    if not asked:
        return True
    if message.sent_at is None:
        return False
    sent = message.sent_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return all(check(sent, day) for check, day in asked)
