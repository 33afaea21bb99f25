"""`tocsin demo`: the whole service on this machine, with simulated channels and, on an empty database, a story.

Everything public about it (keys, tokens) is refused outside the demo, and it listens on loopback only.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import structlog

from incidents.clock import SystemClock
from incidents.errors import InvalidInput
from incidents.facts import OrganisationProfile
from notifier.deliveries import Timing
from notifier.standins.bounces import smtp_bounce_sink
from notifier.standins.outbox_pages import create_outbox_router
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.outcomes import NUMBER_RANGES
from notifier.standins.runner import DEFAULT_ACCOUNT, Standins, StandinSettings
from tocsin.background import Background
from tocsin.instance import SUFFIX, only_instance
from tocsin.observability.logs import set_up_logs
from tocsin.server import serve
from tocsin.services import Services
from tocsin.settings import DEMO_MASTER_KEY, DEMO_TWILIO_TOKEN, Settings, load_settings
from tocsin.story.clock import StoryClock
from tocsin.story.script import Story
from tocsin.wiring import open_services

log = structlog.get_logger(__name__)

HOST = "127.0.0.1"
MARKER = "tocsin-demo"
"""A file that tells a demo's folder from any other, so that `--fresh` deletes nothing else."""

DEMO_KEYS = {
    "demo-analyst": ["analyst"],
    "demo-approver": ["approver"],
    "demo-auditor": ["auditor"],
    "demo-privacy": ["privacy"],
    "demo-siem": ["siem"],
    "demo-admin": ["admin"],
}

TIMING = Timing(
    check_delays=(timedelta(seconds=1), timedelta(seconds=3)),
    poll_delays=(timedelta(seconds=20), timedelta(minutes=5)),
    first_backoff=timedelta(seconds=1),
)
"""A demo is watched: its world answers at once, so it asks sooner than one would ask a real provider."""


@dataclass(frozen=True)
class Channels:
    """Where the simulated providers listen."""

    twilio_url: str
    smtp_port: int
    bounce_port: int = 0
    """Where they bring bounces; 0: they bring none."""


def run_demo(
    folder: Path,
    *,
    port: int = 8000,
    fresh: bool = False,
    story: bool = True,
    announce_json: bool = False,
    channels: Channels | None = None,
) -> None:
    """Serve the demo until a signal. `channels` names stand-ins that run in a process of their own."""
    open_folder(folder)
    with ExitStack() as stack:
        stack.enter_context(only_instance(_database(folder)))
        set_up_logs("warning" if sys.stderr.isatty() else "info")
        if fresh:
            empty_folder(folder)
        store = OutboxStore(folder / "outbox.sqlite")
        stack.callback(store.close)
        simulated = stack.enter_context(_simulated_channels(store, channels))
        settings = demo_settings(folder, port, simulated)
        clock = StoryClock(SystemClock())
        with open_services(
            settings,
            demo=True,
            clock=clock,
            profile=demo_profile(),
            simulated_numbers=tuple(known.pattern.pattern for known in NUMBER_RANGES),
            timing=TIMING,
        ) as services:
            background = Background(services)
            keys = _demo_keys(services, folder)
            night = Story(services, clock, settled=background.is_settled)
            to_play = story and night.prepare()

            def when_up() -> None:
                outbox = f"{channels.twilio_url if channels else settings.public_url}/outbox"
                _announce(settings, outbox, keys, as_json=announce_json)
                if to_play:
                    threading.Thread(target=_play, args=(night,), name="story", daemon=True).start()

            # Stand-ins of another process show their own outbox; ours would stay empty.
            outbox_pages = [] if channels else [create_outbox_router(store)]
            serve(services, background, extra_routers=outbox_pages, when_up=when_up)


def open_folder(folder: Path) -> None:
    """Make the folder; InvalidInput for one that is not a demo's."""
    marker = folder / MARKER
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise InvalidInput(f"{folder} holds something that is no demo; name another folder.", field="--folder")
    folder.mkdir(parents=True, exist_ok=True)
    marker.touch()


def empty_folder(folder: Path) -> None:
    """Delete what an earlier demo left there, but for the marker and the lock that this one holds."""
    for path in folder.iterdir():
        if path.name == MARKER or path.suffix == SUFFIX:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _database(folder: Path) -> str:
    return f"sqlite:///{folder / 'tocsin.sqlite'}"


def demo_settings(folder: Path, port: int, channels: Channels) -> Settings:
    """Settings of the demo, whatever the environment says."""
    return load_settings(
        database_url=_database(folder),
        host=HOST,
        port=port,
        public_url=f"http://{HOST}:{port}",
        sms={
            "mode": "simulated",
            "account_sid": DEFAULT_ACCOUNT,
            "auth_token": DEMO_TWILIO_TOKEN,
            "sender": "+15555550100",
            "base_url": channels.twilio_url,
        },
        smtp={
            "mode": "simulated",
            "host": HOST,
            "port": channels.smtp_port,
            "tls": "none",
            "sender": "incident@xiangyao.example",
        },
        warnings={"owners": {"dpo": {"name": "Data protection office", "email": ["privacy@xiangyao.example"]}}},
        bounces={"address": "b@xiangyao.example", "smtp_host": HOST, "smtp_port": channels.bounce_port},
        vault={"master_keys": f"demo:{base64.b64encode(DEMO_MASTER_KEY).decode()}"},
    )


def demo_profile() -> OrganisationProfile:
    """The organisation of the story."""
    return OrganisationProfile.from_toml(files("tocsin.story").joinpath("organisation.toml").read_text("utf-8"))


@contextmanager
def _simulated_channels(store: OutboxStore, given: Channels | None) -> Iterator[Channels]:
    """The stand-ins in a thread with a loop of its own, or those that run elsewhere."""
    if given is not None:
        yield given
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="standins", daemon=True)
    thread.start()
    bounce_port = _free_port()
    standins = Standins(
        store, StandinSettings(auth_token=DEMO_TWILIO_TOKEN), bounce_sink=smtp_bounce_sink(HOST, bounce_port)
    )
    asyncio.run_coroutine_threadsafe(standins.start(), loop).result(30)
    try:
        yield Channels(standins.twilio_url, standins.smtp_port, bounce_port)
    finally:
        asyncio.run_coroutine_threadsafe(standins.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _demo_keys(services: Services, folder: Path) -> dict[str, str]:
    """One key for each role, made when it is missing and kept in the demo's folder."""
    path = folder / "keys.json"
    kept: dict[str, str] = {}
    if path.exists() and not services.keys.is_empty():
        kept = json.loads(path.read_text("utf-8"))
    taken = {key.name for key in services.keys.list()}
    made = {
        name: services.keys.create(name, roles, created_by="system:demo")[1]
        for name, roles in DEMO_KEYS.items()
        if name not in taken
    }
    if made:
        path.touch(mode=0o600)
        path.write_text(json.dumps(kept | made, indent=2) + "\n", "utf-8")
    return kept | made


def _play(story: Story) -> None:
    try:
        story.play()
        log.info("story.over")
    except Exception:
        # The service goes on without its story; what was played stays, and the next start goes on from there.
        log.exception("story.stopped")


def _announce(settings: Settings, outbox: str, keys: dict[str, str], *, as_json: bool) -> None:
    address = settings.public_url
    if as_json:
        sys.stdout.write(json.dumps({"board": f"{address}/", "outbox": outbox, "keys": keys}) + "\n")
    else:
        lines = [
            "",
            f"  Board    {address}/",
            f"  Outbox   {outbox}   (what each person would have received)",
            f"  API      {address}/docs",
            "",
            "  All channels are simulated: nothing leaves this machine. Keys for the API:",
            *(f"    {name:14} {secret}" for name, secret in keys.items()),
            "",
            "  Ctrl-C ends it.",
            "",
        ]
        sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
