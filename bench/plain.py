"""The conditions of the law packs as plain Python functions: what one would write by hand instead of packs.

Each CEL text becomes one Python expression over a dict of known facts. While every fact that it touches is known, that
expression is all that runs. Where it meets an unknown fact, a second form with three values answers: for "unknown or
true" is true. Unknown facts of the condition are then named by one pass over its facts, which is less than Tocsin says.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from incidents.facts.condition_text import tokens
from incidents.facts.conditions import Condition, ConditionContext, Outcome, Verdict
from incidents.facts.places import regions
from playbooks.law.law import Law
from playbooks.law.script import Script

_WORDS = {"&&": " and ", "||": " or ", "!": " not ", "true": "True", "false": "False"}
_REGIONS = {name: frozenset(codes) for name, codes in regions().items()}


class _Rank:
    """A grade between two ranks; a comparison that the range leaves open is unknown."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def __ge__(self, rank: int) -> bool:
        return self._same(self.low >= rank, self.high >= rank)

    def __gt__(self, rank: int) -> bool:
        return self._same(self.low > rank, self.high > rank)

    def __le__(self, rank: int) -> bool:
        return self._same(self.low <= rank, self.high <= rank)

    def __lt__(self, rank: int) -> bool:
        return self._same(self.low < rank, self.high < rank)

    @staticmethod
    def _same(low: bool, high: bool) -> bool:
        if low != high:
            raise KeyError("grade")
        return low


def python_text(condition: str, levels: Mapping[str, Mapping[str, int]]) -> str:
    """The condition as a Python expression over `f` (facts), `g` (grades) and `r` (regions)."""
    found, out, at = tokens(condition), [], 0
    while at < len(found):
        token = found[at]
        after = [one.text for one in found[at + 1 : at + 5]]
        if token.kind == "string":
            out.append(repr(token.text))
        elif token.kind == "name" and token.text in ("facts", "grades", "regions") and after[:1] == ["."]:
            out.append(f"{token.text[0]}[{after[1]!r}]")
            at += 2
        elif token.kind == "name" and token.text == "levels":
            out.append(str(levels[after[1]][after[3]]))
            at += 4
        elif token.text == "size" and token.kind == "name":
            out.append("len")
        elif token.text == "." and after[:2] == ["startsWith", "("]:
            out.append(".startswith")
            at += 1
        elif token.text == "." and after[:2] == ["exists", "("]:
            at = _exists(found, at, out, levels)
        else:
            out.append(f" {_WORDS.get(token.text, token.text)} " if token.kind != "number" else token.text)
        at += 1
    return " ".join("".join(out).split())


def _exists(found: list[Any], at: int, out: list[str], levels: Mapping[str, Mapping[str, int]]) -> int:
    """`<what stands last in out>.exists(v, test)` -> `any(test for v in <...>)`; returns the place of the `)`."""
    over, variable, depth, end = out.pop(), found[at + 3].text, 1, at + 5
    while depth:
        depth += {"(": 1, ")": -1}.get(found[end].text, 0) if found[end].kind == "op" else 0
        end += 1
    inner = " ".join(repr(t.text) if t.kind == "string" else t.text for t in found[at + 5 : end - 1])
    out.append(f"any({python_text(inner, levels)} for {variable} in {over})")
    return end - 1


Three = Callable[[Any, Any, Any], bool | None]


def _three(node: ast.expr) -> Three:
    """The expression with three values: None is unknown."""
    if isinstance(node, ast.BoolOp):
        parts = [_three(value) for value in node.values]
        settles = isinstance(node.op, ast.Or)

        def both(f: Any, g: Any, r: Any) -> bool | None:
            unknown = False
            for part in parts:
                value = part(f, g, r)
                if value is settles:
                    return settles
                unknown = unknown or value is None
            return None if unknown else not settles

        return both
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _three(node.operand)
        return lambda f, g, r: None if (value := inner(f, g, r)) is None else not value
    run = _function(node)

    def leaf(f: Any, g: Any, r: Any) -> bool | None:
        try:
            return bool(run(f, g, r))
        except KeyError:
            return None

    return leaf


def _function(node: ast.expr) -> Callable[[Any, Any, Any], Any]:
    made = ast.parse("lambda f, g, r: 0", mode="eval")
    assert isinstance(made.body, ast.Lambda)
    made.body.body = node
    return eval(compile(ast.fix_missing_locations(made), "<condition>", "eval"))  # type: ignore[no-any-return]  # noqa: S307


@dataclass(frozen=True)
class PlainCondition:
    """Stands where a `Condition` stands, and answers by a Python function."""

    text: str
    facts: tuple[str, ...]
    schemes: tuple[str, ...]
    run: Callable[[Any, Any, Any], Any]
    three: Three

    @staticmethod
    def of(condition: Condition, levels: Mapping[str, Mapping[str, int]]) -> PlainCondition:
        node = ast.parse(python_text(condition.text, levels), mode="eval").body
        return PlainCondition(condition.text, condition.facts, condition.schemes, _function(node), _three(node))

    def evaluate(self, context: ConditionContext) -> Verdict:
        facts = context.facts
        grades = {name: _Rank(one.low, one.high) for name, one in context.grades.items()} if self.schemes else {}
        try:
            value = bool(self.run(facts, grades, _REGIONS))
        except KeyError:
            found = self.three(facts, grades, _REGIONS)
            if found is None:
                missing = tuple(name for name in self.facts if name not in facts)
                return Verdict(Outcome.UNKNOWN, missing, tuple(name for name in self.facts if name in facts))
            value = found
        return Verdict(
            Outcome.TRUE if value else Outcome.FALSE, used=tuple(name for name in self.facts if name in facts)
        )


class PlainLaw(Law):
    """The same packs with plain functions in place of CEL; everything after the verdict is the same code."""

    def script(self, name: str) -> Script:
        made = name not in self._scripts
        script = super().script(name)
        if made:
            script.trigger = self._plain(script.trigger)
            script.conditions = tuple(one and self._plain(one) for one in script.conditions)
            script.asked_if = tuple((item, one and self._plain(one)) for item, one in script.asked_if)
        return script

    @cached_property
    def _made(self) -> dict[str, Any]:
        return {}

    def condition(self, text: str) -> Any:
        if text not in self._made:
            self._made[text] = self._plain(super().condition(text))
        return self._made[text]

    def _plain(self, condition: Condition) -> Any:
        levels = {scheme.key: scheme.ranks() for scheme in self.schemes.values()}
        return PlainCondition.of(condition, levels)
