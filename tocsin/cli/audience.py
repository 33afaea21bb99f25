"""`tocsin audience`: importing files that are too large for HTTP, on the machine that has them, and checking audiences.

The same file again is the same import: one that was killed goes on where it stopped, one that is done is named.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.progress import Progress

from incidents.errors import InvalidInput
from tocsin.cli.loading import load_settings
from tocsin.cli.output import Json, one_line_errors, say

if TYPE_CHECKING:
    from incidents.clock import Clock
    from incidents.record import Context
    from notifier.audience import ImportLimits, RowReport
    from tocsin.settings import Settings

audience = typer.Typer(help="Audiences of notices: whom to tell.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(audience, name="audience")


@audience.command("import")
@one_line_errors
def import_file(
    file: Annotated[Path, typer.Argument(help=".csv, .ndjson or .parquet; name, phone, email, language, country.")],
    by: Annotated[str, typer.Option("--by", help="Who imports it, as the record names people.")],
    accept_valid: Annotated[bool, typer.Option("--accept-valid", help="Take the good rows, list the bad.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the rows left out, and why, to this CSV file.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Import a file that was imported before once more.")] = False,
    as_json: Json = False,
) -> None:
    """Import a file of any size. Run it again after a kill: it goes on. Nothing is told to anybody by this."""
    from notifier.audience import AudienceFormat
    from tocsin.wiring import open_services

    form, settings = AudienceFormat.of_name(file.name), load_settings()
    try:
        source = file.open("rb")
    except OSError as error:
        raise InvalidInput(f"The file cannot be read: {error.strerror}.", field="file") from error
    with source, open_services(settings) as services:
        command = _context(file, by, services.clock, again=again)
        progress = Progress(transient=True, disable=as_json)
        task = progress.add_task("rows", total=file.stat().st_size)

        def moved(rows: int) -> None:
            progress.update(task, completed=source.tell(), description=f"{rows:,} rows")

        with progress:
            made = services.audiences.import_file(
                source,
                command,
                form,
                accept_valid=accept_valid,
                limits=_limits(settings),
                progress=moved,
                report=lambda rows: _write(rows, report) if report is not None else None,
            )
    if as_json:
        say(made.model_dump(mode="json"))
        return
    typer.echo(
        f"Audience {made.audience_id}: {made.recipients} recipients of {made.rows} rows, {made.folded} folded, "
        f"{made.faulty} rejected.\nDigest {made.digest}\n"
        f"Attach it: tocsin campaign choose-audience CAMPAIGN_ID {made.audience_id}"
    )


@audience.command("check")
@one_line_errors
def check(audience_id: UUID, as_json: Json = False) -> None:
    """Make an audience's digest again from its recipients and contacts; an error when it differs."""
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        covered, digest = services.audiences.check(audience_id), services.audiences.get(audience_id).digest
    if as_json:
        say({"audience_id": audience_id, "recipients": covered, "digest": digest})
    else:
        typer.echo(f"The digest covers exactly these {covered} recipients: {digest}")


@audience.command("rows")
@one_line_errors
def rows(audience_id: UUID, file: Annotated[Path, typer.Argument(help="CSV file to write.")]) -> None:
    """Write which rows of an imported file were rejected or folded, and why; never what they held."""
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        services.audiences.get(audience_id)
        _write(services.audiences.row_reports(audience_id), file)


def _context(file: Path, by: str, clock: Clock, *, again: bool) -> Context:
    """The command that a file on this machine is: the same for the same file, unless it is wanted once more."""
    from incidents.record import Context, stable_id

    known = file.stat()
    same = stable_id("audience-file", str(file.resolve()), str(known.st_size), str(known.st_mtime_ns), by)
    try:
        return Context.of_command(f"user:{by}", clock, command_id=None if again else same)
    except ValueError as error:
        raise InvalidInput("A name is 1 to 64 letters, digits, dots, dashes or underscores.", field="--by") from error


def _limits(settings: Settings) -> ImportLimits:
    from notifier.audience import ImportLimits

    return ImportLimits(max_bytes=settings.audience.file_max_bytes, max_rows=settings.audience.file_max_rows)


def _write(found: Iterable[RowReport], file: Path) -> None:
    from notifier.audience import RowReport

    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(RowReport.model_fields)
        writer.writerows(tuple(one.model_dump().values()) for one in found)
