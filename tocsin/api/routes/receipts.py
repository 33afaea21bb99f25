"""Receipts of providers. No key: each provider signs what it sends."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from incidents.errors import Forbidden, NotFound, TocsinError
from notifier.channels.spoken import thanks_in
from tocsin.api.problems import ProblemRaised
from tocsin.api.responses import problems
from tocsin.api.scopes import Parts
from tocsin.services import Services

router = APIRouter(prefix="/v1/receipts", tags=["receipts"])

MAX_FIELDS = 100
_FORM = {
    "schema": {
        "type": "object",
        "properties": {"MessageSid": {"type": "string"}, "MessageStatus": {"type": "string"}},
        "required": ["MessageSid", "MessageStatus"],
    }
}

_MESSAGE = {
    "schema": {
        "type": "object",
        "properties": {"From": {"type": "string"}, "Body": {"type": "string"}},
        "required": ["From"],
    }
}
_KEY = {
    "schema": {
        "type": "object",
        "properties": {"CallSid": {"type": "string"}, "Digits": {"type": "string"}},
        "required": ["CallSid"],
    }
}
_NO_ANSWER = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
"""TwiML that sends nothing back: Twilio confirms a STOP by itself."""


@router.post(
    "/twilio",
    status_code=204,
    summary="Twilio's status callback",
    responses=problems("malformed-request", "forbidden", "invalid-input", "not-found", "too-large"),
    openapi_extra={
        "security": [],
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": _FORM}},
    },
)
async def twilio(
    request: Request,
    services: Parts,
    signature: Annotated[str | None, Header(alias="X-Twilio-Signature", max_length=200)] = None,
) -> Response:
    """A delivery's new state, signed by Twilio. Forged ones are refused and counted; repeats change nothing."""
    params = await _form_of(request)
    await run_in_threadpool(_accept, services, str(request.url), params, signature)
    return Response(status_code=204)


@router.post(
    "/twilio/inbound",
    summary="A text message that a person sent back",
    responses=problems("malformed-request", "forbidden", "invalid-input", "not-found", "too-large"),
    response_class=Response,
    openapi_extra={
        "security": [],
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": _MESSAGE}},
    },
)
async def twilio_inbound(
    request: Request,
    services: Parts,
    signature: Annotated[str | None, Header(alias="X-Twilio-Signature", max_length=200)] = None,
) -> Response:
    """STOP puts the sender's number on the list of those not to be written to, START takes it off. Nothing is kept of
    the message."""
    params = await _form_of(request)
    await run_in_threadpool(_take_in, services, str(request.url), params, signature)
    return Response(_NO_ANSWER, media_type="text/xml")


@router.post(
    "/twilio/keypress",
    summary="A key that a person pressed in a call",
    responses=problems("malformed-request", "forbidden", "invalid-input", "not-found", "too-large"),
    response_class=Response,
    openapi_extra={
        "security": [],
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": _KEY}},
    },
)
async def twilio_keypress(
    request: Request,
    services: Parts,
    signature: Annotated[str | None, Header(alias="X-Twilio-Signature", max_length=200)] = None,
    lang: Annotated[str, Query(max_length=20)] = "en",
) -> Response:
    """The key that confirms moves the delivery to `read`, and the person is thanked; another key ends the call."""
    params = await _form_of(request)
    confirmed = await run_in_threadpool(_take_key, services, str(request.url), params, signature)
    return Response(thanks_in(lang) if confirmed else _NO_ANSWER, media_type="text/xml")


def _take_key(services: Services, url: str, params: dict[str, list[str]], signature: str | None) -> bool:
    if services.receipts is None:
        raise NotFound("Nobody is called from here, so there are no keys to take.")
    try:
        confirmed = services.receipts.accept_key(url, params, signature)
    except TocsinError as error:
        _count(services, "keypress_forged" if isinstance(error, Forbidden) else "keypress_invalid")
        raise
    _count(services, "keypress_confirmed" if confirmed else "keypress_other")
    return confirmed


def _take_in(services: Services, url: str, params: dict[str, list[str]], signature: str | None) -> None:
    inbound = services.notifier.inbound
    if inbound is None:
        raise NotFound("No text messages are sent from here, so there are none to take.")
    try:
        result = inbound.accept(url, params, signature)
    except TocsinError as error:
        _count(services, "inbound_forged" if isinstance(error, Forbidden) else "inbound_invalid")
        raise
    _count(services, f"inbound_{result.value}")


async def _form_of(request: Request) -> dict[str, list[str]]:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/x-www-form-urlencoded":
        raise ProblemRaised("unsupported-media-type", "Send the callback as application/x-www-form-urlencoded.")
    form = await request.form(max_files=0, max_fields=MAX_FIELDS)
    return {name: [str(value) for value in form.getlist(name)] for name in form}


def _accept(services: Services, url: str, params: dict[str, list[str]], signature: str | None) -> None:
    if services.receipts is None:
        raise NotFound("No text messages are sent from here, so there are no receipts to take.")
    try:
        result = services.receipts.accept(url, params, signature)
    except TocsinError as error:
        _count(services, "forged" if isinstance(error, Forbidden) else "invalid")
        raise
    _count(services, result.value)


def _count(services: Services, outcome: str) -> None:
    services.metrics.receipts.labels(provider="twilio", outcome=outcome).inc()
