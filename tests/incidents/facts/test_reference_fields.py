"""Everything the research tables ask about an incident can be said in the vocabulary and asked in a condition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from incidents.facts import Condition, ConditionContext, Facts, vocabulary
from incidents.facts.strict_yaml import load_yaml
from incidents.grading import load_schemes
from tests.reference import needs_reference, table

TABLE = load_yaml((Path(__file__).parent / "reference_fields.yaml").read_text(encoding="utf-8"))
LEVELS = {scheme.key: scheme.ranks() for scheme in load_schemes().values()}


def as_condition(field: str, op: str, value: Any) -> str:
    """A threshold of the tables as a condition."""
    said = TABLE["thresholds"][field.removeprefix("or_")]
    if "cel" in said:
        return str(said["cel"][value])
    if said["kind"] == "grade":
        return f"grades.cn_2025 {op} levels.cn_2025.{value}"
    fact = f"facts.{said['fact']}"
    words = {}
    for word in value if isinstance(value, list) else [value]:
        words[word] = said.get("values", {}).get(word, word)
    quoted = ", ".join(f"'{word}'" for word in words.values())
    kind = said["kind"]
    if kind == "bool":
        return f"{fact} == {str(value).lower()}"
    if kind == "number" and op == "between":
        text = f"{fact} >= {value[0]} && {fact} < {value[1]}"
    elif kind == "number":
        text = f"{fact} {op} {value * said.get('scale', 1)}"
    elif kind == "set":
        text = f"{fact}.exists(x, x in [{quoted}])"
    elif op == ">=":
        ladder = list(vocabulary()[said["fact"]].values)
        upwards = ", ".join(f"'{word}'" for word in ladder[ladder.index(words[value]) :])
        text = f"{fact} in [{upwards}]"
    else:
        text = f"{fact} in [{quoted}]"
    return text


def compiles(text: str) -> Condition:
    return Condition.compile(text, levels=LEVELS)


def thresholds_of_duties() -> Iterator[tuple[str, str, Any]]:
    for record in table("obligations-cn-vn.yaml"):
        for line in record["trigger"]["thresholds"]:
            yield line["field"], line["op"], line["value"]


def thresholds_of_grading() -> Iterator[tuple[str, str, Any]]:
    grading = table("cn-incident-grading.yaml")
    for criterion in grading["criteria"]:
        yield from ((line["field"], line["op"], line["value"]) for line in criterion["all_of"])
    for line in _scale_lines(grading["sector_scales"]):
        yield line["field"], line["op"], line["value"]
        if "and_minutes" in line:
            yield "and_minutes", ">=", line["and_minutes"]


def _scale_lines(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict) and "field" in node:
        yield node
    elif isinstance(node, dict):
        for inner in node.values():
            yield from _scale_lines(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _scale_lines(inner)


@pytest.mark.parametrize("field", sorted(TABLE["thresholds"]))
def test_every_field_of_the_table_names_a_fact(field: str) -> None:
    said = TABLE["thresholds"][field]
    if "fact" in said:
        assert said["fact"].split("[")[0] in vocabulary()
    for word in said.get("values", {}).values():
        assert word in vocabulary()[said["fact"]].values
    for text in said.get("cel", {}).values():
        compiles(text)


@pytest.mark.parametrize("key", sorted(TABLE["world"]))
def test_every_key_of_the_second_table_is_a_condition(key: str) -> None:
    condition = compiles(TABLE["world"][key].replace("{v}", "1000"))
    assert condition.evaluate(ConditionContext(Facts())).is_unknown, "nothing is known, so nothing may be decided"


def test_classes_of_data_and_clocks_exist() -> None:
    known = vocabulary()["data_classes"].values
    assert {word for words in TABLE["data_classes"].values() for word in words} <= set(known)
    assert set(TABLE["clocks"].values()) <= set(vocabulary().clocks)


@needs_reference
def test_every_threshold_of_the_tables_can_be_asked() -> None:
    asked = {(f, op, repr(v)): v for f, op, v in [*thresholds_of_duties(), *thresholds_of_grading()]}
    unmapped = {f for f, _, _ in asked if f.removeprefix("or_") not in TABLE["thresholds"]}
    assert not unmapped
    assert len(asked) > 150
    for (field, op, _), value in asked.items():
        compiles(as_condition(field, op, value))


@needs_reference
def test_every_world_threshold_class_and_clock_is_mapped() -> None:
    world = table("obligations-world.yaml")
    keys = {key for record in world for key in record["trigger"].get("thresholds", {})}
    assert keys <= set(TABLE["world"])
    classes = {name for record in world for name in record["trigger"].get("data_classes", [])}
    assert classes <= set(TABLE["data_classes"])
    clocks: set[str] = set()
    for record in [*world, *table("obligations-cn-vn.yaml")]:
        deadline = record["deadline"]
        clocks |= {deadline["clock_start"], *filter(None, [deadline.get("clock_start_legal")])}
        if "cap" in deadline:
            clocks.add(deadline["cap"]["clock_start"])
    # Computed from another time, or the end of another rule's period.
    assert clocks - {"year_end", "individual_deadline"} <= set(TABLE["clocks"])
