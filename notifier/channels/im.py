"""Instant messages by Apprise, which speaks to WeCom, DingTalk, Feishu, Slack, Teams, Telegram and many others.

A service is an Apprise address of ours that holds a secret, with `{address}` where the person's identifier belongs; a
group has no such place. Apprise is synchronous, so it works in threads of its own. It says yes or no and hides why: a
yes is a message taken, a no or a silence may be either, and is called unclear. Nothing it logs is let through, because
it logs addresses.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

import structlog

from incidents.errors import FieldFault, InvalidInput
from notifier.channels.channel import AboutToWrite, Found, Outgoing
from notifier.channels.outcome import Outcome, Verdict
from notifier.templates import RenderedEmail, RenderedSms

log = structlog.get_logger(__name__)

PLACE = "{address}"
SAMPLE = "123456789"
MAX_BODY = 3_500
"""Characters of one message; Telegram and Discord take little more or less, and Apprise cuts what is over theirs."""
_IDENTIFIER = re.compile(r"(?!.*\.\.)[A-Za-z0-9@._+=-]{1,120}")
"""Apprise takes an address apart after undoing its escapes, so nothing may be in it that could be a part of its own."""
_LOUD = ("apprise", "urllib3", "requests")


@dataclass(frozen=True, slots=True)
class ImSettings:
    """Apprise addresses by the name of the service (or group)."""

    services: Mapping[str, str] = field(repr=False)
    concurrency: int = 4
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    timeout: float = 45.0
    """For a whole message, after which nobody waits for it any more."""


class ImChannel:
    """Sends instant messages to persons and groups."""

    name = "im"
    reconciles = False
    has_receipts = False

    def __init__(self, settings: ImSettings) -> None:
        self.concurrency = settings.concurrency
        self.write_timeout = settings.timeout
        self._settings = settings
        self._library = _library()
        self._asset = self._library.AppriseAsset(
            async_mode=False, app_id="Tocsin", app_desc="Tocsin", http_redirects=False
        )
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="im")

    async def send(self, message: Outgoing, about_to_write: AboutToWrite) -> Outcome:
        """Send once. `address` is `service:identifier`, or `group:`."""
        title, text = _words(message)
        service, _, identifier = message.address.partition(":")
        url = self._settings.services.get(service)
        if url is None:
            return Outcome(Verdict.REJECTED, code="no-service")
        place = self._opened(url, identifier) if PLACE not in url or _IDENTIFIER.fullmatch(identifier) else None
        if place is None:
            return Outcome(Verdict.REJECTED, code="address")
        await about_to_write()
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._notify, place, title, text)
        try:
            taken = await asyncio.wait_for(work, self._settings.timeout)
        except TimeoutError:
            return Outcome(Verdict.AMBIGUOUS, code="timeout")
        except Exception as error:  # noqa: BLE001 - a service's own code; it may have written, and its text may name people
            log.warning("im.broke", service=service, reason=type(error).__name__)
            return Outcome(Verdict.AMBIGUOUS, code=type(error).__name__[:40])
        return Outcome(Verdict.ACCEPTED) if taken else Outcome(Verdict.AMBIGUOUS, code="not-confirmed")

    async def find(self, address: str, marker: str, after: datetime) -> list[Found]:
        """These services are not asked."""
        del address, marker, after
        return []

    async def look_up(self, provider_id: str) -> Found | None:
        """Nor here."""
        del provider_id
        return None

    async def close(self) -> None:
        """Let threads end by themselves: each is bounded by its time limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _opened(self, url: str, identifier: str) -> Any:
        full = url.replace(PLACE, quote(identifier, safe=""))
        place = self._library.Apprise.instantiate(full, asset=self._asset, suppress_exceptions=True)
        if place is None:
            return None
        place.socket_connect_timeout = self._settings.connect_timeout
        place.socket_read_timeout = self._settings.read_timeout
        return place

    def _notify(self, place: Any, title: str, text: str) -> bool:
        library = self._library
        return bool(
            place.notify(
                body=text,
                title=title,
                notify_type=library.NotifyType.INFO,
                body_format=library.NotifyFormat.TEXT,
            )
        )


def read_services(text: str, setting: str, *, for_persons: bool) -> dict[str, str]:
    """Apprise addresses from lines of `name = address`; empty lines and those that begin with # do not count.
    InvalidInput that names the line and never the address, which is a secret."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, url = (part.strip() for part in line.partition("="))
        if not name.replace("-", "").isalnum() or not name.islower() or "://" not in url:
            raise _wrong(setting, number, "is not `name = scheme://...`, with a name of small letters")
        if for_persons is not (PLACE in url):
            reason = f"has no {PLACE} where the person's identifier belongs" if for_persons else f"has a {PLACE}"
            raise _wrong(setting, number, reason)
        found[name] = url
    return found


def faults_of(services: Mapping[str, str], setting: str) -> list[FieldFault]:
    """Which of them Apprise cannot use; without Apprise, that it is missing."""
    try:
        library = _library()
    except InvalidInput as error:
        return [FieldFault(setting, error.detail)]
    return [
        FieldFault(setting, f"{name}: Apprise knows no such address")
        for name, url in services.items()
        if library.Apprise.instantiate(url.replace(PLACE, SAMPLE), suppress_exceptions=True) is None
    ]


def _wrong(setting: str, number: int, reason: str) -> InvalidInput:
    return InvalidInput(
        "The addresses for instant messages are not right.", errors=[FieldFault(setting, f"line {number} {reason}")]
    )


def _words(message: Outgoing) -> tuple[str, str]:
    content = message.content
    if isinstance(content, RenderedSms):
        return "", content.text[:MAX_BODY]
    if isinstance(content, RenderedEmail):
        return content.subject, content.text[:MAX_BODY]
    raise TypeError("instant messages are texts")


def _library() -> Any:
    try:
        import apprise
    except ImportError as error:
        raise InvalidInput(
            "Instant messages need apprise, which is not installed. Install tocsin[im].", field="im"
        ) from error
    for name in _LOUD:  # they log addresses with tokens and persons in them
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return apprise
