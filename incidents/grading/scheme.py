"""A grading scheme as data: ordered levels, and criteria that lift an incident to one of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from incidents.errors import FieldFault, InvalidInput, NotFound
from incidents.facts.conditions import Condition, InvalidCondition
from incidents.facts.strict_yaml import load_yaml
from incidents.facts.vocabulary import did_you_mean

Texts = Annotated[Mapping[str, str], Field(description="Text by language tag; en always.")]
Confidence = Literal["high", "medium", "low"]


class CriterionStatus(StrEnum):
    """Where the figure of a criterion was read. `draft_only` criteria never decide unless switched on."""

    FINAL = "final"
    FINAL_SECONDARY = "final_secondary"
    DRAFT_ONLY = "draft_only"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Level(_Frozen):
    """One level of a scheme. A higher rank is worse."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    rank: int = Field(ge=0, le=99)
    title: Texts
    reportable: bool = False
    escalated_upwards: bool = False


class Source(_Frozen):
    """Where something was read."""

    about: str
    address: str | None = None


class Qualitative(_Frozen):
    """What the scheme says in words about a level. A person judges it and grades by hand, with a reason."""

    level: str
    status: CriterionStatus
    confidence: Confidence
    source: tuple[str, ...] = ()
    any_of: tuple[Texts, ...]
    note: str = ""


class Criterion(_Frozen):
    """One sufficient reason for a level: when the condition holds, the incident is at least of that level."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    level: str
    status: CriterionStatus
    when: str
    text: Texts
    source: tuple[str, ...] = ()
    confidence: Confidence
    note: str = ""
    _condition: Condition = PrivateAttr()

    @model_validator(mode="after")
    def _compiles(self) -> Criterion:
        try:
            self._condition = Condition.compile(self.when)
        except InvalidCondition as fault:
            raise ValueError(f"when: {fault.detail}") from fault
        if self._condition.schemes:
            raise ValueError("when: a criterion reads facts, not grades")
        return self

    @property
    def condition(self) -> Condition:
        """The compiled condition."""
        return self._condition


class GradingScheme(_Frozen):
    """A published scheme. `key` is its name in conditions (`grades.cn_2025`); `floor` the level when nothing is met."""

    schema_version: Literal[1] = Field(alias="schema")
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: str
    checked_on: date
    jurisdiction: str
    title: Texts
    instrument: str
    in_force_from: date | None
    in_force_to: date | None = None
    floor: str
    confidence: Confidence
    note: str = ""
    sources: Mapping[str, Source] = Field(default_factory=dict)
    levels: tuple[Level, ...] = Field(min_length=1)
    qualitative: tuple[Qualitative, ...] = ()
    criteria: tuple[Criterion, ...]

    @model_validator(mode="after")
    def _consistent(self) -> GradingScheme:
        ids = [level.id for level in self.levels]
        if len(set(ids)) != len(ids) or len({level.rank for level in self.levels}) != len(ids):
            raise ValueError("levels: every id and every rank once")
        for where, name in [("floor", self.floor), *((f"criteria.{c.id}.level", c.level) for c in self.criteria)]:
            if name not in ids:
                raise ValueError(f"{where}: there is no level “{name}”")
        seen: set[str] = set()
        for criterion in self.criteria:
            if criterion.id in seen:
                raise ValueError(f"criteria: “{criterion.id}” stands twice")
            seen.add(criterion.id)
            if missing := set(criterion.source) - set(self.sources):
                raise ValueError(f"criteria.{criterion.id}.source: no source {sorted(missing)}")
        return self

    def level(self, name: str) -> Level:
        """The level of that id. Raises `NotFound`."""
        for level in self.levels:
            if level.id == name:
                return level
        known = tuple(level.id for level in self.levels)
        raise NotFound(f"The scheme {self.id} has no level “{name}”.{did_you_mean(name, known)}", field="level")

    def ranked(self, rank: int) -> Level:
        """The level of that rank."""
        return next(level for level in self.levels if level.rank == rank)

    def ranks(self) -> dict[str, int]:
        """Level id -> rank, as conditions see it under `levels`."""
        return {level.id: level.rank for level in self.levels}


def parse_scheme(text: str, *, name: str) -> GradingScheme:
    """Read a scheme from YAML. Raises `InvalidInput` that names the file, the place and the fault."""
    try:
        return GradingScheme.model_validate(load_yaml(text))
    except ValidationError as fault:
        errors = [FieldFault(f"{name}:{'.'.join(map(str, e['loc']))}", e["msg"]) for e in fault.errors()]
        raise InvalidInput(f"{errors[0].field}: {errors[0].reason}", errors=errors) from fault
    except yaml.YAMLError as fault:
        raise InvalidInput(f"{name} is not valid YAML: {' '.join(str(fault).split())}", field=name) from fault


@cache
def load_schemes() -> Mapping[str, GradingScheme]:
    """The schemes that come with Tocsin, by id (package data, read once)."""
    folder = files("incidents.grading").joinpath("schemes")
    found: dict[str, GradingScheme] = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".yaml"):
            scheme = parse_scheme(file.read_text(encoding="utf-8"), name=file.name)
            found[scheme.id] = scheme
    return MappingProxyType(found)


def scheme_named(name: str, schemes: Mapping[str, GradingScheme] | None = None) -> GradingScheme:
    """The scheme of that id or key. Raises `NotFound` with the known ids."""
    known = load_schemes() if schemes is None else schemes
    for scheme in known.values():
        if name in (scheme.id, scheme.key):
            return scheme
    raise NotFound(
        f"There is no grading scheme “{name}”.{did_you_mean(name, known)} Known: {', '.join(known)}.", field="scheme"
    )
