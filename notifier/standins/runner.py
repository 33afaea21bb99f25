"""Both stand-ins in the running event loop."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from notifier.standins.bounces import BounceSink
from notifier.standins.callback_sender import CallbackFaults, CallbackSender
from notifier.standins.dropping_http import HttpStandin
from notifier.standins.outbox_pages import create_outbox_router
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.smtp_server import SmtpOptions, SmtpStandin, serve_smtp
from notifier.standins.twilio_calls import CallFollower
from notifier.standins.twilio_server import create_twilio_app

DEFAULT_ACCOUNT = "AC" + "0" * 32


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandinSettings:
    """Where the stand-ins listen (port 0: any free one) and how fast the world they play is.

    Delays are in seconds. ``step_delay`` stands before each state of an SMS.
    """

    host: str = "127.0.0.1"
    twilio_port: int = 0
    smtp_port: int = 0
    account_sid: str = DEFAULT_ACCOUNT
    auth_token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    step_delay: float = 0.2
    slow_seconds: float = 20.0
    faults: CallbackFaults = field(default_factory=CallbackFaults)
    smtp: SmtpOptions = field(default_factory=SmtpOptions)


class Standins:
    """The Twilio and SMTP stand-ins over one outbox, in the loop that calls ``start()``.

    The store belongs to the caller and is not closed. Use as ``async with Standins(store, settings)``
    or by ``start()`` and ``stop()``, both in the same loop.
    """

    def __init__(
        self,
        store: OutboxStore,
        settings: StandinSettings | None = None,
        *,
        clock: Callable[[], datetime] = _utc_now,
        bounce_sink: BounceSink | None = None,
        random: Random | None = None,
    ) -> None:
        self.store = store
        self.settings = settings or StandinSettings()
        self._clock = clock
        self._bounce_sink = bounce_sink
        self._random = random
        self._callbacks: CallbackSender | None = None
        self._calls: CallFollower | None = None
        self._http: HttpStandin | None = None
        self._smtp: SmtpStandin | None = None

    @property
    def twilio_url(self) -> str:
        """Base address of the Twilio stand-in, without a slash at the end."""
        host = self.settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._http.port if self._http else 0}"

    @property
    def outbox_url(self) -> str:
        """Address of the outbox page."""
        return f"{self.twilio_url}/outbox"

    @property
    def smtp_host(self) -> str:
        """Host of the SMTP stand-in."""
        return self.settings.host

    @property
    def smtp_port(self) -> int:
        """Port of the SMTP stand-in."""
        return self._smtp.port if self._smtp else 0

    async def start(self) -> None:
        """Listen on both ports, and take up what an earlier process left unfinished.

        Raises:
            OSError: a port is taken.
        """
        settings = self.settings
        self._callbacks = CallbackSender(
            self.store,
            account_sid=settings.account_sid,
            auth_token=settings.auth_token,
            clock=self._clock,
            step_delay=settings.step_delay,
            faults=settings.faults,
            random=self._random,
        )
        self._calls = CallFollower(
            self.store,
            account_sid=settings.account_sid,
            auth_token=settings.auth_token,
            clock=self._clock,
            step_delay=settings.step_delay,
        )
        app = create_twilio_app(
            self.store,
            account_sid=settings.account_sid,
            auth_token=settings.auth_token,
            clock=self._clock,
            callbacks=self._callbacks,
            slow_seconds=settings.slow_seconds,
            calls=self._calls,
        )
        app.include_router(create_outbox_router(self.store))
        http = HttpStandin(app, settings.host, settings.twilio_port)
        await http.start()
        self._http = http
        try:
            self._smtp = await serve_smtp(
                settings.host,
                settings.smtp_port,
                self.store,
                clock=self._clock,
                options=settings.smtp,
                bounce_sink=self._bounce_sink,
            )
        except OSError:
            await self.stop()
            raise
        self._callbacks.resume()
        self._calls.resume()
        self._smtp.resume()

    async def idle(self) -> None:
        """Wait until every callback and bounce under way has been sent."""
        if self._callbacks is not None:
            await self._callbacks.idle()
        if self._calls is not None:
            await self._calls.idle()
        if self._smtp is not None:
            await self._smtp.idle()

    async def stop(self) -> None:
        """Stop both servers. What is unfinished stays in the outbox and is taken up by the next start."""
        if self._smtp is not None:
            await self._smtp.close()
        if self._http is not None:
            await self._http.stop()
        if self._callbacks is not None:
            await self._callbacks.stop()
        if self._calls is not None:
            await self._calls.stop()
        self._smtp = self._http = self._callbacks = self._calls = None

    async def __aenter__(self) -> Standins:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()
