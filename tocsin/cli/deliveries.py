"""`tocsin deliveries`: the rows of finished campaigns: what there is, written to a file, taken away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from tocsin.cli.loading import load_settings
from tocsin.cli.output import Json, one_line_errors, say, show_table, who_runs_this

if TYPE_CHECKING:
    from notifier.deliveries.retention import DeliveryRows

deliveries = typer.Typer(help="The rows of campaigns after their end.", no_args_is_help=True)

Campaign = Annotated[UUID, typer.Argument(help="The campaign's id.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(deliveries, name="deliveries")


@deliveries.command("list")
@one_line_errors
def listed(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many campaigns, newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """The campaigns, whether they have partitions of their own, and why their rows stay."""
    with _rows() as rows:
        found = rows.standing(limit)
    if as_json:
        say([asdict(one) for one in found])
        return
    show_table(
        ("campaign", "recipients", "finished", "partitions", "exported", "removed", "stays, because"),
        [
            (
                one.campaign_id,
                f"{one.recipients:,}",
                one.finished_at,
                "shared" if one.bytes is None else f"own, {one.bytes / 2**20:,.0f} MiB",
                one.exported_at,
                one.removed_at,
                one.keeps,
            )
            for one in found
        ],
    )


@deliveries.command("export")
@one_line_errors
def export(
    campaign: Campaign,
    file: Annotated[Path, typer.Argument(help="The file to make; NDJSON compressed by gzip.")],
    as_json: Json = False,
) -> None:
    """Write the rows of a finished campaign to a file: ids, references and outcomes, no addresses."""
    with _rows() as rows:
        made = rows.export(campaign, file)
    if as_json:
        say({"file": str(file), **asdict(made)})
    else:
        typer.echo(f"{made.rows:,} rows in {file}, SHA-256 {made.digest}.")


@deliveries.command("remove")
@one_line_errors
def remove(
    campaigns: Annotated[list[UUID], typer.Argument(metavar="CAMPAIGN...", help="Ids of finished campaigns.")],
    reason: Annotated[str, typer.Option("--reason", help="Goes on record; no names of people affected.")],
    without_export: Annotated[
        bool, typer.Option("--without-export", help="Even if the rows were not written to a file.")
    ] = False,
    by: Annotated[str | None, typer.Option("--by", help="Who does it; default: your login here.")] = None,
    as_json: Json = False,
) -> None:
    """Take the rows of finished campaigns away, for good. What became of each recipient stays on record."""
    actor = f"user:{re.sub(r'[^A-Za-z0-9._-]', '-', by or who_runs_this())[:64]}"
    with _rows() as rows:
        for campaign in campaigns:
            rows.remove(campaign, actor=actor, reason=reason[:500], without_export=without_export)
    if as_json:
        say({"removed": [str(campaign) for campaign in campaigns]})
    else:
        typer.echo(f"The rows of {len(campaigns)} campaign{'s' if len(campaigns) > 1 else ''} are gone.")


@contextmanager
def _rows() -> Iterator[DeliveryRows]:
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        yield services.notifier.rows
