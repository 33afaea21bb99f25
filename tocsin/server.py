"""Running the service: the HTTP door in the main thread, the workers beside it, until a signal ends both."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence

import structlog
import uvicorn
from fastapi import APIRouter

from tocsin.api.app import create_app
from tocsin.background import Background
from tocsin.services import Services
from tocsin.settings import Settings
from tocsin.wiring import open_services

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 20
"""How long requests and workers may take to finish after a signal."""


def run_server(settings: Settings, *, announce_json: bool = False) -> None:
    """Serve until SIGTERM or SIGINT. The first start makes an admin key and shows it once."""
    with open_services(settings) as services:
        if services.keys.is_empty():
            _, secret = services.keys.create("admin", ["admin"], created_by="system:tocsin")
            announce_key(secret, as_json=announce_json)
        serve(services, Background(services))


def serve(
    services: Services,
    background: Background,
    *,
    extra_routers: Sequence[APIRouter] = (),
    when_up: Callable[[], None] = lambda: None,
) -> None:
    """Start the workers, answer requests until a signal comes, stop the workers."""
    settings = services.settings
    app = create_app(services, extra_routers=extra_routers, probes={"workers": background.fault})
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,  # addresses of requests may name people's references; requests are counted instead
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies or None,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            h11_max_incomplete_event_size=64 * 1024,
        ),
        when_up,
    )
    background.workers.start()
    log.info("service.started", host=settings.host, port=settings.port, demo=services.demo)
    try:
        server.run()
    finally:
        drained = background.workers.stop(DRAIN_SECONDS)
        log.info("service.stopped", drained=drained)


class _Server(uvicorn.Server):
    """Calls `when_up` once requests are answered."""

    def __init__(self, config: uvicorn.Config, when_up: Callable[[], None]) -> None:
        super().__init__(config)
        self._when_up = when_up

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            self._when_up()


def announce_key(secret: str, *, as_json: bool) -> None:
    """Show the first key, on standard output and nowhere else: logs are kept, this is not."""
    if as_json:
        sys.stdout.write(json.dumps({"admin_key": secret}) + "\n")
    else:
        sys.stdout.write(f"Admin key (shown this once, keep it): {secret}\n")
    sys.stdout.flush()
