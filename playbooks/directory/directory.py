"""Reading the directory, looking up in it, and counting which roles of the law it does not know."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from incidents.errors import FieldFault, InvalidInput
from incidents.facts.strict_yaml import line_of, load_yaml
from playbooks.directory.authority import Authority
from playbooks.directory.places import around
from playbooks.law.law import Law
from playbooks.law.pack import RecipientKind

MAX_FILE_BYTES = 2_000_000
SUFFIXES = (".yaml", ".toml")


class _File(BaseModel):
    """One file of the directory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = Field(1, alias="schema")
    authorities: tuple[Authority, ...]


class Directory:
    """Authorities by role and place. Immutable; share it freely."""

    def __init__(self, authorities: Iterable[Authority]) -> None:
        self._found: Mapping[tuple[str, str], Authority] = {
            (role, authority.place): authority for authority in authorities for role in authority.roles
        }

    def __iter__(self) -> Iterator[Authority]:
        return iter({id(authority): authority for authority in self._found.values()}.values())

    def roles(self) -> frozenset[str]:
        """Every role that has an entry somewhere."""
        return frozenset(role for role, _ in self._found)

    def resolve(self, role: str, place: str = "") -> Authority | None:
        """Who a role is at a place (ISO 3166 or a region such as EU), or None where nobody entered it.

        The place itself goes first, then its country and regions, then the jurisdiction in the name of the role
        (`us-ny.dfs` is at US-NY wherever the question comes from).
        """
        jurisdiction = role.partition(".")[0].upper()
        for where in (*(around(place) if place else ()), *around(jurisdiction)):
            found = self._found.get((role, where))
            if found is not None:
                return found
        return None


def load_directory(*sources: Path) -> Directory:
    """The directory that comes with Tocsin, and the operator's own entries, which go before it.

    A source is a YAML or TOML file, or a folder searched for both; a later one goes before an earlier one. Raises
    `InvalidInput` with file, entry and field for whatever does not fit.
    """
    if not sources:
        return _shipped()
    own = [entry for source in sources for text in _texts_of(source) for entry in _read(*text, origin="own")]
    return Directory([*_shipped_entries(), *own])


@cache
def _shipped() -> Directory:
    return Directory(_shipped_entries())


@cache
def _shipped_entries() -> tuple[Authority, ...]:
    folder = files("playbooks.directory").joinpath("authorities")
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".yaml")), key=lambda entry: entry.name)
    entries = [one for file in found for one in _read(file.name, file.read_text("utf-8"), origin="shipped")]
    seen: dict[tuple[str, str], Authority] = {}
    for entry in entries:
        for role in entry.roles:
            if (role, entry.place) in seen:
                raise InvalidInput(f"The directory names {role} at {entry.place} twice.", field=role)
            seen[role, entry.place] = entry
    return tuple(entries)


def _texts_of(source: Path) -> Iterator[tuple[str, str]]:
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    elif source.suffix in SUFFIXES:
        paths = [source]
    else:
        raise InvalidInput(f"{source} is neither a folder nor a file in YAML or TOML.", field=str(source))
    for path in paths:
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise InvalidInput(f"{path.name} is larger than {MAX_FILE_BYTES} bytes.", field=path.name)
            yield path.name, path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise InvalidInput(f"The directory {path} cannot be read: {fault}", field=str(path)) from fault


def _read(name: str, text: str, *, origin: Literal["shipped", "own"]) -> tuple[Authority, ...]:
    raw = _parsed(name, text)
    if not isinstance(raw, Mapping) or not isinstance(raw.get("authorities"), Sequence):
        raise InvalidInput(f"{name} holds no list `authorities`.", field=name)
    try:
        found = _File.model_validate(raw).authorities
    except ValidationError as fault:
        errors = [_fault(name, text, error["loc"], error["msg"]) for error in fault.errors(include_url=False)]
        raise InvalidInput(f"{errors[0].field}: {errors[0].reason}", errors=errors) from fault
    return tuple(entry.model_copy(update={"origin": origin}) for entry in found)


def _parsed(name: str, text: str) -> Any:
    try:
        return tomllib.loads(text) if name.endswith(".toml") else load_yaml(text)
    except tomllib.TOMLDecodeError as fault:
        raise InvalidInput(f"{name} is not valid TOML: {fault}", field=name) from fault
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark is not None else name
        raise InvalidInput(f"{place} is not valid YAML: {getattr(fault, 'problem', fault)}", field=place) from fault


def _fault(name: str, text: str, path: tuple[int | str, ...], reason: str) -> FieldFault:
    place = name if name.endswith(".toml") else f"{name}:{line_of(text, path)}"
    return FieldFault(f"{place}: {'.'.join(map(str, path))}", reason.removeprefix("Value error, "))


@dataclass(frozen=True, slots=True)
class DirectoryCoverage:
    """Which recipient roles of the law the directory knows. Roles are in order; each is in exactly one list."""

    named: tuple[str, ...]
    """Resolve to one authority at the jurisdiction of the rule."""
    generic: tuple[str, ...]
    """Resolve to a kind of authority: the channels are known, which office it is depends on the place."""
    unresolved: tuple[str, ...]
    """Nobody entered them: look the authority up."""
    unused: tuple[str, ...]
    """Roles of shipped entries that no rule names: a typing error, or a rule that went away."""

    @property
    def roles(self) -> int:
        """How many roles of authorities the law names."""
        return len(self.named) + len(self.generic) + len(self.unresolved)


def coverage(law: Law, directory: Directory) -> DirectoryCoverage:
    """Every role of an authority in the law, by whether the directory knows it at the rule's jurisdiction.

    A role that rules of several jurisdictions name counts as known only when it is known for each of them.
    """
    asked: dict[str, set[str]] = {}
    for pack, rule in law.rules():
        for recipient in rule.recipients:
            if recipient.kind is RecipientKind.AUTHORITY:
                asked.setdefault(recipient.role, set()).add(pack.instrument.jurisdiction)
    named, generic, unresolved = [], [], []
    for role, places in sorted(asked.items()):
        found = [directory.resolve(role, place) for place in sorted(places)]
        if None in found:
            unresolved.append(role)
        elif all(one is not None and one.named for one in found):
            named.append(role)
        else:
            generic.append(role)
    shipped = {role for entry in directory if entry.origin == "shipped" for role in entry.roles}
    return DirectoryCoverage(tuple(named), tuple(generic), tuple(unresolved), tuple(sorted(shipped - asked.keys())))
