"""What is known about one incident: an immutable set of stated facts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from incidents.errors import FieldFault, InvalidInput
from incidents.facts.consistency import refuse_contradictions
from incidents.facts.values import Json, Unfit, Value, for_conditions, instant, nothing, read, write
from incidents.facts.vocabulary import UNKNOWN, FactSpec, vocabulary

if TYPE_CHECKING:
    from incidents.facts.organisation import OrganisationProfile

__all__ = ["UNKNOWN", "Facts", "Json", "Value", "join", "parse_changes"]


class Facts:
    """Known facts by name. Whatever is not in here is unknown, which is neither "no" nor zero.

    Build it with `Facts.parse`; change it with `revise`, which returns a new one. Equal when the same facts are known
    with the same values (an instant is the same at any offset).
    """

    __slots__ = ("_values",)
    _values: Mapping[str, Value]

    def __init__(self, values: Mapping[str, Value] | None = None) -> None:
        object.__setattr__(self, "_values", MappingProxyType(dict(values or {})))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Facts do not change; use revise() to get new ones")

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> Facts:
        """Read a facts document: fact name -> value, where `"unknown"` and null mean unknown.

        Raises `InvalidInput` with one entry per faulty fact: unknown names (with a suggestion), wrong types, words that
        are not in the vocabulary, times without a zone, impossible codes, and facts that contradict each other.
        """
        values = {name: value for name, value in _read_all(mapping).items() if value is not None}
        refuse_contradictions(values)
        return cls(values)

    def known(self) -> dict[str, Json]:
        """The facts document: every known fact in its JSON form, in the order of the vocabulary."""
        return {spec.name: write(self._values[spec.name]) for spec in vocabulary() if spec.name in self._values}

    def get(self, name: str) -> Value | None:
        """The typed value of a fact, or None while it is unknown. Raises `InvalidInput` for a name that is no fact."""
        if name not in vocabulary():
            raise InvalidInput(f"There is no fact “{name}”.{vocabulary().suggestion(name)}", field=name)
        return self._values.get(name)

    def instant(self, name: str) -> datetime | None:
        """The value of an instant fact, or None while it is unknown."""
        value = self.get(name)
        return instant(value) if value is not None else None

    def revise(self, changes: Mapping[str, Any]) -> Facts:
        """New facts with `changes` made; `"unknown"` takes a fact back. Raises `InvalidInput` for a faulty fact.

        Contradictions are not looked for here, so that what is on record can always be read; ask `check`.
        """
        values = dict(self._values)
        for name, value in _read_all(changes).items():
            if value is None:
                values.pop(name, None)
            else:
                values[name] = value
        return Facts(values)

    def check(self, *, about: Collection[str] | None = None) -> None:
        """Raise `InvalidInput` naming both facts where two contradict each other (only those that touch `about`)."""
        refuse_contradictions(self._values, about=about)

    def unknown(self) -> Iterator[FactSpec]:
        """The facts of the vocabulary that are not known."""
        return (spec for spec in vocabulary() if spec.name not in self._values)

    def for_conditions(self) -> dict[str, Any]:
        """The map that CEL conditions see as `facts`: known facts, and those that another fact settles as none."""
        seen = {name: for_conditions(vocabulary()[name], value) for name, value in self._values.items()}
        for spec, gate, word in vocabulary().gated:
            if spec.name not in seen and gate in seen and word not in seen[gate]:
                seen[spec.name] = nothing(spec)
        return seen

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Facts) and dict(self._values) == dict(other._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values))

    def __repr__(self) -> str:
        return f"Facts({self.known()!r})"

    def __reduce__(self) -> tuple[Any, tuple[dict[str, Json]]]:
        return (_as_recorded, (self.known(),))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def validated(raw: object) -> Facts:
            if isinstance(raw, Facts):
                return raw
            if not isinstance(raw, Mapping):
                raise Unfit("wants an object of facts")
            try:
                return cls.parse(raw)
            except InvalidInput as fault:
                raise ValueError("; ".join(f"{e.field}: {e.reason}" for e in fault.errors)) from fault

        return core_schema.no_info_plain_validator_function(
            validated, serialization=core_schema.plain_serializer_function_ser_schema(lambda facts: facts.known())
        )


def _as_recorded(document: Mapping[str, Any]) -> Facts:
    return Facts().revise(document)


def _read_all(mapping: Mapping[str, Any]) -> dict[str, Value | None]:
    if not isinstance(mapping, Mapping):
        raise InvalidInput("A facts document is an object: fact name -> value.", field="facts")
    words = vocabulary()
    values: dict[str, Value | None] = {}
    faults: list[FieldFault] = []
    for name, raw in mapping.items():
        spec = words.get(name) if isinstance(name, str) else None
        if spec is None:
            shown = str(name)[:64]
            faults.append(FieldFault(shown, f"There is no fact “{shown}”.{words.suggestion(shown)}"))
            continue
        if raw is None or raw == UNKNOWN:
            values[name] = None
            continue
        try:
            values[name] = read(spec, raw)
        except ValueError as fault:
            faults.append(FieldFault(name, f"{name} {fault}"))
    if faults:
        first = faults[0].reason
        more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InvalidInput(f"{first}{more}", errors=faults)
    return values


def parse_changes(mapping: Mapping[str, Any]) -> dict[str, Json]:
    """Check a partial statement and return it in normal form (JSON values; `"unknown"` where a fact is taken back).

    Raises `InvalidInput` as `Facts.parse` does.
    """
    return {name: UNKNOWN if value is None else write(value) for name, value in _read_all(mapping).items()}


def join(profile: OrganisationProfile | None, facts: Facts) -> Facts:
    """The facts of an incident together with what is always true of the organisation.

    A fact stated for the incident goes before the profile's. Without a profile the facts are returned as they are.
    """
    if profile is None:
        return facts
    return Facts.parse(profile.facts()).revise(facts.known())
