"""Running a process: its workers, and its HTTP door or its probes, from the start until a signal ends it.

Start order does not matter: a process whose database or schema is not there yet answers probes, says what it waits for,
and begins when that is there. It ends in good order: nothing new is begun, what is on the wire is finished, leases and
claims are given back.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import structlog
import uvicorn

from incidents.errors import FieldFault, InvalidInput, TocsinError
from incidents.record import stable_id
from tocsin.background import Background
from tocsin.instance import one_of_many, only_instance
from tocsin.probes import ProbeServer, create_probes
from tocsin.readiness import of_database
from tocsin.roles import EVERYTHING, ONLY_WITH_KAFKA, Role, process_name
from tocsin.services import Services
from tocsin.settings import Settings
from tocsin.waiting import Stopped, Waiting
from tocsin.wiring import ALONE, open_services
from tocsin.workers import settle_in

if TYPE_CHECKING:
    from fastapi import APIRouter

log = structlog.get_logger(__name__)

BACKLOG = 2048


class Opens(Protocol):
    """Opens the services; `tocsin.wiring.open_services`, or the same with more arguments given."""

    def __call__(
        self, settings: Settings, *, worker: str, brings_schema: bool, waiting: Waiting | None
    ) -> AbstractContextManager[Services]: ...


def run_server(settings: Settings, *, announce_json: bool = False, opens: Opens = open_services) -> None:
    """Everything in one process, until SIGTERM or SIGINT; on a database server any number of such processes. The first
    start makes an admin key and shows it once."""
    if settings.is_on_server:
        _run(settings, EVERYTHING, process_name(EVERYTHING), opens, brings_schema=True, announce_json=announce_json)
        return
    with only_instance(settings.database_url):
        _run(settings, EVERYTHING, None, opens, brings_schema=True, announce_json=announce_json)


def run_api(settings: Settings, *, announce_json: bool = False, opens: Opens = open_services) -> None:
    """HTTP only; others do the work."""
    with one_of_many(settings.database_url):
        roles = {Role.API}
        _run(settings, roles, process_name(roles), opens, brings_schema=False, announce_json=announce_json)


def run_worker(settings: Settings, roles: Collection[Role], *, opens: Opens = open_services) -> None:
    """The work of these roles, and probes."""
    if not settings.kafka.is_set and (missing := sorted(ONLY_WITH_KAFKA & set(roles))):
        raise InvalidInput(f"{' and '.join(missing)} need Kafka: set `kafka.bootstrap_servers`.", field="role")
    with one_of_many(settings.database_url):
        _run(settings, set(roles), process_name(roles), opens, brings_schema=False)


def _run(
    settings: Settings,
    roles: Collection[Role],
    process: str | None,
    opens: Opens,
    *,
    brings_schema: bool,
    announce_json: bool = False,
) -> None:
    stop = threading.Event()
    is_door = Role.API in roles
    address = (settings.host, settings.port) if is_door else (settings.workers.probe_host, settings.workers.probe_port)
    sockets = listening(*address)
    waiting = Waiting(stop) if settings.is_on_server else None
    structlog.contextvars.bind_contextvars(process=process or ALONE)
    with ExitStack() as stack:
        stack.callback(_close, sockets)
        stack.enter_context(ending_by_signal(stop))
        if settings.traces.endpoint:
            from tocsin.observability.traces import sending_traces  # its SDK is loaded only where spans are sent

            stack.enter_context(sending_traces(settings.traces, role="+".join(sorted(roles)), process=process or ALONE))
        try:
            with _probing_while_waiting(waiting, sockets):
                services = stack.enter_context(
                    opens(settings, worker=process or ALONE, brings_schema=brings_schema, waiting=waiting)
                )
                begin = partial(_begin, services, roles, process, announce_json=announce_json)
                background = begin() if waiting is None else waiting.until(begin)
        except Stopped:
            log.info("process.ended", reason="told to end while it waited")
            return
        settle_in()
        if is_door:
            serve(services, background, sockets=sockets, stop=stop)
        else:
            work(services, background, sockets, stop)


def _begin(services: Services, roles: Collection[Role], process: str | None, *, announce_json: bool) -> Background:
    if Role.API in roles and services.keys.is_empty():
        first = stable_id("command", "first-key")  # two that start at once make one key, and one of them shows it
        _, secret = services.keys.create_once(first, "admin", ["admin"], created_by="system:tocsin")
        if secret is not None:
            announce_key(secret, as_json=announce_json)
    if {Role.API, Role.PLAYBOOKS} & set(roles):  # nobody's first request or incident waits for it to be read
        log.info("law.in-use", packs=len(services.law.packs), digest=services.law.digest)
    return Background(services, roles, process=process)


def work(services: Services, background: Background, sockets: Sequence[socket.socket], stop: threading.Event) -> None:
    """Run the workers and answer probes until `stop` is set."""

    def faults() -> list[FieldFault]:
        found = of_database(services.engine)
        if (fault := background.fault()) is not None:
            found.append(FieldFault("workers", fault))
        services.metrics.ready.set(not found)
        return found

    host, port = sockets[0].getsockname()[:2]
    probes = create_probes(faults, services.metrics.render, notes=background.notes)
    with working(services, background), ProbeServer(probes, sockets):
        log.info("worker.started", workers=[worker.name for worker in background.workers], probes=f"{host}:{port}")
        stop.wait()
        background.ask_to_stop()


def serve(
    services: Services,
    background: Background,
    *,
    sockets: Sequence[socket.socket] | None = None,
    stop: threading.Event | None = None,
    extra_routers: Sequence[APIRouter] = (),
    when_up: Callable[[], None] = lambda: None,
) -> None:
    """Start the workers, answer requests until a signal comes (or `stop` is set already), stop the workers.
    TocsinError when the port is taken."""
    from tocsin.api.app import create_app  # half of what a process loads; workers do without

    settings = services.settings
    sockets = sockets or listening(settings.host, settings.port)
    probes = {"workers": background.fault}
    app = create_app(services, extra_routers=extra_routers, probes=probes, notes=background.notes)
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
            timeout_graceful_shutdown=settings.workers.drain_seconds,
            h11_max_incomplete_event_size=64 * 1024,
        ),
        when_up,
        background.ask_to_stop,
    )
    with ending_by_signal(stop or threading.Event()), working(services, background):
        log.info("service.started", host=settings.host, port=settings.port, demo=services.demo)
        if stop is None or not stop.is_set():
            server.run(sockets=list(sockets))


@contextmanager
def working(services: Services, background: Background) -> Iterator[None]:
    """The workers, for as long as the block runs and until they have finished what they were at."""
    background.start()
    try:
        yield
    finally:
        drained = background.stop(services.settings.workers.drain_seconds)
        log.info("service.stopped", drained=drained)


@contextmanager
def ending_by_signal(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop` and end nothing by themselves."""
    before: Mapping[int, Any] = {
        number: signal.signal(number, lambda _number, _frame: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _probing_while_waiting(waiting: Waiting | None, sockets: Sequence[socket.socket]) -> Iterator[None]:
    """Whoever asks is told that the process lives, and what it waits for."""
    if waiting is None:
        yield
        return

    def faults() -> list[FieldFault]:
        return [FieldFault("start", waiting.reason or "not finished yet")]

    with ProbeServer(create_probes(faults, lambda: b"", before_the_door=True), sockets):
        yield


def _close(sockets: Sequence[socket.socket]) -> None:
    for one in sockets:
        one.close()


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
    """Calls `when_up` once requests are answered, and `when_told` when a signal comes."""

    def __init__(
        self, config: uvicorn.Config, when_up: Callable[[], None], when_told: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(config)
        self._when_up = when_up
        self._when_told = when_told

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            self._when_up()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        # In a thread: a handler runs between any two steps of this one, which may hold the very locks this needs.
        threading.Thread(target=self._when_told, daemon=True).start()


def announce_key(secret: str, *, as_json: bool) -> None:
    """Show the first key, on standard output and nowhere else: logs are kept, this is not."""
    if as_json:
        sys.stdout.write(json.dumps({"admin_key": secret}) + "\n")
    else:
        sys.stdout.write(f"Admin key (shown this once, keep it): {secret}\n")
    sys.stdout.flush()
