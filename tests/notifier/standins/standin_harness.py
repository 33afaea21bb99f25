"""What the tests of the stand-ins share: running servers, a real Twilio client, a receiver of callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from notifier.channels.twilio_http import PooledTwilioHttpClient
from notifier.standins.dropping_http import HttpStandin
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.runner import Standins, StandinSettings
from tests.notifier.house import PATIENCE

ACCOUNT = "AC" + "a1" * 16
TOKEN = "token-of-the-stand-in"
SERVICE = "MG" + "b2" * 16
NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Receiver:
    """Collects the callbacks that come in, and answers as told."""

    base: str = ""
    answers: list[int] = field(default_factory=list)  # statuses to give first, then 204
    forms: list[list[tuple[str, str]]] = field(default_factory=list)
    signed: list[bool] = field(default_factory=list)

    async def receive(self, request: Request) -> Response:
        form = parse_qsl((await request.body()).decode(), keep_blank_values=True)
        url = f"{self.base}{request.url.path}" + (f"?{request.url.query}" if request.url.query else "")
        self.signed.append(
            RequestValidator(TOKEN).validate(url, dict(form), request.headers.get("x-twilio-signature", ""))
        )
        self.forms.append(form)
        return Response(status_code=self.answers.pop(0) if self.answers else 204)

    def statuses(self) -> list[str]:
        return [dict(form)["MessageStatus"] for form in self.forms]


@dataclass
class World:
    """Running stand-ins with everything around them."""

    standins: Standins
    store: OutboxStore
    clock: Clock
    receiver: Receiver
    client: Client
    http: PooledTwilioHttpClient

    @property
    def callback(self) -> str:
        return f"{self.receiver.base}/receipts?attempt=7&mac=ab%2Fcd"

    async def send(self, to: str, **options: Any) -> Any:
        """Create a message with the SDK."""
        given = {"from_": "+15005550006", "body": "Hello", "status_callback": self.callback} | options
        return await self.client.messages.create_async(to=to, **given)


@asynccontextmanager
async def world(
    store: OutboxStore | None = None, *, client_timeout: float = PATIENCE, **settings: Any
) -> AsyncIterator[World]:
    """Stand-ins on free ports with no delays, a receiver, and the real SDK pointed at them."""
    receiver, clock, own = Receiver(), Clock(), store or OutboxStore()
    sink = HttpStandin(Starlette(routes=[Route("/receipts", receiver.receive, methods=["POST"])]), "127.0.0.1", 0)
    await sink.start()
    receiver.base = f"http://127.0.0.1:{sink.port}"
    wanted = {"account_sid": ACCOUNT, "auth_token": TOKEN, "step_delay": 0.0, "slow_seconds": 2 * PATIENCE} | settings
    standins = Standins(own, StandinSettings(**wanted), clock=clock)
    await standins.start()
    http = PooledTwilioHttpClient(standins.twilio_url, timeout=client_timeout)
    try:
        yield World(standins, own, clock, receiver, Client(ACCOUNT, TOKEN, http_client=http), http)
    finally:
        await http.close()
        await standins.stop()
        await sink.stop()
        if store is None:
            own.close()


def run(coroutine: Any) -> Any:
    """Run one test's story in a loop of its own, with a limit that only a hang can reach."""

    async def limited() -> Any:
        return await asyncio.wait_for(coroutine, PATIENCE)

    return asyncio.run(limited())
