"""`tocsin history`: what became of a person or of everybody in a campaign, on a running service."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from incidents.errors import InvalidInput
from tocsin.cli.output import Json, one_line_errors, say, show_table
from tocsin.cli.remote import HERE, Key, Service, Url

history = typer.Typer(help="What became of the people told. Every look is on record.", no_args_is_help=True)
Why = Annotated[str, typer.Option("--reason", help="Who asked, and what for; stays on record.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(history, name="history")


@history.command("search")
@one_line_errors
def search(
    reason: Why,
    address: Annotated[
        str | None, typer.Argument(help="An email address or +number; - to read it from standard input.")
    ] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="The reference in the notice.")] = None,
    recipient: Annotated[str | None, typer.Option("--recipient", help="The recipient's random id.")] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Every campaign a person was in, and each attempt to tell them."""
    if address == "-":
        address = sys.stdin.readline().strip()
    known = {"address": address, "reference": reference, "recipient": recipient}
    body = {name: value for name, value in known.items() if value is not None}
    if len(body) != 1:
        raise InvalidInput("Give exactly one of an address, --reference and --recipient.", field="address")
    answer = Service(url, key).post("/v1/history/search", {**body, "reason": reason})
    if as_json:
        say(answer)
    elif not answer["items"]:
        typer.echo("Nobody of that kind is in any audience.")
    else:
        show_table(("campaign", "outcome", "channel", "state", "at", "code", "event"), list(_lines(answer["items"])))
    if not as_json and (missing := answer.get("unsearched")):
        typer.echo(f"Not looked into: {len(missing)} audiences, imported before contacts were marked. Use --reference.")


@history.command("export")
@one_line_errors
def export(
    campaign_id: str,
    file: Annotated[Path, typer.Argument(help="A new file.")],
    reason: Why,
    form: Annotated[str, typer.Option("--format", help="ndjson or csv.")] = "ndjson",
    url: Url = HERE,
    key: Key = "",
) -> None:
    """Everybody in a campaign's audience, by random id, into a file that only you can read."""
    beside = file.with_name(f"{file.name}.part")
    if file.exists():
        raise InvalidInput(f"{file} is there already; name another file.", field="file")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        for piece in Service(url, key).stream(f"/v1/campaigns/{campaign_id}/history-file", format=form, reason=reason):
            out.write(piece)
        size = out.tell()
    beside.rename(file)
    typer.echo(f"{file}: {size:,} bytes")


@history.command("check")
@one_line_errors
def check(
    file: Annotated[Path, typer.Argument(help="A file of NDJSON that `tocsin history export` wrote.")],
    as_json: Json = False,
) -> None:
    """Check an exported file by itself, without a service: its sums and its root are what its lines give.

    Compare the root with that of the event `history.exported` in the record.
    """
    from projections.coverage.history_file import check_file

    try:
        with file.open("rb") as lines:
            found = check_file(lines)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}.", field="file") from error
    if as_json:
        say({"root": found.root, "recipients": found.recipients, "outcomes": found.outcomes})
        return
    typer.echo(f"{found.recipients} recipients: " + ", ".join(f"{n} {name}" for name, n in found.outcomes.items()))
    typer.echo(f"root {found.root}")


def _lines(items: list[dict[str, Any]]) -> Any:
    for one in items:
        campaign = f"{one['campaign_id']}{' (drill)' if one['drill'] else ''}"
        for delivery in one["deliveries"]:
            for move in delivery["moves"]:
                said = (move["state"], move["at"], move["code"] or "", move["event"])
                yield (campaign, one["outcome"], delivery["channel"], *said)
        if not one["deliveries"]:
            yield (campaign, one["outcome"], "", "", "", "", "")
