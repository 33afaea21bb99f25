"""The command line's root: which commands there are, and where each lives."""

from __future__ import annotations

from importlib.metadata import version

import typer

from tocsin.cli import (
    alerts,
    audience,
    backup,
    deliveries,
    drafting,
    filings,
    history,
    law,
    law_packs,
    letters,
    migrate,
    notices,
    public_notices,
    record,
    relay,
    remote,
    remote_duties,
    sending,
    service,
    setup,
    suppressions,
    vault,
    worker,
)
from tocsin.cli.output import Json, one_line_errors, say

app = typer.Typer(
    name="tocsin",
    help="Incident response and notification: from an alert to everybody who must be told, in time and provably.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

setup.register(app)
law.register(app)
law_packs.register(app)
service.register(app)
migrate.register(app)
record.register(app)
deliveries.register(app)
worker.register(app)
remote.register(app)
remote_duties.register(app)
drafting.register(remote.campaign)
sending.register(remote.campaign)
filings.register(app)
notices.register(app)
public_notices.register(app)
letters.register(app)
vault.register(app)
history.register(app)
audience.register(app)
suppressions.register(app)
backup.register(app)
relay.register(app)
alerts.register(app)


@app.command("version")
@one_line_errors
def show_version(as_json: Json = False) -> None:
    """Print the version."""
    number = version("tocsin")
    if as_json:
        say({"version": number})
    else:
        typer.echo(f"tocsin {number}")


def main() -> None:
    """Entry point of the console script."""
    app()
