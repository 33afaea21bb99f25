"""The steps of the schema as they are in the files of this program, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from alembic.config import Config
from alembic.script import ScriptDirectory

from incidents.errors import InvalidInput

BASE = "base"
"""Before the first step: no tables."""
HEAD = "head"
"""The newest step."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `oldest_program` is the step that a program must know to work on a schema that has come this far."""

    revision: str
    about: str
    oldest_program: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command would do: steps in their order, forward or (`down`) back."""

    at: str | None
    to: str | None
    down: bool
    steps: tuple[Step, ...]


def configuration() -> Config:
    """What Alembic needs to find the steps; no file, so that it works from an installed wheel."""
    config = Config()
    config.set_main_option("script_location", "tocsin:migrations")
    config.set_main_option("path_separator", "os")
    return config


@cache
def all_steps() -> tuple[Step, ...]:
    """Every step, first to last. A step that says nothing of `oldest_program` leaves it where it was."""
    found: list[Step] = []
    oldest = ""
    for script in reversed([*ScriptDirectory.from_config(configuration()).walk_revisions()]):
        oldest = getattr(script.module, "oldest_program", oldest) or script.revision
        found.append(Step(script.revision, (script.doc or "").splitlines()[0].rstrip("."), oldest))
    return tuple(found)


def head() -> str | None:
    """The step that this program needs."""
    return all_steps()[-1].revision if all_steps() else None


def number_of(revision: str | None, steps: Sequence[Step]) -> int | None:
    """How many steps have been made at a revision; None for one that is not among them."""
    if revision is None:
        return 0
    return next((number for number, step in enumerate(steps, 1) if step.revision == revision), None)


def target_of(asked: str) -> str | None:
    """The revision that an operator means: `head`, `base` (None), or a number. InvalidInput when there is none such."""
    if asked == HEAD:
        return head()
    if asked == BASE:
        return None
    revision = asked.zfill(4)
    if number_of(revision, all_steps()) is None:
        raise InvalidInput(
            f"There is no step {asked}: there are {all_steps()[0].revision} to {head()}, `{HEAD}` and `{BASE}`.",
            field="to",
        )
    return revision


def plan_between(at: str | None, to: str | None) -> Plan:
    """The steps from one known revision to another."""
    steps = all_steps()
    start, end = number_of(at, steps), number_of(to, steps)
    if start is None or end is None:
        raise ValueError("both ends of a plan must be known steps")
    if start <= end:
        return Plan(at, to, down=False, steps=steps[start:end])
    return Plan(at, to, down=True, steps=tuple(reversed(steps[end:start])))
