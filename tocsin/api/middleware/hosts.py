"""Which names this service may be asked by.

A page of another site can make its own name point at this machine (DNS rebinding); its reader's browser then takes
this service for that site and hands it what it reads. Such requests carry the foreign name in `Host`.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from incidents.errors import FieldFault
from tocsin.api.problems import ProblemRaised, raised_response
from tocsin.settings import Settings
from tocsin.settings_section import is_loopback

_HOST = re.compile(r"^(?:\[([0-9A-Fa-f:.]+)\]|([^:/@\[\]\s]+))(?::\d{1,5})?$")
_FOR_EVERYBODY = frozenset({"/healthz", "/readyz"})
"""Asked by address by what watches the process; they say nothing about anybody."""


class Hosts:
    """ASGI middleware that answers 421 (RFC 9110 section 15.5.20) to requests for other hosts."""

    def __init__(self, app: ASGIApp, *, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _FOR_EVERYBODY or _with_key(scope) or self._is_ours(scope):
            await self._app(scope, receive, send)
            return
        detail = (
            "This service is not known by the name it was asked by. Use its public address, or add the name to the "
            "setting extra_hosts."
        )
        refusal = ProblemRaised("misdirected", detail, errors=[FieldFault("Host", "names another host")])
        await raised_response(scope, refusal)(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        # A browser always sends one; without any (HTTP/1.0) nothing can be misled.
        return not given or (len(given) == 1 and is_known(given[0], self._names))


def _with_key(scope: Scope) -> bool:
    """Whether it is Prometheus, which asks each replica by its address, with a key of its own. A page that misleads a
    browser has none, and one that is named is checked even on this machine."""
    return scope["path"] == "/metrics" and any(name == b"authorization" for name, _ in scope["headers"])


def names_of(settings: Settings) -> frozenset[str]:
    """The names in the settings: of the public address, the address listened on, and further ones."""
    named = (urlsplit(settings.public_url).hostname, settings.host, *settings.extra_hosts)
    return frozenset(_plain(name) for name in named if name)


def is_known(host: str, names: frozenset[str]) -> bool:
    """Whether a `Host` header names one of these or this machine itself; ports do not matter."""
    found = _HOST.match(host.strip())
    if found is None:
        return False
    name = _plain(found[1] or found[2])
    return name in names or name.endswith(".localhost") or is_loopback(name)


def _plain(name: str) -> str:
    """One spelling for each host: names in small letters, addresses as the standard writes them (RFC 5952)."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower().rstrip(".")
