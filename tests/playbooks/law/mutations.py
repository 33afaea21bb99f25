"""Small changes to a rule that make it another rule: one number, or one operator. Its pack's cases must notice."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from incidents.facts.condition_text import _TOKEN
from incidents.facts.strict_yaml import load_yaml
from playbooks.law import assemble, standard_calendars
from playbooks.law.lint import run_case
from playbooks.law.pack import Pack

_OPERATORS = {">=": ">", ">": ">=", "<=": "<", "<": "<=", "==": "!=", "!=": "==", "&&": "||", "||": "&&"}
_COUNTED = (("period",), ("period", "cap"), ("period", "recurrence"))


@dataclass(frozen=True)
class Mutation:
    """One change: where in the rule, what was there and what stands there now."""

    rule: str
    path: tuple[str | int, ...]
    before: str
    after: str
    value: Any

    def __str__(self) -> str:
        return f"{self.rule}: {'.'.join(map(str, self.path))}: {self.before} -> {self.after}"


def mutations(rule: Mapping[str, Any]) -> Iterator[Mutation]:
    """Every mutation of a rule as it stands in YAML."""
    name = rule["id"]
    for path, text in _conditions(rule):
        for before, after, changed in _changed_texts(text):
            yield Mutation(name, path, before, after, changed)
    for path in _COUNTED:
        part: Any = rule
        for step in path:
            part = part.get(step) or {}
        if isinstance(part.get("amount"), int):
            amount = part["amount"]
            yield Mutation(name, (*path, "amount"), str(amount), str(amount + 1), amount + 1)
    for path, amount in _lengths(rule):
        yield Mutation(name, path, str(amount), str(amount + 1), amount + 1)


def _lengths(rule: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """The numbers of the terms on which the rule may wait."""
    for at, exemption in enumerate(rule.get("exemptions") or ()):
        terms = exemption.get("delay") or {}
        for name in ("oral_most", "anew"):
            if name in terms:
                yield ("exemptions", at, "delay", name, "amount"), terms[name]["amount"]
        for number, length in enumerate(terms.get("most") or ()):
            yield ("exemptions", at, "delay", "most", number, "amount"), length["amount"]


def _conditions(rule: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for part in ("bound", "trigger"):
        yield (part,), rule[part]
    for at, exemption in enumerate(rule.get("exemptions") or ()):
        if exemption.get("when"):
            yield ("exemptions", at, "when"), exemption["when"]


def _changed_texts(text: str) -> Iterator[tuple[str, str, str]]:
    for match in _TOKEN.finditer(text):
        said = match.group()
        if match.lastgroup == "number":
            changed = str(int(said) + 1) if said.isdigit() else str(float(said) + 1)
        elif match.lastgroup == "op" and said in _OPERATORS:
            changed = _OPERATORS[said]
        else:
            continue
        start = max(0, match.start() - 24)
        around = " ".join(text[start : match.end() + 12].split())
        yield f"{said} in “{around}”", changed, text[: match.start()] + changed + text[match.end() :]


def raw_pack(pack: Pack) -> dict[str, Any]:
    """The pack as its file says it, nothing shared."""
    assert pack._source is not None
    return copy.deepcopy(load_yaml(pack._source.text))


def is_caught(pack: Pack, mutation: Mutation) -> bool | None:
    """Whether a case of the pack fails once the rule is changed. None when the changed rule is refused as it stands."""
    raw = load_yaml(pack._source.text)  # type: ignore[union-attr]
    at = next(n for n, rule in enumerate(raw["rules"]) if rule["id"] == mutation.rule)
    raw["rules"][at] = copy.deepcopy(raw["rules"][at])
    part = raw["rules"][at]
    for step in mutation.path[:-1]:
        part = part[step]
    part[mutation.path[-1]] = mutation.value
    try:
        changed = Pack.model_validate(raw)
    except ValidationError:
        return None
    law = assemble([changed])
    return any(run_case(case, law, standard_calendars()) for case in changed.cases)
