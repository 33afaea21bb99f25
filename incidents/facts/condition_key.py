"""What a condition can tell apart: two incidents with the same key get the same verdict, so one evaluation serves both.

A number that is only compared with literals counts by where it lies among them: `persons_affected >= 500` cannot tell
600 from 7 000. Everything else counts by its value. Making a key costs a small part of running CEL.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

from incidents.facts.condition_text import Token, Use
from incidents.facts.vocabulary import FactSpec, FactType

KeyPart = Callable[[Mapping[str, Any]], Hashable]
"""Reads the facts as conditions see them and returns what the condition can tell about one of them."""

_ARITHMETIC: Final = frozenset("+-*/%")
_NUMBERS: Final = (FactType.INT, FactType.DECIMAL)
_COUNTS: Final = (FactType.COUNT_BY_COUNTRY, FactType.COUNT_BY_PROVINCE)


def key_parts(found: Sequence[Token], uses: Sequence[Use], specs: Sequence[FactSpec]) -> tuple[KeyPart, ...]:
    """One part for each fact that the condition names."""
    plain = not any(token.kind == "op" and token.text in _ARITHMETIC for token in found)
    return tuple(_part(spec, [use for use in uses if use.fact == spec.name], plain) for spec in specs)


def _part(spec: FactSpec, uses: Sequence[Use], plain: bool) -> KeyPart:
    if plain and spec.type in _NUMBERS and all(use.literals and _is_number(use) for use in uses):
        return _among(spec.name, _literals(uses))
    if plain and spec.type in _COUNTS and all(_asks_for_a_place(use) for use in uses):
        places = sorted({literal.text for use in uses if use.relation == "contains" for literal in use.literals})
        return _counts(spec.name, {place: _literals([u for u in uses if u.key == place]) for place in places})
    if spec.type in (FactType.BOOL, FactType.ENUM, FactType.COUNTRY, FactType.INSTANT, *_NUMBERS):
        return _value(spec.name)
    return _frozen(spec.name)


def _is_number(use: Use) -> bool:
    return use.key is None and all(literal.kind == "number" for literal in use.literals)


def _asks_for_a_place(use: Use) -> bool:
    if use.key is None:
        return use.relation == "contains" and bool(use.literals)
    return bool(use.literals) and all(literal.kind == "number" for literal in use.literals)


def _literals(uses: Sequence[Use]) -> list[float]:
    return sorted({float(literal.text) for use in uses for literal in use.literals if literal.kind == "number"})


def _where(value: float, edges: list[float]) -> int:
    return bisect_left(edges, value) + bisect_right(edges, value)


def _among(name: str, edges: list[float]) -> KeyPart:
    def part(facts: Mapping[str, Any]) -> Hashable:
        value = facts.get(name)
        return None if value is None else _where(value, edges)

    return part


def _counts(name: str, edges: Mapping[str, list[float]]) -> KeyPart:
    def part(facts: Mapping[str, Any]) -> Hashable:
        counts = facts.get(name)
        if counts is None:
            return None
        return tuple(_where(counts[place], at) if place in counts else None for place, at in edges.items())

    return part


def _value(name: str) -> KeyPart:
    return lambda facts: facts.get(name)


def _frozen(name: str) -> KeyPart:
    def part(facts: Mapping[str, Any]) -> Hashable:
        value = facts.get(name)
        if value is None:
            return None
        return tuple(value.items()) if isinstance(value, Mapping) else tuple(value)

    return part
