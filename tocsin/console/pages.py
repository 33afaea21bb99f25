"""Rendering: templates, and the headers and values every page has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tocsin.api.scopes import door_of
from tocsin.console import languages, words
from tocsin.console.looks import Looks, share
from tocsin.console.viewers import Viewer, language_of

_YEAR = 31_536_000


class Pages:
    """The console's templates. Everything that is put into a page is escaped."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("tocsin.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        words.table()  # a broken table stops the start, not a reader

    def render(
        self,
        request: Request,
        template: str,
        *,
        viewer: Viewer | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Response:
        """A page in the reader's language."""
        services = door_of(request.scope).services
        language = viewer.language if viewer else language_of(request)
        said = words.words_in(language)
        looks = Looks(said, services.profile.time_zone, services.clock.now())
        text = self._templates.get_template(template).render(
            w=said,
            looks=looks,
            share=share,
            zone=ZoneInfo(services.profile.time_zone),
            html_tag=languages.HTML_TAG[language],
            other=other_language(request, language),
            viewer=viewer,
            demo=services.demo,
            organisation=looks.text(services.profile.names, services.profile.name),
            **values,
        )
        response = HTMLResponse(text, status, dict(headers or {}))
        response.headers["Content-Language"] = languages.HTML_TAG[language]
        response.headers["Vary"] = "Accept-Language, Cookie"
        if request.query_params.get("lang") in languages.LANGUAGES:
            response.set_cookie(languages.COOKIE, language, max_age=_YEAR, samesite="lax", httponly=True)
        return response


def other_language(request: Request, language: languages.Language) -> str:
    """The address of the same page in the other language."""
    other = next(one for one in languages.LANGUAGES if one != language)
    return f"?{request.url.include_query_params(lang=other).query}"
