"""Reading one law pack from YAML. Every fault names the file and line, the rule and the field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from incidents.errors import FieldFault, InvalidInput
from incidents.facts.strict_yaml import load_yaml
from playbooks.law.pack import CHECKED, Pack, Source

MAX_PACK_BYTES = 2_000_000

Path = tuple[str | int, ...]


def parse_pack(text: str, *, name: str, checked: bool = False) -> Pack:
    """Read one pack from YAML. Raises `InvalidInput` with one entry per fault: `file:line: rule and field`, and why.

    With `checked` its conditions are compiled when first used: they are known to be sound.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_PACK_BYTES:
        raise InvalidInput(f"{name} is larger than {MAX_PACK_BYTES} bytes.", field=name)
    source = Source(name, text)
    try:
        raw = load_yaml(text)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark is not None else name
        reason = getattr(fault, "problem", None) or " ".join(str(fault).split())
        raise InvalidInput(
            f"{place} is not valid YAML: {reason}", errors=[FieldFault(place, f"not valid YAML: {reason}")]
        ) from fault
    try:
        pack = Pack.model_validate(raw, context={CHECKED: checked})
    except ValidationError as fault:
        raise _refused(source, raw, list(_faults_of(fault))) from fault
    if across := [*_impossible_dates(pack), *_faults_across(pack)]:
        raise _refused(source, raw, across)
    pack.came_from(source)
    return pack


def _faults_of(fault: ValidationError) -> Iterator[tuple[Path, str]]:
    """Place and reason of every fault. A list counts as too short when its only parts are faulty: they say enough."""
    errors = fault.errors()
    for error in errors:
        loc = error["loc"]
        inside = any(other["loc"][: len(loc)] == loc and other is not error for other in errors)
        if not (error["type"] == "too_short" and inside):
            yield loc, error["msg"].removeprefix("Value error, ")


def _refused(source: Source, raw: Any, found: Sequence[tuple[Sequence[int | str], str]]) -> InvalidInput:
    errors = [FieldFault(f"{source.place(path)}: {_named(raw, path)}", reason) for path, reason in found]
    return InvalidInput(f"{errors[0].field}: {errors[0].reason}", errors=errors)


def _named(raw: Any, path: Sequence[int | str]) -> str:
    """`rules.cn-x-1.period` instead of `rules.3.period`."""
    parts: list[str] = []
    here = raw
    for step in path:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            here = None
        named = here.get("id") if isinstance(step, int) and isinstance(here, Mapping) else None
        parts.append(str(named or step))
    return ".".join(parts) or "pack"


def _faults_across(pack: Pack) -> Iterator[tuple[Path, str]]:
    """Faults between the parts of a pack: ids that come twice, rules that are named and do not exist, cycles."""
    ids = [rule.id for rule in pack.rules]
    for at, name in enumerate(ids):
        if name in ids[:at]:
            yield ("rules", at), f"the rule “{name}” stands twice"
    for at, rule in enumerate(pack.rules):
        for other in waits_for(pack, rule.id):
            if other not in ids or other == rule.id:
                yield ("rules", at, "clock"), f"there is no other rule “{other}” in this instrument"
        for place, exemption in enumerate(rule.exemptions):
            if exemption.replaced_by is not None and exemption.replaced_by not in ids:
                yield ("rules", at, "exemptions", place), f"there is no rule “{exemption.replaced_by}”"
        if cycle := _cycle(pack, rule.id):
            yield ("rules", at, "clock"), f"the stages wait for each other in a circle: {' -> '.join(cycle)}"
            return
    names = [case.id for case in pack.cases]
    for at, case in enumerate(pack.cases):
        if case.id in names[:at]:
            yield ("cases", at), f"the case “{case.id}” stands twice"
        for name in (*case.expect, *case.submissions):
            if name not in ids:
                yield ("cases", at), f"there is no rule “{name}”"


def _impossible_dates(pack: Pack) -> Iterator[tuple[Path, str]]:
    """Times in force that end before they begin: of the instrument, or of a rule that takes one end from it."""
    own = pack.instrument
    if own.in_force_from and own.in_force_to and own.in_force_to < own.in_force_from:
        yield ("instrument", "in_force_to"), f"{own.in_force_to} lies before in_force_from, {own.in_force_from}"
        return
    for at, rule in enumerate(pack.rules):
        begins, ends = rule.in_force_from or own.in_force_from, rule.in_force_to or own.in_force_to
        if begins and ends and ends < begins:
            field = "in_force_to" if rule.in_force_to else "in_force_from"
            yield ("rules", at, field), f"in force from {begins} to {ends}: the end lies before the beginning"


def waits_for(pack: Pack, rule_id: str) -> tuple[str, ...]:
    """The rules whose submission or end starts the clock of this one."""
    rule = next((rule for rule in pack.rules if rule.id == rule_id), None)
    if rule is None:
        return ()
    return (*rule.clock.after, *((rule.clock.end_of,) if rule.clock.end_of else ()))


def _cycle(pack: Pack, start: str) -> tuple[str, ...] | None:
    """The way from a rule back to itself through the clocks, if there is one."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for other in waits_for(pack, way[-1]):
            if other == start:
                return (*way, other) if len(way) > 1 else None
            if other not in seen:
                seen.add(other)
                ways.append((*way, other))
    return None
