"""The fact vocabulary as typed objects, read once from `vocabulary.yaml`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from incidents.facts.strict_yaml import load_yaml

UNKNOWN: Final = "unknown"
"""The word that states that a fact is not known. Stating it takes an earlier value back."""


class FactType(StrEnum):
    """The shapes a fact may have. JSON form in brackets."""

    INT = "int"  # whole number, not negative (number)
    DECIMAL = "decimal"  # exact number, not negative (number or string)
    BOOL = "bool"  # (true or false)
    ENUM = "enum"  # one word of `values` (string)
    SET = "set"  # complete set of words of `values` (array of strings)
    COUNTRY = "country"  # ISO 3166-1 alpha-2 (string)
    COUNTRIES = "countries"  # complete set of ISO 3166-1 codes (array of strings)
    PROVINCES = "provinces"  # complete set of ISO 3166-2 codes (array of strings)
    COUNT_BY_COUNTRY = "count_by_country"  # ISO 3166-1 -> whole number (object)
    COUNT_BY_PROVINCE = "count_by_province"  # ISO 3166-2 -> whole number (object)
    MONEY = "money"  # ISO 4217 -> amount (object)
    INSTANT = "instant"  # ISO 8601 with offset (string)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FactValue(_Frozen):
    """One word an enum or set fact may take, with labels. `implies` names the words that always hold with it."""

    en: str
    zh: str
    implies: tuple[str, ...] = ()


class FactGroup(_Frozen):
    """A heading of the vocabulary."""

    id: str
    en: str
    zh: str


class FactSpec(_Frozen):
    """What one fact means: name, type, unit, labels, and the exact statement it makes."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    group: str
    type: FactType
    unit: str | None = None
    en: str
    zh: str
    about: str
    values: Mapping[str, FactValue] = Field(default_factory=dict)
    ordered: bool = False
    scope: Literal["incident", "organisation"] = "incident"
    none_unless: tuple[str, str] | None = None
    clock: str | None = None
    reference: tuple[str, ...] = ()

    def closed(self, words: frozenset[str]) -> frozenset[str]:
        """`words` and every word they imply."""
        found = set(words)
        waiting = list(words)
        while waiting:
            for implied in self.values[waiting.pop()].implies:
                if implied not in found:
                    found.add(implied)
                    waiting.append(implied)
        return frozenset(found)


class Vocabulary:
    """All facts by name, in the order of the documentation."""

    def __init__(self, groups: tuple[FactGroup, ...], specs: tuple[FactSpec, ...]) -> None:
        self.groups = groups
        self._specs = MappingProxyType({spec.name: spec for spec in specs})
        self.clocks: Mapping[str, str] = MappingProxyType(
            {spec.clock: spec.name for spec in specs if spec.clock is not None}
        )
        """Clock event -> name of the instant fact that holds its time."""
        self.gated = tuple((spec, *spec.none_unless) for spec in specs if spec.none_unless is not None)
        """Facts that are none unless another fact holds a word: the fact, the other fact, the word."""

    def __iter__(self) -> Iterator[FactSpec]:
        return iter(self._specs.values())

    def __len__(self) -> int:
        return len(self._specs)

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __getitem__(self, name: str) -> FactSpec:
        return self._specs[name]

    def get(self, name: str) -> FactSpec | None:
        """The fact of that name, or None."""
        return self._specs.get(name)

    def suggestion(self, name: str) -> str:
        """` Did you mean ...?` for a misspelt name, or an empty string."""
        return did_you_mean(name, self._specs)


def did_you_mean(word: str, known: Iterator[str] | Mapping[str, object] | frozenset[str] | tuple[str, ...]) -> str:
    """` Did you mean "x"?` when a known word is close to `word`, else an empty string."""
    matches = difflib.get_close_matches(word.lower(), list(known), n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(f'“{match}”' for match in matches)}?" if matches else ""


def _checked(specs: tuple[FactSpec, ...], groups: tuple[FactGroup, ...]) -> None:
    by_name = {spec.name: spec for spec in specs}
    if len(by_name) != len(specs):
        raise ValueError("vocabulary.yaml names a fact twice")
    for spec in specs:
        if spec.group not in {group.id for group in groups}:
            raise ValueError(f"{spec.name}: no group {spec.group}")
        if bool(spec.values) != (spec.type in (FactType.ENUM, FactType.SET)):
            raise ValueError(f"{spec.name}: values belong to enum and set facts, and only to them")
        for value, meaning in spec.values.items():
            if missing := set(meaning.implies) - set(spec.values):
                raise ValueError(f"{spec.name}.{value} implies {missing}, which is not a value")
        if spec.none_unless is not None:
            gate, word = spec.none_unless
            if gate not in by_name or word not in by_name[gate].values:
                raise ValueError(f"{spec.name}: none_unless names {gate}={word}, which does not exist")


@cache
def vocabulary() -> Vocabulary:
    """The one vocabulary (package data, read once)."""
    raw = load_yaml(files("incidents.facts").joinpath("vocabulary.yaml").read_text(encoding="utf-8"))
    groups = tuple(FactGroup.model_validate(group) for group in raw["groups"])
    specs = tuple(FactSpec.model_validate(spec) for spec in raw["facts"])
    _checked(specs, groups)
    return Vocabulary(groups, specs)
