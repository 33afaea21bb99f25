"""The vocabulary as JSON Schema 2020-12, and as the page docs/facts.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from incidents.facts.places import countries, currencies
from incidents.facts.values import MAX_ITEMS, MAX_NUMBER
from incidents.facts.vocabulary import UNKNOWN, FactSpec, FactType, vocabulary

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SUBDIVISION = "^[A-Z]{2}-[A-Z0-9]{1,3}$"


def _number() -> dict[str, Any]:
    return {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": MAX_NUMBER},
            {"type": "string", "pattern": r"^\d{1,14}(\.\d{1,6})?$"},
        ]
    }


def _shape(spec: FactSpec) -> dict[str, Any]:
    whole = {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER}
    country = {"$ref": "#/$defs/country"}
    province = {"type": "string", "pattern": _SUBDIVISION}
    words = {"enum": list(spec.values)}
    counts = {"type": "object", "maxProperties": MAX_ITEMS, "additionalProperties": whole}
    items = {"type": "array", "maxItems": MAX_ITEMS}
    shapes: dict[FactType, dict[str, Any]] = {
        FactType.INT: whole,
        FactType.DECIMAL: _number(),
        FactType.BOOL: {"type": "boolean"},
        FactType.ENUM: words,
        FactType.SET: {**items, "items": words},
        FactType.COUNTRY: country,
        FactType.COUNTRIES: {**items, "items": country},
        FactType.PROVINCES: {**items, "items": province},
        FactType.COUNT_BY_COUNTRY: {**counts, "propertyNames": country},
        FactType.COUNT_BY_PROVINCE: {**counts, "propertyNames": province},
        FactType.MONEY: {
            **counts,
            "propertyNames": {"$ref": "#/$defs/currency"},
            "additionalProperties": _number(),
        },
        FactType.INSTANT: {"type": "string", "format": "date-time"},
    }
    return shapes[spec.type]


def json_schema() -> dict[str, Any]:
    """JSON Schema of a facts document: every fact, its type and its meaning; each may also be `"unknown"` or null."""
    properties = {}
    for spec in vocabulary():
        extra = {"x-group": spec.group, "x-scope": spec.scope, "x-label-zh": spec.zh}
        if spec.unit is not None:
            extra["x-unit"] = spec.unit
        if spec.clock is not None:
            extra["x-clock"] = spec.clock
        properties[spec.name] = {
            "title": spec.en,
            "description": spec.about,
            "anyOf": [_shape(spec), {"const": UNKNOWN}, {"type": "null"}],
            **extra,
        }
    return {
        "$schema": _DIALECT,
        "$id": "urn:tocsin:schema:facts",
        "title": "Facts of an incident",
        "description": "Fact name -> value. A fact that is absent, null or “unknown” is unknown, which is not “no”.",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": {"country": {"enum": sorted(countries())}, "currency": {"enum": sorted(currencies())}},
    }


_TYPES = {
    FactType.INT: "whole number",
    FactType.DECIMAL: "number (exact)",
    FactType.BOOL: "true or false",
    FactType.ENUM: "one of",
    FactType.SET: "set of",
    FactType.COUNTRY: "ISO 3166-1 code",
    FactType.COUNTRIES: "set of ISO 3166-1 codes",
    FactType.PROVINCES: "set of ISO 3166-2 codes",
    FactType.COUNT_BY_COUNTRY: "ISO 3166-1 code → whole number",
    FactType.COUNT_BY_PROVINCE: "ISO 3166-2 code → whole number",
    FactType.MONEY: "ISO 4217 code → amount",
    FactType.INSTANT: "time with offset (ISO 8601)",
}

_INTRODUCTION = """# Facts

<!-- Made from incidents/facts/vocabulary.yaml by `make docs`. Do not edit by hand. -->

A fact is a typed statement about an incident, or about the organisation it happened to, that a law or a playbook may
ask about. A facts document is an object, fact name → value, in JSON, YAML or TOML:

```json
{
  "event_kinds": ["personal_data_breach"],
  "data_classes": ["personal", "credentials"],
  "persons_affected": 200,
  "persons_by_country": {"CN": 150, "VN": 30, "DE": 20},
  "encrypted": false,
  "direct_loss": {"CNY": 0},
  "aware_at": "2026-11-20T09:05:00+08:00",
  "suspected_crime": "unknown"
}
```

- A fact that is absent, null or `"unknown"` is **unknown**. Unknown is not "no" and not zero: a duty that hangs on an
  unknown fact is *possible*, and says which facts would settle it.
- Sets and counts are complete: what is not named is not so (or none). Leave the fact out while you do not know.
- Amounts of money are by currency and are never converted. State 0 for "none".
- A time needs its offset. It is kept as stated.
- Facts marked *organisation* are normally stated once, in the organisation profile. A fact stated for the incident goes
  before the profile's.
- Where a value *implies* another, both hold. Where a fact is *none unless* another set names a word, it counts as none
  (zero, false, empty) once that set is known without the word.

`tocsin schema facts` prints the same as JSON Schema 2020-12.
"""


def _entry(spec: FactSpec) -> Iterator[str]:
    kind = _TYPES[spec.type] + (f", {spec.unit}" if spec.unit else "")
    marks = [kind]
    if spec.scope == "organisation":
        marks.append("organisation")
    if spec.ordered:
        marks.append("rising order")
    if spec.none_unless is not None:
        marks.append(f"none unless `{spec.none_unless[0]}` names `{spec.none_unless[1]}`")
    if spec.clock is not None:
        marks.append(f"clock `{spec.clock}`")
    yield f"### `{spec.name}`"
    yield ""
    yield f"**{spec.en}** · {spec.zh} · {'; '.join(marks)}"
    yield ""
    yield spec.about
    yield ""
    if spec.values:
        for word, meaning in spec.values.items():
            implied = f" Implies {', '.join(f'`{name}`' for name in meaning.implies)}." if meaning.implies else ""
            yield f"- `{word}`: {meaning.en} · {meaning.zh}.{implied}"
        yield ""


def facts_page() -> str:
    """The text of docs/facts.md."""
    lines = [_INTRODUCTION]
    for group in vocabulary().groups:
        lines += [f"## {group.en} · {group.zh}", ""]
        for spec in vocabulary():
            if spec.group == group.id:
                lines += _entry(spec)
    return "\n".join(lines).rstrip() + "\n"
