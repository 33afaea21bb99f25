"""`tocsin api` and `tocsin worker`: the parts of the service as processes of their own."""

from __future__ import annotations

from typing import Annotated

import typer

from tocsin.cli.output import Json, one_line_errors
from tocsin.cli.service import safe_settings
from tocsin.roles import WORK, Role


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("api")(api)
    app.command("worker")(worker)


@one_line_errors
def api(as_json: Json = False) -> None:
    """Answer HTTP only: API, console, receipts. `tocsin worker` does the rest, in as many processes as you like."""
    from tocsin.observability.logs import set_up_logs
    from tocsin.server import run_api

    settings = safe_settings()
    set_up_logs(settings.log_level)
    run_api(settings, announce_json=as_json)


@one_line_errors
def worker(
    roles: Annotated[list[Role], typer.Argument(help=f"What to do: {', '.join(WORK)}.", metavar="ROLE...")],
    probe_port: Annotated[
        int | None,
        typer.Option("--probe-port", min=0, max=65535, help="Instead of `workers.probe_port`; 0: any that is free."),
    ] = None,
) -> None:
    """Do the work of one role or several. Any number of processes may do the same."""
    from tocsin.observability.logs import set_up_logs
    from tocsin.server import run_worker

    if Role.API in roles:
        raise typer.BadParameter("`tocsin api` does that.", param_hint="ROLE")
    settings = safe_settings()
    if probe_port is not None:
        workers = settings.workers.model_copy(update={"probe_port": probe_port})
        settings = settings.model_copy(update={"workers": workers})
    set_up_logs(settings.log_level)
    run_worker(settings, roles)
