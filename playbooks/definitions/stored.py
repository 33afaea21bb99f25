"""Plans as the record keeps them: frozen at a run's start, read for ever, whatever the schema has become since.

A stored plan carries the number of its schema. Reading brings it up step by step (`UPCASTS`), then reads tolerantly:
what today's schema does not know is left out, what it has added takes its default, and the checks of a new plan are not
made again: the plan was sound when it was stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from pydantic import ConfigDict, ValidationError, model_validator

from incidents.errors import TocsinError
from playbooks.definitions.definition import SCHEMA_VERSION, Playbook, Step

Upcast = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTS: tuple[Upcast, ...] = ()
"""`UPCASTS[n - 1]` turns a plan of schema n into one of schema n + 1. Whoever changes what a field means, renames it or
adds one without a default raises `SCHEMA_VERSION` and adds a function here; none is ever taken away."""


class UnreadablePlan(TocsinError):
    """A stored plan cannot be read, by no fault of whoever asks."""

    code = "unreadable-plan"
    title = "A stored plan cannot be read"


class _StoredStep(Step):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        return self


class _StoredPlaybook(Playbook):
    model_config = ConfigDict(frozen=True, extra="ignore")

    steps: tuple[_StoredStep, ...]

    @model_validator(mode="after")
    def _is_a_plan(self) -> Self:
        return self


def read_stored(definition: Mapping[str, Any], *, upcasts: tuple[Upcast, ...] = UPCASTS) -> Playbook:
    """The plan of a stored definition of any schema there ever was. UnreadablePlan when it is none."""
    plan = dict(definition)
    number = plan.pop("schema_version", 1)  # plans stored before schemas had numbers are of the first
    if not isinstance(number, int) or number < 1:
        raise UnreadablePlan(f"The stored plan {plan.get('id')} names no schema: {number!r}.")
    # A plan of a later schema than ours is read as far as we know it.
    for upcast in upcasts[number - 1 :]:
        plan = upcast(plan)
    try:
        return _StoredPlaybook.model_validate({**plan, "schema_version": SCHEMA_VERSION})
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
        raise UnreadablePlan(f"The stored plan {plan.get('id')} of schema {number} cannot be read: {wrong}.") from error
