"""`tocsin vault`: the contacts of people: sealed anew after a rotation of the master key, erased when a person asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.progress import Progress

from incidents.errors import NotFound
from tocsin.cli.loading import load_settings
from tocsin.cli.output import EXIT_FAULT, Json, one_line_errors, say

if TYPE_CHECKING:
    from sqlalchemy import Engine

vault = typer.Typer(help="Contacts of the people affected and of contract parties.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(vault, name="vault")


@vault.command("rewrap")
@one_line_errors
def rewrap(as_json: Json = False) -> None:
    """Seal everything anew under the current master key. Repeating it, or stopping it half way, does no harm."""
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services, Progress(transient=True, disable=as_json) as progress:
        keys = services.vault.keys
        people = _repeat(services.vault.rewrap, services.vault.behind(), progress, "people")
        parties = _repeat(
            services.parties.rewrap_contacts, services.parties.contacts_behind(), progress, "contract parties"
        )
        services.notifier.suppressions.rewrap()
    earlier = [key_id for key_id in keys.keys if key_id != keys.current]
    if as_json:
        say({"current": keys.current, "people": people, "party_contacts": parties, "earlier": earlier})
        return
    typer.echo(f"{people} people and {parties} contacts of contract parties are sealed anew under {keys.current}.")
    if earlier:
        typer.echo(
            f"Nothing is sealed under {', '.join(earlier)} any more. Keep it in the key file for a week, until the "
            "receipts of what was sent under it have come, then take it out."
        )


@vault.command("erase")
@one_line_errors
def erase(
    people: Annotated[
        list[str],
        typer.Argument(metavar="RECIPIENT_ID...", help="Recipient ids, or references as printed in notices."),
    ],
    as_json: Json = False,
) -> None:
    """Erase people from the vault, for good. Erasing somebody twice does no harm; exit code 1 if one is unknown."""
    from tocsin.wiring import open_services

    results: list[dict[str, str]] = []
    with open_services(load_settings()) as services:
        for given in dict.fromkeys(people):
            try:
                recipient = _recipient(services.engine, given)
                result = "erased" if services.vault.erase(recipient) else "was erased before"
            except NotFound:
                recipient, result = None, "unknown"
            results.append({"given": given, "recipient_id": str(recipient or ""), "result": result})
    if as_json:
        say(results)
    else:
        for one in results:
            typer.echo(f"{one['given']}: {one['result']}")
    if any(one["result"] == "unknown" for one in results):
        raise typer.Exit(EXIT_FAULT)


@vault.command("erased")
@one_line_errors
def erased(as_json: Json = False) -> None:
    """Recipient ids of all who were erased. Keep the list beside backups: `tocsin restore --erased` needs it."""
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        if as_json:
            say([str(person) for person in services.vault.erased()])
        else:
            for person in services.vault.erased():
                typer.echo(str(person))


def _recipient(engine: Engine, given: str) -> UUID:
    from notifier.deliveries.lookup import recipient_of

    try:
        return UUID(given)
    except ValueError:
        return recipient_of(engine, given)


def _repeat(work: Callable[[], int], total: int, progress: Progress, what: str) -> int:
    task, done = progress.add_task(what, total=total), 0
    while step := work():
        done += step
        progress.update(task, completed=done)
    return done
