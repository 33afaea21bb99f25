"""`tocsin letters`: letters by post, for those whom nothing else reached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from tocsin.cli.output import Json, one_line_errors, say
from tocsin.cli.remote import HERE, Key, Service, Url

letters = typer.Typer(help="Letters by post: pages and addresses for a printing house.", no_args_is_help=True)

PAGE = 100
"""Batches that the service lists at once."""
Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Id of the batch.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(letters, name="letters")


@letters.command("list")
@one_line_errors
def listed(campaign: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """The batches of a campaign, and how many people could still be written to."""
    service, path = Service(url, key), f"/v1/campaigns/{quote(campaign, safe='')}/letter-batches"
    answer = page = service.get(path)
    while len(page["items"]) >= PAGE:
        page = service.get(f"{path}?after={page['items'][-1]['batch_id']}")
        answer["items"] += page["items"]
    if as_json:
        say(answer)
        return
    for one in answer["items"]:
        _show(one)
    typer.echo(f"people with an address who are in no batch: {answer['waiting']}")


@letters.command("make")
@one_line_errors
def make(campaign: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Put together those who could not be reached otherwise."""
    answer = Service(url, key).post(f"/v1/campaigns/{quote(campaign, safe='')}/letter-batches")
    say(answer) if as_json else _show(answer)


@letters.command("export")
@one_line_errors
def export(
    batch: Batch,
    pages: Annotated[Path, typer.Option("--pages", help="Where the PDF goes.")],
    addresses: Annotated[Path, typer.Option("--addresses", help="Where the address file (CSV) goes.")],
    url: Url = HERE,
    key: Key = "",
) -> None:
    """Write the letters and their addresses. That you got them stays on record."""
    service, path = Service(url, key), f"/v1/letter-batches/{quote(batch, safe='')}/export"
    for part, target in (("letters", pages), ("addresses", addresses)):
        content, headers = service.download(f"{path}/{part}")
        target.touch(mode=0o600)
        target.write_bytes(content)
        typer.echo(f"{target}: {headers.get('x-letters')} letters, {headers.get('x-left-out')} left out")


@letters.command("state")
@one_line_errors
def state(
    batch: Batch,
    what: Annotated[str, typer.Argument(metavar="STATE", help="printed, handed_over or given_up.")],
    reference: Annotated[str, typer.Option("--reference", help="Of the printing house or the post.")] = "",
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Say how far the letters are. Handed over, they count as sent."""
    body = {"state": what, "reference": reference}
    answer = Service(url, key).post(f"/v1/letter-batches/{quote(batch, safe='')}/statement", body)
    say(answer) if as_json else _show(answer)


def _show(view: dict[str, Any]) -> None:
    drill = " (drill)" if view["drill"] else ""
    typer.echo(f"letters {view['batch_id']}: {view['letters']}, {view['state']} {view['reference']}".rstrip() + drill)
