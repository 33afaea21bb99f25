"""`tocsin suppression`: addresses not to be written to, on a running service.

An address is read from standard input where it is not given, so that it need not stand in the history of a shell.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from tocsin.cli.output import Json, one_line_errors, say, show_table
from tocsin.cli.remote import HERE, Key, Service, Url

suppression = typer.Typer(help="Addresses that are not to be written to.", no_args_is_help=True)

Address = Annotated[str, typer.Argument(help="An email address or +number; - to read it from standard input.")]
Why = Annotated[str, typer.Option("--reason", help="Why; stays on record.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(suppression, name="suppression")


@suppression.command("list")
@one_line_errors
def newest(
    limit: Annotated[int, typer.Option("--limit", min=1, max=200)] = 50,
    lifted: Annotated[bool, typer.Option("--lifted", help="Show those that were lifted too.")] = False,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """The newest entries, and how many are in force by reason. There are no addresses in the list."""
    answer = Service(url, key).get("/v1/suppressions", limit=limit, lifted=lifted)
    if as_json:
        say(answer)
        return
    typer.echo(", ".join(f"{reason} {count}" for reason, count in answer["in_force"].items()))
    _show(answer["items"])


@suppression.command("check")
@one_line_errors
def check(address: Address, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """What is on record of an address."""
    answer = Service(url, key).post("/v1/suppressions/search", {"address": _read(address)})
    if as_json:
        say(answer)
    elif answer["items"]:
        _show(answer["items"])
    else:
        typer.echo("Nothing is on record of this address.")


@suppression.command("add")
@one_line_errors
def add(
    address: Address,
    channel: Annotated[str, typer.Option("--channel", help="sms, voice or email; * for every one.")] = "*",
    category: Annotated[str, typer.Option("--category", help="Category of notices; * for every one.")] = "*",
    note: Annotated[str | None, typer.Option("--note", help="Why; no names or addresses.")] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Do not write to this address any more."""
    body = {"address": _read(address), "channel": channel, "category": category, "note": note}
    answer = Service(url, key).post("/v1/suppressions", body)
    _told(answer, f"suppression {answer['suppression_id']}", as_json=as_json)


@suppression.command("lift")
@one_line_errors
def lift(suppression_id: str, reason: Why, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Take an entry off the list."""
    answer = Service(url, key).post(f"/v1/suppressions/{suppression_id}/lifting", {"reason": reason})
    _told(answer, f"lifted {answer['suppression_id']}", as_json=as_json)


@suppression.command("override")
@one_line_errors
def override(campaign_id: str, reason: Why, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Let a notice that the law demands go to those too who opted out or complained; only before it starts."""
    answer = Service(url, key).post(f"/v1/campaigns/{campaign_id}/suppression-override", {"reason": reason})
    line = f"campaign {answer['campaign_id']} goes to those on the list too, but for dead addresses"
    _told(answer, line, as_json=as_json)


def _told(answer: Any, line: str, *, as_json: bool) -> None:
    if as_json:
        say(answer)
    else:
        typer.echo(line)


def _read(address: str) -> str:
    return sys.stdin.readline().strip() if address == "-" else address


def _show(items: list[dict[str, Any]]) -> None:
    show_table(
        ("id", "reason", "kind", "channel", "category", "added", "lifted"),
        [
            (
                one["suppression_id"],
                " ".join(filter(None, (one["reason"], one["code"]))),
                one["kind"],
                one["channel"],
                one["category"],
                one["added_at"],
                one["lifted_at"] or "",
            )
            for one in items
        ],
    )
