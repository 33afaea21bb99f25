"""Who looks at a page: somebody with a session, or anybody in a demo."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from incidents.errors import NotAuthenticated
from tocsin.access.keys import Principal
from tocsin.access.roles import Permission
from tocsin.api.scopes import door_of
from tocsin.console import languages
from tocsin.console.languages import Language
from tocsin.console.sessions import Sessions
from tocsin.services import Services


@dataclass(frozen=True, slots=True)
class Viewer:
    """The reader of a page. `principal` is None in a demo without a session."""

    principal: Principal | None
    language: Language


def session_cookie(services: Services) -> str:
    """The cookie's name. With the `__Host-` prefix a browser sends it back to this very host over HTTPS only."""
    return "__Host-tocsin" if services.settings.public_url.startswith("https://") else "tocsin_session"


def sessions_of(services: Services) -> Sessions:
    """The sessions of this installation."""
    return Sessions(services.vault.keys, services.clock)


def language_of(request: Request) -> Language:
    """The reader's language."""
    return languages.choose(
        request.query_params.get("lang"),
        request.cookies.get(languages.COOKIE),
        request.headers.get("accept-language", ""),
    )


def principal_of(request: Request) -> Principal | None:
    """Whose session the request carries; None without a good one."""
    services = door_of(request.scope).services
    cookie = request.cookies.get(session_cookie(services))
    if not cookie:
        return None
    try:
        return services.keys.find(sessions_of(services).key_of(cookie))
    except NotAuthenticated:
        return None


def viewer_of(request: Request) -> Viewer | None:
    """The reader, if there is one who may read. None: ask for a login."""
    principal = principal_of(request)
    if principal is not None and principal.may(Permission.READ):
        return Viewer(principal, language_of(request))
    if door_of(request.scope).services.demo:
        return Viewer(None, language_of(request))
    return None
