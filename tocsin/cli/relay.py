"""`tocsin relay` and `tocsin events`: what is published to Kafka, how far, and by which schemas."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from incidents.errors import InvalidInput
from tocsin.cli.loading import load_settings
from tocsin.cli.output import Json, one_line_errors, say, show_table

relay = typer.Typer(help="Events out to Kafka.", no_args_is_help=True)
events = typer.Typer(help="Events that are published.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(relay, name="relay")
    app.add_typer(events, name="events")


@relay.command("status")
@one_line_errors
def status(as_json: Json = False) -> None:
    """How far the topic of events is behind the record, by the database alone: Kafka is not asked."""
    from tocsin.event_relay import relay_lag
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        lag = relay_lag(services)
    if as_json:
        say({**asdict(lag), "behind": lag.behind})
        return
    show_table(
        ("topic", "published up to", "record ends at", "behind", "oldest waits (s)", "last published"),
        [(lag.topic, lag.position, lag.head, lag.behind, round(lag.seconds), lag.saved_at)],
    )


@relay.command("reset")
@one_line_errors
def reset(
    after: Annotated[
        int, typer.Option("--from", min=0, help="Send again what is after this position; 0: the whole record.")
    ],
    as_json: Json = False,
) -> None:
    """Send events again, after Kafka lost them or for a consumer that must start over. Safe while relays run.

    Consumers meet events that they had before, with the same ids.
    """
    from tocsin.kafka import Kafka
    from tocsin.relay.positions import Positions
    from tocsin.wiring import open_services

    with open_services(load_settings()) as services:
        topic = Kafka(services.settings.kafka, "reset").topics.events
        position = Positions(services.engine, services.clock, topic).put_back(after).position
        head = services.record.head()
    if as_json:
        say({"topic": topic, "position": position, "head": head})
    else:
        typer.echo(f"{topic}: everything after position {position} is sent again; the record ends at {head}.")


@events.command("schemas")
@one_line_errors
def schemas(
    out: Annotated[Path | None, typer.Option("--out", help="Write a file for each schema into this folder.")] = None,
    as_json: Json = False,
) -> None:
    """List the schemas of all events (JSON Schema 2020-12), print them (--json), or write them as files (--out)."""
    from tocsin.relay.schemas import SUFFIX, published, written
    from tocsin.services import registry

    found = published(registry())
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            for name, schema in found.items():
                (out / f"{name}{SUFFIX}").write_text(written(schema), "utf-8")
        except OSError as error:
            raise InvalidInput(f"{out} cannot be written to: {error.strerror}.", field="--out") from error
    if as_json:
        say(found)
    elif out is not None:
        typer.echo(f"wrote {len(found)} schemas into {out}")
    else:
        show_table(("name", "what"), [(name, schema["description"]) for name, schema in found.items()])
