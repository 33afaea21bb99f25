"""Loading law packs. Every fault names the file, the rule and the field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError

from incidents.errors import FieldFault, InvalidInput
from incidents.facts.strict_yaml import load_yaml
from incidents.grading.scheme import GradingScheme, load_schemes
from playbooks.law.pack import Pack, Rule

MAX_PACK_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Law:
    """The packs in use and the grading schemes they refer to. Immutable; share it freely."""

    packs: tuple[Pack, ...]
    schemes: Mapping[str, GradingScheme]

    def rules(self) -> Iterator[tuple[Pack, Rule]]:
        """Every rule with its pack."""
        return ((pack, rule) for pack in self.packs for rule in pack.rules)

    def rule(self, name: str) -> tuple[Pack, Rule] | None:
        """The rule of that id with its pack, or None."""
        return next(((pack, rule) for pack, rule in self.rules() if rule.id == name), None)

    def version(self) -> str:
        """The versions of all packs, for the record."""
        return ", ".join(f"{pack.instrument.id} {pack.instrument.version}" for pack in self.packs)


def _place(raw: Any, location: Sequence[int | str]) -> str:
    """`rules.cn-x-1.period` instead of `rules.3.period`."""
    parts: list[str] = []
    here = raw
    for step in location:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            here = None
        named = here.get("id") if isinstance(step, int) and isinstance(here, Mapping) else None
        parts.append(str(named or step))
    return ".".join(parts)


def parse_pack(text: str, *, name: str) -> Pack:
    """Read one pack from YAML. Raises `InvalidInput` with one entry per fault: file, rule and field."""
    if len(text) > MAX_PACK_BYTES:
        raise InvalidInput(f"{name} is larger than {MAX_PACK_BYTES} bytes.", field=name)
    try:
        raw = load_yaml(text)
    except yaml.YAMLError as fault:
        raise InvalidInput(f"{name} is not valid YAML: {' '.join(str(fault).split())}", field=name) from fault
    try:
        return Pack.model_validate(raw)
    except ValidationError as fault:
        errors = [
            FieldFault(f"{name}: {_place(raw, error['loc']) or 'pack'}", error["msg"].removeprefix("Value error, "))
            for error in fault.errors()
        ]
        raise InvalidInput(f"{errors[0].field}: {errors[0].reason}", errors=errors) from fault


def _texts(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _texts(entry, f"{path}/")
        elif entry.name.endswith(".yaml"):
            yield path, entry.read_text(encoding="utf-8")


def assemble(packs: Sequence[Pack], schemes: Mapping[str, GradingScheme] | None = None) -> Law:
    """Packs as one law. Raises `InvalidInput` when an instrument or a rule id comes twice."""
    for kind, names in (
        ("instrument", [pack.instrument.id for pack in packs]),
        ("rule", [rule.id for pack in packs for rule in pack.rules]),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidInput(f"The {kind} “{twice[0]}” is defined twice.", field=twice[0])
    return Law(tuple(packs), MappingProxyType(dict(load_schemes() if schemes is None else schemes)))


@cache
def _built_in() -> tuple[Pack, ...]:
    folder = files("playbooks.law").joinpath("packs")
    return tuple(parse_pack(text, name=name) for name, text in _texts(folder))


@cache
def _built_in_law() -> Law:
    return assemble(_built_in())


def load_law(*folders: Path, built_in: bool = True) -> Law:
    """The law: the packs that come with Tocsin and those in `folders` (searched recursively for *.yaml).

    Raises `InvalidInput` naming file, rule and field for anything that does not fit the schema.
    """
    if not folders and built_in:
        return _built_in_law()
    packs = list(_built_in()) if built_in else []
    for folder in folders:
        if not folder.is_dir():
            raise InvalidInput(f"There is no folder {folder} with law packs.", field=str(folder))
        packs += [parse_pack(text, name=f"{folder.name}/{name}") for name, text in _texts(folder)]
    return assemble(packs)
