"""Running the service: the HTTP door in the main thread, the workers beside it, until a signal ends both."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence

import structlog
import uvicorn
from fastapi import APIRouter

from incidents.errors import TocsinError
from tocsin.api.app import create_app
from tocsin.background import Background
from tocsin.instance import Instance, only_instance
from tocsin.services import Services
from tocsin.settings import Settings
from tocsin.wiring import open_services

log = structlog.get_logger(__name__)

BACKLOG = 2048
DRAIN_SECONDS = 20
"""How long requests and workers may take to finish after a signal."""


def run_server(settings: Settings, *, announce_json: bool = False) -> None:
    """Serve until SIGTERM or SIGINT. The first start makes an admin key and shows it once."""
    with only_instance(settings.database_url) as instance, open_services(settings) as services:
        if services.keys.is_empty():
            _, secret = services.keys.create("admin", ["admin"], created_by="system:tocsin")
            announce_key(secret, as_json=announce_json)
        serve(services, Background(services), instance)


def serve(
    services: Services,
    background: Background,
    instance: Instance,
    *,
    extra_routers: Sequence[APIRouter] = (),
    when_up: Callable[[], None] = lambda: None,
) -> None:
    """Start the workers, answer requests until a signal comes, stop the workers. TocsinError when the port is taken."""
    settings = services.settings
    sockets = listening(settings.host, settings.port)
    app = create_app(
        services, extra_routers=extra_routers, probes={"workers": background.fault, "instance": instance.fault}
    )
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
        server.run(sockets=sockets)
    finally:
        drained = background.workers.stop(DRAIN_SECONDS)
        log.info("service.stopped", drained=drained)


def listening(host: str, port: int) -> list[socket.socket]:
    """Sockets on every address that the host name stands for. TocsinError when the port is taken or cannot be had."""
    opened: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(
            socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        ):
            try:
                opened.append(socket.create_server(address[:2], family=family, backlog=BACKLOG))
            except OSError as error:
                # A name may stand for an address that this machine lacks (IPv6 switched off).
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
        if not opened:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    except OSError as error:
        for one in opened:
            one.close()
        if error.errno == errno.EADDRINUSE:
            reason = "another program listens there. Stop it, or choose another port."
        else:
            reason = f"{error.strerror}."
        raise TocsinError(f"Cannot listen on {host} port {port}: {reason}") from error
    return opened


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
