"""YAML as data files here mean it: YAML 1.2 booleans (so that the country code NO is a word), no duplicate keys."""

from __future__ import annotations

import re
from typing import Any

import yaml


class _StrictLoader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """The safe loader, minus surprises."""


def _without(resolvers: dict[str, list[tuple[str, Any]]], *tags: str) -> dict[str, list[tuple[str, Any]]]:
    return {first: [(tag, pattern) for tag, pattern in pairs if tag not in tags] for first, pairs in resolvers.items()}


def _mapping(loader: Any, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, (str, int, bool, float)) and key is not None:
            continue
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True) for key, value in node.value
    }


_StrictLoader.yaml_implicit_resolvers = _without(
    yaml.SafeLoader.yaml_implicit_resolvers, "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int"
)
# YAML 1.2 core schema: no yes/no/on/off, no base-60 integers.
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9_]*)$", "-+0123456789"),
):
    _StrictLoader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))
_StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)


def load_yaml(text: str) -> Any:
    """Parse one YAML document. Raises `yaml.YAMLError` with line and column on a syntax fault or a duplicate key."""
    return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a subclass of the safe loader
