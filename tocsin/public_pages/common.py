"""What the public pages share: how they are made and kept, their limits, the organisation's name, days in the reader's
language."""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from importlib.resources import files
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date
from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from incidents.facts import OrganisationProfile
from tocsin.api.scopes import client_of
from tocsin.public_pages import words
from tocsin.public_pages.limits import Throttle
from tocsin.services import Services

SHARED = "public, max-age=60"
"""Short, because a code that is not known yet may be known in a minute."""
PRIVATE = "private, no-store"


class ReadByEverybody(ABC):
    """Handlers of pages for everybody. Synchronous: they read the database."""

    template: ClassVar[str]
    headers: ClassVar[Mapping[str, str]] = {}
    """That all its pages have besides."""

    def __init__(self, services: Services, throttle: Throttle) -> None:
        self._services = services
        self._throttle = throttle
        self._templates = Environment(
            loader=PackageLoader("tocsin.public_pages", "."), autoescape=True, undefined=StrictUndefined
        )
        self._style, self._policy = _style_and_policy()
        words.table()  # a broken table stops the start, not a reader

    def busy(self, request: Request) -> Response | None:
        """The answer to whoever asks too often; None to everybody else."""
        wait = self._throttle.wait_seconds(client_of(request.scope))
        if not wait:
            return None
        answer = self.page(request, "busy", status=429, cache=PRIVATE)
        answer.headers["Retry-After"] = str(wait)
        return answer

    def page(
        self,
        request: Request,
        state: str,
        available: Sequence[str] = words.LANGUAGES,
        *,
        status: int = 200,
        cache: str = SHARED,
        lang: str = "",
        **shown: Any,
    ) -> Response:
        """The page in a `state`, in the one of the `available` languages that the reader likes best. `lang`: what a
        form asks for, before the address and the browser."""
        chosen = choose(request, available, lang)
        text = self._templates.get_template(self.template).render(
            w=words.Words(chosen),
            state=state,
            language=chosen if chosen in words.LANGUAGES else "en",
            chosen=chosen,
            choices=[(tag, words.NAMES.get(tag, tag)) for tag in available],
            organisation=name_of(self._services.profile, chosen),
            style=Markup(self._style),  # noqa: S704 - our own file, as the policy's hash holds
            **self.shown(chosen, shown),
        )
        policy = {"Content-Security-Policy": self._policy}
        return HTMLResponse(text, status, {**headers_in(chosen), "Cache-Control": cache, **policy, **self.headers})

    @abstractmethod
    def shown(self, language: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the template shows in a language, from what the handler gave."""


def choose(request: Request, available: Sequence[str], lang: str = "") -> str:
    """The language of the reader, of those there are."""
    asked = lang or request.query_params.get("lang")
    return words.choose(asked, request.headers.get("accept-language", ""), available)


def headers_in(language: str) -> dict[str, str]:
    """Of an answer in a language."""
    return {"Cache-Control": SHARED, "Content-Language": language, "Vary": "Accept-Language"}


def _style_and_policy() -> tuple[str, str]:
    """The style sheet, and the Content-Security-Policy that lets in nothing else."""
    style = files("tocsin.public_pages").joinpath("page.css").read_text("utf-8")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return style, policy


def name_of(profile: OrganisationProfile, language: str) -> str:
    """The organisation's name for readers of a language."""
    return profile.names.get(language) or profile.names.get(language.partition("-")[0]) or profile.name


def day_of(instant: datetime, profile: OrganisationProfile, language: str) -> str:
    """The day of an instant where the organisation is, written out."""
    there = instant.astimezone(ZoneInfo(profile.time_zone))
    return format_date(there.date(), "long", Locale.parse(language, sep="-"))
