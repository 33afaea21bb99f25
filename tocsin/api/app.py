"""The HTTP application: routes, limits, problems, and nothing that knows how its parts were made."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import anyio
from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from incidents.alerts.dialects import LIMITS
from incidents.errors import FieldFault
from tocsin.api.attempts import Attempts
from tocsin.api.error_handlers import add_error_handlers
from tocsin.api.middleware.envelope import Envelope
from tocsin.api.middleware.faults import Faults
from tocsin.api.middleware.hosts import Hosts, names_of
from tocsin.api.middleware.limits import BodyLimit, Limits
from tocsin.api.openapi import describe
from tocsin.api.routes import (
    alerts,
    assets,
    audiences,
    boards,
    campaigns,
    delays,
    duties,
    events,
    filings,
    genuine,
    health,
    history,
    incident_views,
    incidents,
    keys,
    letters,
    parties,
    public_notices,
    receipts,
    recipients,
    runs,
    schemas,
    sending,
    simulation,
    suppressions,
    trials,
)
from tocsin.api.scopes import Door, Probe
from tocsin.console.console import create_console
from tocsin.console.pages import Pages
from tocsin.console.problem_pages import ProblemPages
from tocsin.public_pages.pages import public_router
from tocsin.services import Services
from tocsin.settings import Settings

UPLOADS_AT_ONCE = 2
_NO_TELEMETRY: Any = {"telemetry": {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}}
"""FastAPI's own puts the addresses of requests and the texts of errors into spans and logs; ours says neither. Versions
without it take the argument and leave it unused."""
_FORM_BYTES = 65_536
"""What a multipart form may add around a file."""
_WORDS_BYTES = 1_048_576
"""The words of a public notice in all its languages: a Chinese character is nine bytes of a form."""
_SHORT_FORM_BYTES = 4_096


_ROUTES = (
    alerts,
    incidents,
    incident_views,
    assets,
    duties,
    delays,
    filings,
    simulation,
    runs,
    campaigns,
    trials,
    sending,
    genuine,
    public_notices,
    letters,
    audiences,
    parties,
    boards,
    receipts,
    recipients,
    history,
    suppressions,
    keys,
    schemas,
    events,
    health,
)
"""In the order of the API's description."""


def create_app(
    services: Services,
    *,
    extra_routers: Sequence[APIRouter] = (),
    probes: Mapping[str, Probe] | None = None,
    notes: Callable[[], Sequence[FieldFault]] = list,
    show_within: float = 0.5,
) -> FastAPI:
    """The application over these services.

    `extra_routers` are mounted as they are (the outbox of the demo). `probes` are further parts that `/readyz` asks,
    by name; `notes` are what it says besides while the service is fit. An answer to a command waits up to `show_within`
    seconds for the read models.
    """
    settings, pages = services.settings, Pages()
    app = FastAPI(
        title="Tocsin",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        **_NO_TELEMETRY,
        middleware=[
            Middleware(Envelope, https=urlsplit(settings.public_url).scheme == "https"),
            Middleware(Hosts, names=names_of(settings)),
            Middleware(Limits, bodies=_body_limits(settings)),
            Middleware(Faults),
        ],
    )
    app.state.door = Door(
        services=services,
        attempts=Attempts(services.clock),
        probes=dict(probes or {}),
        notes=notes,
        show_within=show_within,
        problem_page=ProblemPages(pages),
        uploads=anyio.CapacityLimiter(UPLOADS_AT_ONCE),
    )
    add_error_handlers(app)
    app.include_router(suppressions.questions)
    app.include_router(letters.files)
    for module in _ROUTES:
        app.include_router(module.router)
    for router in (create_console(pages), public_router(services), *extra_routers):
        app.include_router(router)
    describe(app)
    return app


def _body_limits(settings: Settings) -> tuple[BodyLimit, ...]:
    def limit(pattern: str, max_bytes: int) -> BodyLimit:
        return BodyLimit(re.compile(pattern), max_bytes)

    return (
        limit(r"^/v1/alerts/[^/]+/batch$", LIMITS.max_batch_bytes),
        limit(r"^/v1/alerts/", settings.intake.max_bytes),
        limit(r"^/v1/campaigns/[^/]+/audience$", settings.audience.max_bytes + _FORM_BYTES),
        limit(r"^/v1/receipts/", _FORM_BYTES),
        limit(r"^/(login|logout|outbox|suppressions|u/)", _FORM_BYTES),
        limit(r"^/public-notices/", _WORDS_BYTES),
        limit(r"^/n(/|$)", _SHORT_FORM_BYTES),
    )
