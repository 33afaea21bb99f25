"""The command line's root: which commands there are, and where each lives."""

from __future__ import annotations

from importlib.metadata import version

import typer

from tocsin.cli import law, law_packs, remote, service, setup, vault
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
remote.register(app)
vault.register(app)


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
