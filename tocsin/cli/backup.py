"""`tocsin backup`, `restore` and `sending`: everything in one sealed file, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.progress import Progress

from incidents.errors import InvalidInput
from tocsin.cli.loading import load_settings, open_engine
from tocsin.cli.output import Json, one_line_errors, say, show_table

sending = typer.Typer(help="Whether anything may be sent: hold it, release it (after a restore).", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backup")(backup)
    app.command("restore")(restore)
    app.add_typer(sending, name="sending")


@one_line_errors
def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace the file if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Write all that cannot be made again into one sealed file, while the service runs.

    It is sealed under the vault's current master key, which it does not contain: keep the key file apart from it.
    """
    from incidents.clock import SystemClock
    from tocsin.backup import write_backup
    from tocsin.migrations.run import is_current

    settings = load_settings()
    engine = open_engine(settings.database_url)
    try:
        if not is_current(engine):
            raise InvalidInput(
                "The database has another schema than this program. Use the program that runs on it.",
                field="database_url",
            )
        with _shown(as_json) as progress:
            written = write_backup(
                engine, settings.master_keys(), file, SystemClock(), replace=replace, progress=progress
            )
    finally:
        engine.dispose()
    if as_json:
        say(
            {
                "file": str(written.path),
                "events": written.events,
                "head": written.head,
                "rows": written.rows,
                "bytes": written.bytes,
            }
        )
    else:
        typer.echo(f"{written.path}: {written.events} events, {written.rows} rows, {written.bytes} bytes.")


@one_line_errors
def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    into: Annotated[
        str | None, typer.Option("--into", help="Empty database, of either kind; `database_url` if not given.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only read the backup to its end and prove it whole.")] = False,
    erased: Annotated[
        Path | None,
        typer.Option("--erased", help="Recipient ids, a line each, erased after the backup (`tocsin vault erased`)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty database and compare every row. Nothing is sent until `tocsin sending release`."""
    from incidents.clock import SystemClock
    from tocsin.backup import inspect_backup, restore_backup
    from tocsin.services import registry

    settings = load_settings()
    if check:
        found = inspect_backup(file, settings.master_keys(), registry())
        if as_json:
            say(
                {
                    "made_at": found.made_at,
                    "tocsin": found.tocsin,
                    "schema": found.schema_step,
                    "head": found.head,
                    "rows": found.rows,
                }
            )
        else:
            typer.echo(f"{file} is whole: made {found.made_at:%Y-%m-%d %H:%M:%S} UTC by Tocsin {found.tocsin}.")
            show_table(("section", "rows"), found.rows.items())
        return
    people = _ids(erased) if erased else ()
    engine = open_engine(into or settings.database_url)
    try:
        with _shown(as_json) as progress:
            done = restore_backup(
                file, settings.master_keys(), engine, registry(), SystemClock(), erased=people, progress=progress
            )
    finally:
        engine.dispose()
    if as_json:
        say(
            {
                "made_at": done.made_at,
                "head": done.head,
                "events": done.events,
                "rows": done.rows,
                "erased_again": done.erased_again,
                "sending": "held",
            }
        )
        return
    typer.echo(f"{done.events} events and {done.rows} rows stand as they were at {done.made_at:%Y-%m-%d %H:%M:%S} UTC.")
    typer.echo("Sending is held. Once you know what the lost database still sent: `tocsin sending release`.")


@sending.command("show")
@one_line_errors
def show(as_json: Json = False) -> None:
    """Whether sending is held, since when and why."""
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        held = services.sending_hold.current()
    if as_json:
        say({"held": held is not None, "since": held and held.placed_at, "reason": held and held.reason})
    else:
        typer.echo(f"held since {held.placed_at:%Y-%m-%d %H:%M} UTC: {held.reason}" if held else "sending is free")


@sending.command("hold")
@one_line_errors
def hold(
    reason: Annotated[str, typer.Option("--reason", help="Why nothing may be sent; kept.")], as_json: Json = False
) -> None:
    """Hold all sending, as a restore does: after a recovery by PostgreSQL's own means, or in doubt."""
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        services.sending_hold.hold(reason)
    if as_json:
        say({"held": True})
    else:
        typer.echo("nothing is sent any more")


@sending.command("release")
@one_line_errors
def release(
    reason: Annotated[str, typer.Option("--reason", help="Why sending may go on; kept.")],
    by: Annotated[str, typer.Option("--by", help="Who decided it.")],
    as_json: Json = False,
) -> None:
    """Let sending go on after a restore."""
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        services.sending_hold.release(f"user:{by}", reason)
    if as_json:
        say({"held": False})
    else:
        typer.echo("sending is free")


@contextmanager
def _shown(quiet: bool) -> Iterator[Callable[[str, int], None]]:
    with Progress(transient=True, disable=quiet) as bar:
        tasks = {}

        def report(section: str, rows: int) -> None:
            if section not in tasks:
                tasks[section] = bar.add_task(section, total=None)
            bar.update(tasks[section], completed=rows)

        yield report


def _ids(path: Path) -> tuple[UUID, ...]:
    found = []
    try:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if line.strip():
                try:
                    found.append(UUID(line.strip()))
                except ValueError:
                    raise InvalidInput(f"Line {number} of {path} is not a recipient id.", field="--erased") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.", field="--erased") from error
    return tuple(found)
