"""`tocsin migrate`: bring the database to the schema of this program, or back; or say what that would do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from incidents.errors import Conflict, InvalidInput
from tocsin.cli.loading import load_settings, open_engine
from tocsin.cli.output import Json, one_line_errors, say

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tocsin.migrations.steps import Plan
    from tocsin.settings import Settings

EXIT_DUE = 3
"""`--check`: there are steps to make."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(migrate)


@one_line_errors
def migrate(
    to: Annotated[str, typer.Option("--to", help="A step's number, `head`, or `base` for none.")] = "head",
    check: Annotated[
        bool, typer.Option("--check", help=f"Only say what would be done. Exit code {EXIT_DUE} if that is anything.")
    ] = False,
    sql: Annotated[
        bool,
        typer.Option("--sql", help="Only print the statements: they are run and taken back, with all their locks."),
    ] = False,
    lose: Annotated[
        bool, typer.Option("--lose-data", help="Agree to go back, which deletes what the steps had added.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the database to the schema of this program.

    It is one transaction: whatever is killed in the middle, the next `tocsin migrate` does it all. Two at once do it
    once. Exit code 0: done, or nothing to do; 1: it could not be done; 2: wrong options.
    """
    if check and sql:
        raise InvalidInput("Give --check or --sql, not both.", field="--check")
    from tocsin.migrations import run
    from tocsin.migrations.steps import HEAD, target_of

    target = target_of(to)
    settings = load_settings()
    with _engine(settings) as engine:
        if to == HEAD and run.standing(engine) is run.Standing.NEWER:
            _tell_newer(run.current(engine), as_json=as_json)
            return
        plan = run.plan(engine, target)
        if sql:
            statements = run.statements(engine, target)
            say(statements) if as_json else typer.echo("\n".join(statements))
            return
        if not check:
            _do(settings, engine, plan, to, lose=lose)
    _tell(plan, done=not check, as_json=as_json)
    if check and plan.steps:
        raise typer.Exit(EXIT_DUE)


def _do(settings: Settings, engine: Engine, plan: Plan, to: str, *, lose: bool) -> None:
    from incidents.record import open_record
    from tocsin.migrations import run
    from tocsin.migrations.steps import HEAD
    from tocsin.services import registry

    if plan.down:
        if not lose:
            raise Conflict(
                f"From step {plan.at} back to {plan.to or 'none'} deletes what {len(plan.steps)} steps had added "
                "(`--check` names them). Make a backup, stop every process, and repeat with --lose-data."
            )
        run.downgrade(engine, to if plan.to is None else plan.to)
        return
    run.upgrade(engine, to if to == HEAD else plan.to or to)
    with open_record(settings.database_url, registry()):
        """The record makes its own tables when it is opened."""


def _tell(plan: Plan, *, done: bool, as_json: bool) -> None:
    if as_json:
        found = [{"step": step.revision, "about": step.about} for step in plan.steps]
        say({"at": plan.at, "to": plan.to, "down": plan.down, "steps": found, "done": done and bool(found)})
        return
    if not plan.steps:
        typer.echo(f"Nothing to do: the schema is at step {plan.at or 'none'}.")
        return
    typer.echo(f"{'From' if done else 'Would go from'} step {plan.at or 'none'} to {plan.to or 'none'}:")
    for step in plan.steps:
        typer.echo(f"  {step.revision} {'back: ' if plan.down else ''}{step.about}")
    if done:
        typer.echo("Done.")


def _tell_newer(at: str | None, *, as_json: bool) -> None:
    if as_json:
        say({"at": at, "to": at, "down": False, "steps": [], "done": False})
    else:
        typer.echo(f"Nothing to do: a newer program has brought the schema to step {at}, which serves this one too.")


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine]:
    from sqlalchemy import make_url

    address = make_url(settings.database_url)
    if address.get_backend_name() == "sqlite" and address.database:
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
    engine = open_engine(settings.database_url)
    try:
        yield engine
    finally:
        engine.dispose()
