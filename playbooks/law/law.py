"""The law in use: all packs together, those that come with Tocsin and the operator's own."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache, cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType

from incidents.errors import FieldFault, InvalidInput
from incidents.facts.conditions import Condition
from incidents.grading.scheme import GradingScheme, load_schemes
from playbooks.law.pack import Occasion, Pack, Party, Rule, Status, compiled
from playbooks.law.reading import parse_pack
from playbooks.law.script import Script

BoundRules = tuple[str, list[str]]


@dataclass(frozen=True)
class Law:
    """The packs in use and the grading schemes they refer to. Immutable; share it freely."""

    packs: tuple[Pack, ...]
    schemes: Mapping[str, GradingScheme]

    _scripts: dict[str, Script] = field(default_factory=dict, init=False, repr=False, compare=False)
    _groups: dict[Hashable, tuple[BoundRules, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def _by_rule(self) -> Mapping[str, tuple[Pack, Rule]]:
        return {rule.id: (pack, rule) for pack, rule in self.rules()}

    def rules(self) -> Iterator[tuple[Pack, Rule]]:
        """Every rule with its pack."""
        return ((pack, rule) for pack in self.packs for rule in pack.rules)

    def rule(self, name: str) -> tuple[Pack, Rule] | None:
        """The rule of that id with its pack, or None."""
        return self._by_rule.get(name)

    def script(self, name: str) -> Script:
        """What the rule of that id always says. Raises `KeyError` for an id that is no rule."""
        if name not in self._scripts:
            self._scripts[name] = Script(*self._by_rule[name])
        return self._scripts[name]

    def condition(self, text: str) -> Condition:
        """The compiled condition of that text."""
        return compiled(text)

    def by_bound(
        self, statuses: frozenset[Status], parties: frozenset[Party], occasions: frozenset[Occasion]
    ) -> tuple[BoundRules, ...]:
        """The ids of rules of these kinds, those with the same `bound` together: it is judged once for all of them."""
        key = (statuses, parties, occasions)
        if key not in self._groups:
            groups: dict[str, BoundRules] = {}
            for pack, rule in self.rules():
                if _counts(pack, rule, statuses) and rule.party in parties and rule.occasion in occasions:
                    groups.setdefault(rule.bound, (rule.bound, []))[1].append(rule.id)
            self._groups[key] = tuple(groups.values())
        return self._groups[key]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the texts of all packs and over the grading schemes: another law has another one."""
        digest = hashlib.sha256()
        for pack in self.packs:
            text = pack.text or pack.model_dump_json(by_alias=True)
            digest.update(f"{pack.instrument.id}\0{len(text)}\0{text}".encode())
        for name, scheme in sorted(self.schemes.items()):
            digest.update(f"{name}\0{scheme.model_dump_json(by_alias=True)}".encode())
        return digest.hexdigest()

    @cached_property
    def edges(self) -> frozenset[date]:
        """The days on which, at the seat of an authority, a rule begins to bind or binds no longer."""
        found: set[date] = set()
        for pack, rule in self.rules():
            begins = rule.in_force_from or pack.instrument.in_force_from
            ends = rule.in_force_to or pack.instrument.in_force_to
            found.update(day for day in (begins, ends and ends + timedelta(days=1)) if day is not None)
        return frozenset(found)

    def version(self) -> str:
        """The versions of all packs, for the record."""
        return ", ".join(f"{pack.instrument.id} {pack.instrument.version}" for pack in self.packs)


def _counts(pack: Pack, rule: Rule, statuses: frozenset[Status]) -> bool:
    """Whether a rule is to be judged. One whose day of entry into force or of repeal is known counts among those in
    force: the day decides then, so that nobody has to edit the pack at midnight, and what was in force at a clock
    still binds for it."""
    status = rule.status or pack.instrument.status
    edge = {
        Status.NOT_YET_IN_FORCE: rule.in_force_from or pack.instrument.in_force_from,
        Status.REPEALED: rule.in_force_to or pack.instrument.in_force_to,
        Status.SUPERSEDED: rule.in_force_to or pack.instrument.in_force_to,
    }.get(status)
    return status in statuses or (edge is not None and Status.IN_FORCE in statuses)


def _texts(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _texts(entry, f"{path}/")
        elif entry.name.endswith(".yaml"):
            yield path, _text(entry, path)


def _text(entry: Traversable, path: str) -> str:
    raw = entry.read_bytes()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        errors = [FieldFault(f"{path}:{line}", "not text in UTF-8")]
        raise InvalidInput(f"{path}:{line} is not text in UTF-8.", errors=errors) from fault


def assemble(packs: Sequence[Pack], schemes: Mapping[str, GradingScheme] | None = None) -> Law:
    """Packs as one law. Raises `InvalidInput` naming both places when an instrument or a rule id comes twice."""
    faults = [*_twice("instrument", ((pack.instrument.id, pack, ("instrument", "id")) for pack in packs))]
    faults += _twice("rule", ((rule.id, pack, ("rules", at)) for pack in packs for at, rule in enumerate(pack.rules)))
    if faults:
        raise InvalidInput(f"{faults[0].field}: {faults[0].reason}", errors=faults)
    return Law(tuple(packs), MappingProxyType(dict(load_schemes() if schemes is None else schemes)))


def _twice(kind: str, named: Iterable[tuple[str, Pack, tuple[str | int, ...]]]) -> Iterator[FieldFault]:
    first: dict[str, tuple[Pack, tuple[str | int, ...]]] = {}
    for name, pack, path in named:
        if name in first:
            other, where = first[name]
            yield FieldFault(pack.place(*path), f"the {kind} “{name}” is defined twice; also at {other.place(*where)}")
        else:
            first[name] = (pack, path)


def read_packs(texts: Iterable[tuple[str, str]], *, checked: bool = False) -> list[Pack]:
    """Packs from (file name, text). Raises one `InvalidInput` with the faults of all files."""
    packs: list[Pack] = []
    faults: list[FieldFault] = []
    for name, text in texts:
        try:
            packs.append(parse_pack(text, name=name, checked=checked))
        except InvalidInput as fault:
            faults += fault.errors or [FieldFault(name, fault.detail)]
    if faults:
        more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InvalidInput(f"{faults[0].field}: {faults[0].reason}{more}", errors=faults)
    return packs


SEAL = "checked.sha256"
"""Holds the digest of our packs as they were when their conditions were last checked (`make docs`, held by a test)."""


def built_in_texts() -> Iterator[tuple[str, str]]:
    """Name and text of every pack that comes with Tocsin."""
    return _texts(files("playbooks.law").joinpath("packs"))


def digest_of(texts: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over pack files and over everything their conditions are checked against."""
    digest = hashlib.sha256()
    facts = files("incidents.facts")
    against = [(name, facts.joinpath(name).read_text(encoding="utf-8")) for name in _CHECKED_AGAINST]
    schemes = _texts(files("incidents.grading").joinpath("schemes"))
    for name, text in (*texts, *against, *schemes):
        digest.update(f"{name}\0{len(text)}\0{text}".encode())
    return digest.hexdigest()


_CHECKED_AGAINST = ("vocabulary.yaml", "regions.yaml", "conditions.py", "condition_text.py")


@cache
def _built_in() -> tuple[Pack, ...]:
    texts = list(built_in_texts())
    seal = files("playbooks.law").joinpath("packs", SEAL)
    sealed = seal.read_text(encoding="utf-8").strip() if seal.is_file() else ""
    return tuple(read_packs(texts, checked=sealed == digest_of(texts)))


@cache
def _built_in_law() -> Law:
    return assemble(_built_in())


def folder_texts(folder: Path) -> list[tuple[str, str]]:
    """Name and text of every pack file in a folder and below. Raises `InvalidInput` where it cannot be read."""
    if not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder} with law packs.", field=str(folder))
    try:
        return list(_texts(folder, f"{folder.name}/"))
    except OSError as fault:
        raise InvalidInput(f"The law packs in {folder} cannot be read: {fault}", field=str(folder)) from fault


def load_law(*folders: Path, built_in: bool = True) -> Law:
    """The law: the packs that come with Tocsin and those in `folders` (searched recursively for *.yaml).

    Raises `InvalidInput` naming file, line, rule and field for anything that does not fit the schema.
    """
    if not folders and built_in:
        return _built_in_law()
    packs = list(_built_in()) if built_in else []
    packs += read_packs(text for folder in folders for text in folder_texts(folder))
    return assemble(packs)
