"""`tocsin serve`, `demo`, `watchdog`, `projections`, `keys`: commands that open the database themselves."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from incidents.errors import InvalidInput
from tocsin.cli.loading import load_settings
from tocsin.cli.output import Json, one_line_errors, say, show_table

if TYPE_CHECKING:
    from tocsin.settings import Settings

projections = typer.Typer(help="Read models.", no_args_is_help=True)
keys = typer.Typer(help="API keys.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("serve")(serve)
    app.command("demo")(demo)
    app.command("watchdog")(watchdog)
    app.add_typer(projections, name="projections")
    app.add_typer(keys, name="keys")


@one_line_errors
def serve(as_json: Json = False) -> None:
    """Serve with your settings. Refuses settings that are unsafe for real people; see `tocsin config check`."""
    from tocsin.observability.logs import set_up_logs
    from tocsin.server import run_server

    settings = safe_settings()
    set_up_logs(settings.log_level)
    run_server(settings, announce_json=as_json)


@one_line_errors
def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where the demo keeps its data.")] = Path("demo-data"),
    port: Annotated[int, typer.Option("--port", help="Port on 127.0.0.1.")] = 8000,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what an earlier demo left.")] = False,
    story: Annotated[bool, typer.Option("--story/--no-story", help="Play the night on an empty database.")] = True,
    twilio_url: Annotated[
        str | None, typer.Option("--twilio-url", help="Use stand-ins of another process (python -m notifier.standins).")
    ] = None,
    smtp_port: Annotated[int | None, typer.Option("--smtp-port", help="Their SMTP port.")] = None,
    bounce_port: Annotated[
        int, typer.Option("--bounce-port", help="Port on 127.0.0.1 that they bring bounces to; 0: they bring none.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Serve on this machine with simulated channels, and play one night's story on an empty database."""
    from tocsin.demo import Channels, run_demo

    if (twilio_url is None) != (smtp_port is None):
        raise InvalidInput("Give --twilio-url and --smtp-port together.", field="--smtp-port")
    channels = Channels(twilio_url, smtp_port, bounce_port) if twilio_url and smtp_port else None
    run_demo(folder, port=port, fresh=fresh, story=story, announce_json=as_json, channels=channels)


@one_line_errors
def watchdog(as_json: Json = False) -> None:
    """Derive the duties of all open incidents anew, compare with the record, and say what differs.

    Exit code 1 if something does. Sends no heartbeat: that is for the service whose clocks it vouches for.
    """
    from tocsin.background import Background
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        report = Background(services, ()).watchdog.look()
    if as_json:
        say({**asdict(report), "well": report.well})
    else:
        typer.echo(f"{report.incidents} open incidents, {report.duties} open duties: {len(report.faults)} faults")
        if report.faults:
            show_table(("where", "duty", "what"), [(fault.where, fault.duty, fault.what) for fault in report.faults])
    if not report.well:
        raise typer.Exit(1)


@projections.command("rebuild")
@one_line_errors
def rebuild(
    name: Annotated[str, typer.Argument(help="A projection's name, or `all`.")] = "all", as_json: Json = False
) -> None:
    """Build read models anew from the record; readers see the old ones until the new ones are complete."""
    from tocsin.wiring import open_services

    settings = load_settings()
    with open_services(settings) as services:
        with Progress(transient=True, disable=as_json) as progress:
            tasks = {}

            def report(projection: str, position: int, head: int) -> None:
                if projection not in tasks:
                    tasks[projection] = progress.add_task(projection, total=head)
                progress.update(tasks[projection], completed=position, total=head)

            services.projections.rebuild(name, progress=report)
        lags = services.projections.lag()
    if as_json:
        say([{"name": lag.name, "position": lag.position, "behind": lag.behind} for lag in lags])
    else:
        show_table(("projection", "position", "behind"), [(lag.name, lag.position, lag.behind) for lag in lags])


@projections.command("lag")
@one_line_errors
def lag(as_json: Json = False) -> None:
    """How far each read model is behind the record."""
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        lags = services.projections.lag()
    if as_json:
        say([{"name": lag.name, "position": lag.position, "behind": lag.behind} for lag in lags])
    else:
        show_table(("projection", "position", "behind"), [(lag.name, lag.position, lag.behind) for lag in lags])


@keys.command("create")
@one_line_errors
def create_key(
    name: Annotated[str, typer.Argument(help="Who or what it is for; stands in the record as the actor.")],
    role: Annotated[list[str], typer.Option("--role", help="analyst, approver, auditor, siem or admin; repeatable.")],
    days: Annotated[int | None, typer.Option("--days", min=1, help="Expires after so many days.")] = None,
    as_json: Json = False,
) -> None:
    """Make an API key. It is shown once."""
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        expires = services.clock.now() + timedelta(days=days) if days else None
        info, secret = services.keys.create(name, role, created_by="user:cli", expires_at=expires)
    if as_json:
        say({"key_id": info.key_id, "name": info.name, "roles": info.roles, "key": secret})
    else:
        typer.echo(f"{secret}\nKeep it: it is not stored and cannot be shown again.")


@keys.command("list")
@one_line_errors
def list_keys(as_json: Json = False) -> None:
    """All keys, without their secrets."""
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        found = services.keys.list()
    if as_json:
        say([{name: getattr(key, name) for name in key.__slots__} for key in found])
    else:
        show_table(
            ("id", "name", "roles", "created", "expires", "revoked"),
            [(k.key_id, k.name, ",".join(k.roles), k.created_at, k.expires_at, k.revoked_at) for k in found],
        )


@keys.command("revoke")
@one_line_errors
def revoke_key(key_id: str, as_json: Json = False) -> None:
    """Revoke a key at once."""
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        services.keys.revoke(key_id)
    if as_json:
        say({"revoked": key_id})
    else:
        typer.echo(f"revoked {key_id}")


def safe_settings() -> Settings:
    """The settings, if they are fit to serve with; InvalidInput with a line for each fault when not."""
    from tocsin.settings import faults

    settings = load_settings()
    if found := faults(settings):
        raise InvalidInput("These settings are not safe to serve with:", errors=found)
    return settings
