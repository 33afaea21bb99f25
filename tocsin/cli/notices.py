"""`tocsin notice code`, `tocsin notice check`: the codes by which people check that a notice is genuine."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from tocsin.cli.output import Json, one_line_errors, say
from tocsin.cli.remote import HERE, Key, Service, Url

notice = typer.Typer(help="Codes of notices: what people who got one can check.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(notice, name="notice")


@notice.command("code")
@one_line_errors
def code(campaign_id: str, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """The code and address in the notices of a campaign."""
    _show(Service(url, key).get(f"/v1/campaigns/{quote(campaign_id, safe='')}/genuine"), as_json=as_json)


@notice.command("check")
@one_line_errors
def check(
    typed: Annotated[
        str, typer.Argument(metavar="CODE", help="As it was read out; capitals and dashes do not matter.")
    ],
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Which campaign a code is of that somebody reads out."""
    _show(Service(url, key).get(f"/v1/notices/{quote(typed, safe='')}"), as_json=as_json)


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say(answer)
        return
    since = answer["first_sent_at"]
    typer.echo(f"code {answer['code']}")
    typer.echo(f"page {answer['address']}")
    typer.echo(f"campaign {answer['campaign_id']}")
    typer.echo(f"genuine since {since}" if since else "not shown as genuine: nothing was sent, or it is a drill")
    if answer["languages"]:
        typer.echo(f"languages {', '.join(answer['languages'])}")
