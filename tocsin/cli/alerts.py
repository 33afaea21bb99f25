"""`tocsin alert dead-letters`, `replay`, `offsets`, `step-over`: what came in from Kafka, how far, what was not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from incidents.errors import InvalidInput, NotFound, TocsinError
from tocsin.cli.loading import load_settings, open_engine
from tocsin.cli.output import Json, one_line_errors, say, show_table, who_runs_this
from tocsin.cli.remote import alert

if TYPE_CHECKING:
    from tocsin.settings import Settings


def register(_app: typer.Typer) -> None:
    """Add the commands to those of `tocsin alert`."""
    alert.command("dead-letters")(dead_letters)
    alert.command("replay")(replay)
    alert.command("offsets")(offsets)
    alert.command("step-over")(step_over)


@one_line_errors
def dead_letters(
    after: Annotated[int, typer.Option("--after", help="Only those after this number.")] = -1,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")] = 100,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write the message with the number after --after to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List messages that were no alerts, with the reason. Their content may hold personal data and is not shown."""
    from tocsin.intake.dead_letters import read_dead_letters
    from tocsin.kafka import Kafka

    settings = _with_kafka()
    with _brokers_answer():
        found = list(read_dead_letters(Kafka(settings.kafka, "dead-letters"), after=after, limit=1 if save else limit))
    if save is not None:
        if not found:
            raise NotFound(f"There is no dead letter after {after}.", field="after")
        save.touch(mode=0o600)
        save.write_bytes(found[0].value or b"")
    if as_json:
        shown = ("number", "reason", "detail", "dialect", "topic", "partition", "offset", "put_aside_at", "has_content")
        say([{name: getattr(letter, name) for name in shown} for letter in found])
        return
    show_table(
        ("number", "put aside", "reason", "topic", "partition", "offset", "detail"),
        [(one.number, one.put_aside_at, one.reason, one.topic, one.partition, one.offset, one.detail) for one in found],
    )


@one_line_errors
def replay(
    dialect: Annotated[str | None, typer.Option("--dialect", help="Read them as this dialect.")] = None,
    leave_out_gone: Annotated[
        bool, typer.Option("--leave-out-gone", help="Pass over those whose topic is gone, for good.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send dead letters that were not replayed yet to the topics they came from, to be tried again.

    What cannot be taken in now either is put aside again; what was taken in meanwhile has no second effect.
    """
    from incidents.alerts.dialects import DIALECTS
    from tocsin.intake.dead_letters import replay as send_again
    from tocsin.kafka import Kafka

    if dialect is not None and dialect not in DIALECTS:
        raise InvalidInput(f"Known dialects: {', '.join(sorted(DIALECTS))}.", field="dialect")
    settings = _with_kafka()
    with _brokers_answer():
        done = send_again(Kafka(settings.kafka, "replay"), dialect=dialect, leave_out_gone=leave_out_gone)
    if as_json:
        say({"replayed": done.sent, "left_out": done.left_out})
    else:
        typer.echo(f"{done.sent} replayed." + (f" {done.left_out} left out." if done.left_out else ""))


@one_line_errors
def offsets(as_json: Json = False) -> None:
    """How far each partition has been taken in, by the database alone: Kafka is not asked."""
    from tocsin.intake.offsets import stored_offsets

    engine = open_engine(load_settings().database_url)
    try:
        found = stored_offsets(engine)
    finally:
        engine.dispose()
    if as_json:
        say(
            [
                {
                    "group": one.group,
                    "topic": one.partition.topic,
                    "partition": one.partition.partition,
                    "next_offset": one.next_offset,
                    "holder": one.holder,
                    "changed_at": one.changed_at,
                }
                for one in found
            ]
        )
        return
    show_table(
        ("group", "topic", "partition", "next offset", "taken over by", "changed"),
        [(one.group, *one.partition, one.next_offset, one.holder, one.changed_at) for one in found],
    )


@one_line_errors
def step_over(
    topic: Annotated[str, typer.Argument(help="Its whole name, as `tocsin alert offsets` shows it.")],
    partition: Annotated[int, typer.Argument(min=0)],
    to: Annotated[
        int | None, typer.Option("--to", min=1, help="Go on here; without it at the next message that can be read.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a partition be read on behind messages that are damaged or cannot be unpacked. They are lost here."""
    from tocsin.intake.offsets import Partition
    from tocsin.intake.stepping_over import step_over_unreadable
    from tocsin.kafka import Kafka
    from tocsin.wiring import clock_of

    settings = _with_kafka()
    engine = open_engine(settings.database_url)
    try:
        with _brokers_answer():
            done = step_over_unreadable(
                Kafka(settings.kafka, "step-over"),
                engine,
                clock_of(engine),
                Partition(topic, partition),
                to=to,
                by=f"step-over:{who_runs_this()}",
            )
    finally:
        engine.dispose()
    if as_json:
        say({"topic": topic, "partition": partition, "first": done.first, "next_offset": done.next_offset})
    else:
        typer.echo(
            f"{done.messages} messages from {done.first} on are passed over; reading goes on at {done.next_offset}."
        )


def _with_kafka() -> Settings:
    settings = load_settings()
    if not settings.kafka.is_set:
        raise InvalidInput("No Kafka is set.", field="kafka.bootstrap_servers")
    return settings


@contextmanager
def _brokers_answer() -> Iterator[None]:
    from tocsin.kafka import KafkaError

    try:
        yield
    except KafkaError as error:
        raise TocsinError(f"Kafka does not answer as it should: {error}.") from error
