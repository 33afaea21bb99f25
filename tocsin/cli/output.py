"""What the command line prints: a table for people, JSON with `--json`, one line for an error."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from incidents.errors import InvalidInput, TocsinError

P = ParamSpec("P")
T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of words for people.")]

EXIT_FAULT = 1
"""The command was understood but could not be done."""
EXIT_INPUT = 2
"""What was given is wrong; the same code that the option parser uses."""


def say(value: Any) -> None:
    """Print a value as JSON."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    Console().print(table)


def who_runs_this() -> str:
    """The login of whoever runs the command; where it has no name, as in a container, the number of its user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        return f"uid-{os.getuid()}"


def one_line_errors(command: Callable[P, T]) -> Callable[P, T]:
    """Turn Tocsin's errors into lines on standard error and an exit code. Other errors stay errors."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except TocsinError as error:
            for line in lines_of(error):
                sys.stderr.write(f"tocsin: {line}\n")
            raise typer.Exit(EXIT_INPUT if isinstance(error, InvalidInput) else EXIT_FAULT) from error

    return run


def lines_of(error: TocsinError) -> list[str]:
    """The error in a line, and a line for each faulty field when there are several."""
    named = [f"{fault.field}: {fault.reason}" for fault in error.errors]
    if len(named) == 1:
        reason = error.errors[0].reason
        return [named[0] if reason in error.detail or error.detail in reason else f"{error.detail} {named[0]}"]
    return [error.detail, *(f"  {line}" for line in named)]
