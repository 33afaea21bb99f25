"""Reading a facts document from the text of a JSON, YAML or TOML file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from incidents.errors import InvalidInput, NotFound, TooLarge
from incidents.facts.facts import Facts
from incidents.facts.strict_yaml import load_yaml

MAX_BYTES = 1_000_000


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key “{key}” is given twice")
        result[key] = value
    return result


def parse_document(text: str, suffix: str, *, what: str = "file") -> dict[str, Any]:
    """An object from JSON, YAML or TOML text, chosen by `suffix` (`.json`, `.yaml`, `.yml`, `.toml`).

    Raises `InvalidInput` that says where the fault is, and `TooLarge` over one megabyte.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise TooLarge(f"The {what} is larger than {MAX_BYTES} bytes.", field=what)
    try:
        match suffix.lower():
            case ".json":
                raw = json.loads(text, object_pairs_hook=_unique)
            case ".yaml" | ".yml":
                raw = load_yaml(text)
            case ".toml":
                raw = tomllib.loads(text)
            case other:
                raise InvalidInput(
                    f"The {what} has the ending “{other or 'none'}”; use .json, .yaml or .toml.", field=what
                )
    except (ValueError, yaml.YAMLError, RecursionError) as fault:
        kind = suffix.lower().lstrip(".").upper()
        raise InvalidInput(f"The {what} is not valid {kind}: {' '.join(str(fault).split())}", field=what) from fault
    if not isinstance(raw, Mapping) or not all(isinstance(key, str) for key in raw):
        raise InvalidInput(f"The {what} must hold one object: name -> value.", field=what)
    return dict(raw)


def read_document(path: Path) -> dict[str, Any]:
    """The object in a JSON, YAML or TOML file. Raises `NotFound`, `TooLarge` or `InvalidInput`."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TooLarge(f"{path.name} is larger than {MAX_BYTES} bytes.", field=path.name)
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as fault:
        raise NotFound(f"There is no file {path}.", field=path.name) from fault
    except (OSError, UnicodeDecodeError) as fault:
        raise InvalidInput(f"{path.name} cannot be read as UTF-8 text: {fault}", field=path.name) from fault
    return parse_document(text, path.suffix, what=path.name)


def read_facts(path: Path) -> Facts:
    """The facts in a file: alone, or under the key `facts` of a larger object, as the API's incidents have them."""
    raw = read_document(path)
    inner = raw.get("facts")
    return Facts.parse(inner if isinstance(inner, Mapping) else raw)
