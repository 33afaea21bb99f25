"""`tocsin record`: the events on PostgreSQL divided into segments, so that old ones may lie elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.cli.loading import load_settings, open_engine
from tocsin.cli.output import Json, one_line_errors, say, show_table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from incidents.record.segments import Segments

record = typer.Typer(help="Where old events lie (PostgreSQL).", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The segment's name, as `tocsin record segments` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(record, name="record")


@record.command("segments")
@one_line_errors
def segments(as_json: Json = False) -> None:
    """List the segments, oldest first."""
    with _segments() as (found, _):
        listed = found.list()
    if as_json:
        say([{name: getattr(segment, name) for name in segment.__slots__} for segment in listed])
    elif not listed:
        typer.echo("The events lie in one table; `tocsin record divide` divides them.")
    else:
        show_table(
            ("segment", "from", "to", "newest event", "size", "tablespace", "attached"),
            [
                (s.name, s.first, s.end - 1, s.newest, f"{s.bytes / 2**20:,.0f} MiB", s.tablespace, s.attached)
                for s in listed
            ],
        )


@record.command("divide")
@one_line_errors
def divide(
    size: Annotated[int, typer.Option("--size", min=1_000_000, help="Positions in a segment.")] = 10_000_000,
) -> None:
    """Divide the events into segments, once and for all, while the service runs."""
    with _segments() as (found, _):
        found.divide(size)
    typer.echo("The events are divided. `tocsin record segments` lists the segments.")


@record.command("move")
@one_line_errors
def move(
    name: Name, tablespace: Annotated[str, typer.Argument(help="The tablespace on the other storage; it must exist.")]
) -> None:
    """Move a full segment to another tablespace. Who reads its events waits meanwhile."""
    with _segments() as (found, _):
        found.move(name, tablespace)
    typer.echo(f"{name} lies in {tablespace}.")


@record.command("detach")
@one_line_errors
def detach(
    name: Name,
    but: Annotated[
        list[str] | None,
        typer.Option("--but-for", help="A reader that need not have read it (one that is gone for good); repeatable."),
    ] = None,
) -> None:
    """Take a full segment off: a table of its own that the service does not read. Nothing is deleted."""
    with _segments() as (found, engine):
        readers = {reader: at for reader, at in _readers(engine).items() if reader not in (but or [])}
        found.detach(name, readers=readers)
    typer.echo(f"{name} is a table of its own: `pg_dump --table {name}` keeps it. `tocsin record attach` puts it back.")


@record.command("attach")
@one_line_errors
def attach(name: Name) -> None:
    """Put a segment back that was taken off; it can be read, and takes no writes."""
    with _segments() as (found, _):
        found.attach(name)
    typer.echo(f"{name} can be read again.")


def _readers(engine: Engine) -> dict[str, int]:
    from sqlalchemy import select

    from incidents.record.database import reading
    from incidents.record.stored import read_positions
    from projections.tables import projection_positions
    from tocsin.relay.tables import relay_positions

    with reading(engine) as connection:
        models = select(projection_positions.c.name, projection_positions.c.position)
        topics = select(relay_positions.c.topic, relay_positions.c.position)
        return {
            **read_positions(connection),
            **{f"projection {name}": position for name, position in connection.execute(models)},
            **{f"topic {topic}": position for topic, position in connection.execute(topics)},
        }


@contextmanager
def _segments() -> Iterator[tuple[Segments, Engine]]:
    from incidents.record.segments import Segments

    settings = load_settings()
    engine = open_engine(settings.database_url)
    try:
        yield Segments(engine), engine
    finally:
        engine.dispose()
