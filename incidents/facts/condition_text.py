"""Reading names and comparisons out of a CEL text, to check it against the vocabulary before it ever runs.

The CEL library parses and evaluates; it does not show its syntax tree. This module only looks at the token sequence
for three shapes: `facts.name`, `facts.name["key"]`, and a comparison of a fact with literals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from incidents.facts.places import countries, currencies, is_subdivision
from incidents.facts.vocabulary import FactSpec, FactType, Vocabulary, did_you_mean

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<op><=|>=|==|!=|&&|\|\||[-+*/%<>!?:.,()\[\]{}])
      | (?P<space>\s+)""",
    re.VERBOSE,
)
Kind = Literal["string", "number", "name", "op"]

_COUNTS = (FactType.COUNT_BY_COUNTRY, FactType.COUNT_BY_PROVINCE, FactType.MONEY)
_WORDS = (FactType.ENUM, FactType.COUNTRY)
_SETS = (FactType.SET, FactType.COUNTRIES, FactType.PROVINCES)
_RELATIONS = ("==", "!=", "<", "<=", ">", ">=", "in")


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind, and its text (for a string, the text within the quotes)."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Use:
    """One place where a text names a fact: with a map key if it has one, and the literals it is compared with."""

    fact: str
    key: str | None
    relation: str | None
    literals: tuple[Token, ...]


def tokens(text: str) -> list[Token]:
    """The tokens of a CEL text without spaces and comments. Raises `ValueError` at a character CEL does not know."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"character {text[at]!r} at position {at} does not belong in a condition")
        at = match.end()
        kind = match.lastgroup
        if kind == "string":
            found.append(Token("string", match.group()[1:-1]))
        elif kind in ("number", "name", "op"):
            found.append(Token(kind, match.group()))  # type: ignore[arg-type]
    return found


def members(found: list[Token], root: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Every `root.a.b["c"]`: start, end (exclusive) and the path `(a, b, c)`."""
    for at, token in enumerate(found):
        if token.text != root or token.kind != "name" or (at and _is_op(found[at - 1], ".")):
            continue
        end, path = at + 1, []
        while end + 1 < len(found):
            dot, part = found[end], found[end + 1]
            if _is_op(dot, ".") and part.kind == "name" and not (end + 2 < len(found) and _is_op(found[end + 2], "(")):
                path.append(part.text)
                end += 2
            elif _is_op(dot, "[") and part.kind == "string" and end + 2 < len(found) and _is_op(found[end + 2], "]"):
                path.append(part.text)
                end += 3
            else:
                break
        yield at, end, tuple(path)


def _is_op(token: Token, text: str) -> bool:
    return token.text == text and token.kind == "op"


def uses(found: list[Token]) -> list[Use]:
    """Every use of a fact with what it is compared with."""
    result = []
    for start, end, path in members(found, "facts"):
        if not path:
            raise ValueError("“facts” must be followed by the name of a fact, such as facts.malicious")
        relation, literals = _after(found, end) or _before(found, start) or (None, ())
        result.append(Use(path[0], path[1] if len(path) > 1 else None, relation, literals))
    result.extend(_bound_uses(found))
    return result


def _after(found: list[Token], end: int) -> tuple[str, tuple[Token, ...]] | None:
    if end + 1 >= len(found) or found[end].text not in _RELATIONS:
        return None
    if found[end].text == "in":
        return ("in", _literals(found, end + 1)) if found[end + 1] == Token("op", "[") else None
    follows = found[end + 1]
    if follows.kind in ("string", "number") or follows.text in ("true", "false"):
        return found[end].text, (follows,)
    return None


def _before(found: list[Token], start: int) -> tuple[str, tuple[Token, ...]] | None:
    if start < 2 or found[start - 1].text not in _RELATIONS:
        return None
    literal = found[start - 2]
    if literal.kind in ("string", "number"):
        return ("contains" if found[start - 1].text == "in" else found[start - 1].text), (literal,)
    return None


def _literals(found: list[Token], at: int) -> tuple[Token, ...]:
    result = []
    while at < len(found) and found[at] != Token("op", "]"):
        if found[at].kind in ("string", "number"):
            result.append(found[at])
        at += 1
    return tuple(result)


def _bound_uses(found: list[Token]) -> Iterator[Use]:
    """`facts.set.exists(x, x in ["a", "b"])` and `x == "a"`: the literals are words of that set."""
    for _, end, path in members(found, "facts"):
        if len(path) != 1 or [t.text for t in found[end : end + 1]] != ["."] or end + 3 >= len(found):
            continue
        if found[end + 1].text not in ("exists", "all", "exists_one", "filter"):
            continue
        variable, depth, at = found[end + 3].text, 0, end + 2
        while at < len(found):
            depth += {"(": 1, ")": -1}.get(found[at].text, 0) if found[at].kind == "op" else 0
            if depth == 0:
                break
            if found[at] == Token("name", variable) and (compared := _after(found, at + 1)):
                yield Use(path[0], None, "contains", compared[1])
            at += 1


def faults(named: Sequence[Use], words: Vocabulary) -> Iterator[str]:
    """Sentences about what does not fit the vocabulary: unknown facts, wrong types, words that do not exist."""
    asked = {(use.fact, literal.text) for use in named if use.relation == "contains" for literal in use.literals}
    for use in named:
        spec = words.get(use.fact)
        if spec is None:
            yield f"there is no fact “{use.fact}”.{words.suggestion(use.fact)}"
            continue
        yield from _use_faults(use, spec)
        counts = spec.type in (FactType.COUNT_BY_COUNTRY, FactType.COUNT_BY_PROVINCE)
        if counts and use.key is not None and (use.fact, use.key) not in asked:
            # A count that is known and does not name the place means none there; without the question it is an error.
            yield f"before facts.{use.fact}['{use.key}'] ask “'{use.key}' in facts.{use.fact} &&”."


def _use_faults(use: Use, spec: FactSpec) -> Iterator[str]:
    if use.key is not None:
        yield from _key_faults(use.key, spec)
    elif spec.type in _COUNTS and use.relation in ("==", "!=", "<", "<=", ">", ">=", "in"):
        yield f"{spec.name} is an object; compare one entry, such as facts.{spec.name}[…] >= 1."
    elif spec.type in _SETS and use.relation in ("==", "!=", "<", "<=", ">", ">=", "in"):
        yield f"{spec.name} is a set; ask “x in facts.{spec.name}”."
    for literal in use.literals:
        if problem := _literal_fault(use, spec, literal):
            yield problem


def _key_faults(key: str, spec: FactSpec) -> Iterator[str]:
    known = {
        FactType.COUNT_BY_COUNTRY: lambda: key in countries(),
        FactType.COUNT_BY_PROVINCE: lambda: is_subdivision(key),
        FactType.MONEY: lambda: key in currencies(),
    }.get(spec.type)
    if known is None:
        yield f"{spec.name} is {spec.type}, it has no entries such as “{key}”."
    elif not known():
        yield f"{spec.name} has no entry “{key}”."


def _literal_fault(use: Use, spec: FactSpec, literal: Token) -> str | None:
    number, truth = literal.kind == "number", literal.kind == "name"
    fits: bool
    match spec.type:
        case FactType.INT | FactType.DECIMAL:
            fits = number
        case FactType.MONEY:
            fits = number if use.key is not None else literal.text in currencies()
        case FactType.BOOL:
            fits = truth and use.relation in ("==", "!=")
        case FactType.ENUM | FactType.SET:
            if literal.kind == "string" and literal.text not in spec.values:
                return f"{spec.name} has no value “{literal.text}”.{did_you_mean(literal.text, spec.values)}"
            fits = literal.kind == "string" and use.relation in ("==", "!=", "in", "contains")
        case FactType.COUNTRY | FactType.COUNTRIES:
            fits = literal.kind == "string" and literal.text in countries()
        case FactType.PROVINCES:
            fits = literal.kind == "string" and is_subdivision(literal.text)
        case FactType.COUNT_BY_COUNTRY:
            fits = number if use.relation != "contains" else literal.text in countries()
        case FactType.COUNT_BY_PROVINCE:
            fits = number if use.relation != "contains" else is_subdivision(literal.text)
        case FactType.INSTANT:
            fits = False
    if fits:
        return None
    return f"{spec.name} is {spec.type}; “{use.relation} {literal.text}” does not fit it."
