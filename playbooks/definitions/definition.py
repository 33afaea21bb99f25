"""A playbook: the plan, as data. Schema, loader and checks of the YAML files under `library/`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import ConfigDict, Field, StringConstraints, ValidationError, model_validator

from incidents.errors import FieldFault, InvalidInput
from incidents.facts.conditions import Condition
from incidents.record import Model

StepId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
PositiveTime = Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=366))]
"""A length of time, written as ISO 8601-1 has it (`PT30M`, `P1D`)."""

SCHEMA_VERSION: Literal[1] = 1
"""Raised together with an upcasting function in `stored.py` when stored plans of before would read otherwise."""

StepKind = Literal["task", "facts", "draft_notice", "approval", "notify", "public_notice", "filings"]


class Step(Model):
    """One step. It opens when all of `after` are complete and `when` holds; it is skipped when `when` is false."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: StepId
    kind: StepKind
    title: dict[str, str]
    help: dict[str, str] = Field(default_factory=dict)
    after: tuple[StepId, ...] = ()
    when: str | None = None
    """CEL over facts; unknown facts keep the step waiting until they are known."""
    done_on: tuple[str, ...] = ()
    """Incident events that complete a task by themselves (`incident.contained`)."""
    facts: tuple[str, ...] = ()
    """For `facts`: what must be known before the step is complete."""
    template: str | None = None
    """For `draft_notice`: the notice's template set."""
    of: StepId | None = None
    """For `approval`, `notify` and `public_notice`: the draft step they belong to."""
    recipient_kinds: tuple[str, ...] = ()
    """For `filings`: which duties it covers."""
    remind_after: PositiveTime | None = None
    """A task or approval still open after this time is called out on the timeline."""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        needs: dict[str, tuple[str, ...]] = {
            "facts": ("facts",),
            "draft_notice": ("template",),
            "approval": ("of",),
            "notify": ("of",),
            "public_notice": ("of",),
            "filings": ("recipient_kinds",),
        }
        missing = [name for name in needs.get(self.kind, ()) if not getattr(self, name)]
        if missing:
            raise ValueError(f"a step of kind {self.kind} needs {', '.join(missing)}")
        return self


class Playbook(Model):
    """A plan for one kind of incident."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """The schema the plan is written in. Not what it says, so not part of its digest."""
    id: StepId
    version: int = Field(ge=1)
    title: dict[str, str]
    description: dict[str, str] = Field(default_factory=dict)
    starts_when: str
    """CEL over facts and grades: when true, a run starts by itself."""
    steps: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_a_plan(self) -> Self:
        seen: dict[str, Step] = {}
        for step in self.steps:
            for earlier in (*step.after, *((step.of,) if step.of else ())):
                if earlier not in seen:
                    raise ValueError(f"step {step.id} names {earlier}, which is not a step before it")
            if step.of and seen[step.of].kind != "draft_notice":
                raise ValueError(f"step {step.id} is of {step.of}, which drafts no notice")
            if step.id in seen:
                raise ValueError(f"two steps are called {step.id}")
            seen[step.id] = step
        for text in (self.starts_when, *(step.when for step in self.steps if step.when)):
            Condition.compile(text)
        return self

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: two runs with one digest followed the same plan."""
        plan = self.model_dump(mode="json", exclude={"schema_version"})
        canonical = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def step(self, step_id: str) -> Step:
        """The step of that id (KeyError when there is none)."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)


def parse_playbook(text: str, *, name: str = "playbook") -> Playbook:
    """Read one playbook from YAML; InvalidInput names the file and the field."""
    try:
        data: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(f"{name} is not YAML: {error}", field=name) from error
    try:
        return Playbook.model_validate(data)
    except ValidationError as error:
        faults = [
            FieldFault(".".join(str(part) for part in fault["loc"]) or name, fault["msg"]) for fault in error.errors()
        ]
        raise InvalidInput(f"{name} is not a playbook.", errors=faults) from error


def load_library(extra: Iterable[Traversable] = ()) -> dict[str, Playbook]:
    """The playbooks shipped with Tocsin, and those of the installation's own folders, by id."""
    playbooks: dict[str, Playbook] = {}
    for folder in (files("playbooks.definitions") / "library", *extra):
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".yaml"):
                playbook = parse_playbook(file.read_text("utf-8"), name=file.name)
                playbooks[playbook.id] = playbook
    return playbooks
