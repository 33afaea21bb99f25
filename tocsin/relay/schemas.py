"""The published schemas of events (JSON Schema 2020-12), made from the event classes, and what may change in them.

A schema describes `data` of a CloudEvent: the event as stored. Consumers are asked to ignore fields they do not know
(a field with a default may be added within a version), so a published schema leaves objects open.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from incidents.record import Event, Registry
from tocsin.relay.cloud_events import SEQUENCE_DIGITS, SPEC_VERSION, type_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ENVELOPE = "envelope"
"""Name of the schema of a whole CloudEvent in structured mode."""

SUFFIX = ".schema.json"

Schema = dict[str, Any]

_STREAM_FIELDS = ("originator_id", "originator_version")
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_WORDS_FOR_PEOPLE = frozenset({"title", "description", "examples", "$id", "$schema", "$comment"})


def name_of(event: type[Event]) -> str:
    """The name a schema is published under: `incident.reported.v1`."""
    return f"{event.kind}.v{event.schema_version}"


def published(registry: Registry) -> dict[str, Schema]:
    """Every schema by name, the envelope's among them."""
    schemas = {name_of(event): schema_of(event) for event in registry.classes.values()}
    return {ENVELOPE: envelope(), **dict(sorted(schemas.items()))}


def schema_of(event: type[Event]) -> Schema:
    """The schema of one event's `data`. The stream's id and version are attributes of the envelope."""
    made = cast(Schema, _opened(event.model_json_schema()))
    properties = {name: part for name, part in made["properties"].items() if name not in _STREAM_FIELDS}
    return {
        "$schema": DIALECT,
        "$id": f"urn:tocsin:schema:event:{name_of(event)}",
        "title": type_of(event.kind, event.schema_version),
        "description": made.get("description", ""),
        "type": "object",
        "properties": properties,
        "required": [name for name in made["required"] if name not in _STREAM_FIELDS],
        **({"$defs": made["$defs"]} if "$defs" in made else {}),
    }


def envelope() -> Schema:
    """The schema of a message's value in structured mode, whatever the event."""
    text = {"type": "string", "minLength": 1}
    uri = {"type": "string", "format": "uri"}
    return {
        "$schema": DIALECT,
        "$id": "urn:tocsin:schema:event:envelope",
        "title": "An event of Tocsin as a CloudEvent",
        "description": "CloudEvents 1.0, JSON format. `data` is described by the schema that `dataschema` names.",
        "type": "object",
        "properties": {
            "specversion": {"const": SPEC_VERSION},
            "id": {
                "type": "string",
                "pattern": f"^{_UUID}/[1-9][0-9]*$",
                "description": "Stream and number of the event in it; never changes, however often it is sent.",
            },
            "source": {**uri, "description": "The installation."},
            "type": {"type": "string", "pattern": r"^tocsin\.[a-z]+\.[a-z-]+\.v[1-9][0-9]*$"},
            "datacontenttype": {"const": "application/json"},
            "dataschema": uri,
            "subject": {"type": "string", "pattern": f"^{_UUID}$", "description": "The event's stream."},
            "time": {"type": "string", "format": "date-time", "description": "When the event was recorded."},
            "sequence": {
                "type": "string",
                "pattern": f"^[0-9]{{{SEQUENCE_DIGITS}}}$",
                "description": "Position in the record. Grows; gaps are possible.",
            },
            "partitionkey": {
                "type": "string",
                "pattern": f"^{_UUID}$",
                "description": "The incident, or the stream of what belongs to none; the key of the message.",
            },
            "traceparent": {**text, "description": "W3C Trace Context, where known."},
            "tracestate": text,
            "data": {"type": "object"},
        },
        "required": [
            *("specversion", "id", "source", "type", "datacontenttype", "dataschema"),
            *("subject", "time", "sequence", "partitionkey", "data"),
        ],
    }


def breaks(old: Schema, new: Schema) -> list[str]:
    """Why a schema may not take an older one's place under the same version; empty when it may.

    What was stored under the old schema must be readable under the new one, and what is stored from now on must not
    surprise who knows the old one. A field with a default may be added; words may be added to a list of words; limits
    may be widened. Everything else is a new version, with an upcaster.
    """
    return list(_breaks(old, new, old, new, "", ()))


def files(registry: Registry) -> dict[str, str]:
    """File name to content of `docs/events/`: every schema, and the page that lists them."""
    return {
        "README.md": page(registry),
        **{f"{name}{SUFFIX}": written(schema) for name, schema in published(registry).items()},
    }


def written(schema: Schema) -> str:
    """A schema as a file holds it."""
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"


def broken(registry: Registry, folder: Path) -> list[str]:
    """Why the schemas in a folder may not be written over by the present ones; empty when they may."""
    found = []
    for name, schema in published(registry).items():
        file = folder / f"{name}{SUFFIX}"
        if file.exists():
            found += [f"{name}: {reason}" for reason in breaks(json.loads(file.read_text("utf-8")), schema)]
    for kind, event in registry.classes.items():
        for version in range(1, event.schema_version):
            if not (folder / f"{kind}.v{version}{SUFFIX}").exists():
                found.append(f"{kind}.v{version}: its schema is gone, but events of it are on record")
    return found


def _breaks(
    old: Schema, new: Schema, old_root: Schema, new_root: Schema, at: str, seen: tuple[tuple[str, str], ...]
) -> Iterator[str]:
    pair = (str(old.get("$ref", "")), str(new.get("$ref", "")))
    if all(pair):
        if pair in seen:
            return
        seen = (*seen, pair)
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    where = at or "the event"
    yield from _other_kind(old, new, where)
    yield from _narrowed(old, new, where)
    yield from _fields(old, new, old_root, new_root, at, seen)
    for word in ("items", "additionalProperties", "propertyNames"):
        inside = (old.get(word), new.get(word))
        if isinstance(inside[0], dict) and isinstance(inside[1], dict):
            yield from _breaks(inside[0], inside[1], old_root, new_root, f"{at}[]", seen)
        elif inside[0] != inside[1] and not {True, None}.issuperset(map(_as_flag, inside)):
            yield f"{where}: {word} changed"
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        olds, news = old.get(word, []), new.get(word, [])
        if len(olds) != len(news):
            yield f"{where}: {word} had {len(olds)} forms and has {len(news)}"
        for one, other in zip(olds, news, strict=False):
            yield from _breaks(one, other, old_root, new_root, at, seen)


def _as_flag(value: object) -> object:
    return value if isinstance(value, bool) or value is None else "schema"


def _other_kind(old: Schema, new: Schema, where: str) -> Iterator[str]:
    for word in ("type", "format", "const", "default"):
        if old.get(word, ...) != new.get(word, ...):
            yield f"{where}: {word} was {old.get(word)!r} and is {new.get(word)!r}"
    if "enum" in old or "enum" in new:
        gone = [word for word in old.get("enum", ()) if word not in new.get("enum", ())]
        if gone or ("enum" in old) != ("enum" in new):
            yield f"{where}: the words {gone} are gone" if gone else f"{where}: a list of words came or went"


def _narrowed(old: Schema, new: Schema, where: str) -> Iterator[str]:
    for word in ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties"):
        if word in new and (word not in old or new[word] < old[word]):
            yield f"{where}: {word} is narrower"
    for word in ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties"):
        if word in new and (word not in old or new[word] > old[word]):
            yield f"{where}: {word} is narrower"
    for word in ("pattern", "uniqueItems", "multipleOf"):
        if word in new and new[word] != old.get(word):
            yield f"{where}: {word} is another"


def _fields(
    old: Schema,
    new: Schema,
    old_root: Schema,
    new_root: Schema,
    at: str,
    seen: tuple[tuple[str, str], ...],
) -> Iterator[str]:
    olds, news = old.get("properties", {}), new.get("properties", {})
    old_required, new_required = set(old.get("required", ())), set(new.get("required", ()))
    for name, part in olds.items():
        field = f"{at}.{name}".lstrip(".")
        if name not in news:
            yield f"{field}: is gone"
            continue
        if (name in old_required) != (name in new_required):
            yield f"{field}: is {'now' if name in new_required else 'no longer'} required"
        yield from _breaks(part, news[name], old_root, new_root, field, seen)
    for name in sorted(new_required - olds.keys()):
        yield f"{at}.{name}: is new and required; events stored before do not have it".lstrip(".")


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        schema = {**target, **{word: value for word, value in schema.items() if word != "$ref"}}
    return {word: value for word, value in schema.items() if word not in _WORDS_FOR_PEOPLE}


def _opened(schema: Any) -> Any:
    """Without the words that close objects, and without titles that only repeat a field's name."""
    if isinstance(schema, list):
        return [_opened(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {}
    for word, part in schema.items():
        if word in {"properties", "$defs"}:
            made[word] = {name: _without_title(_opened(inner)) for name, inner in part.items()}
        elif not (word == "additionalProperties" and part is False):
            made[word] = part if word in {"default", "enum", "const", "required", "examples"} else _opened(part)
    return made


def _without_title(schema: Mapping[str, Any]) -> Schema:
    return {word: part for word, part in schema.items() if word != "title"}


def page(registry: Registry) -> str:
    """`docs/events/README.md`: every event with its schema and its fields."""
    rows, parts = [], []
    for kind, event in sorted(registry.classes.items()):
        schema = schema_of(event)
        name = name_of(event)
        what = _line(schema["description"])
        rows.append(f"| [`{schema['title']}`](#{_anchor(schema['title'])}) | {what} |")
        own = [field for field in schema["properties"] if field not in Event.model_fields]
        listed = "\n".join(f"| `{field}` | {_shape(schema, field)} | {_must(schema, field)} |" for field in own)
        table = f"\n\n| field | form | |\n| --- | --- | --- |\n{listed}" if own else ""
        parts.append(
            f"## {schema['title']}\n\n{what} Stored as `{kind}`, schema {event.schema_version}: "
            f"[{name}.schema.json]({name}.schema.json).{table}\n"
        )
    return _HEAD + "\n".join(rows) + "\n\n" + "\n".join(parts)


_HEAD = """# Events that Tocsin publishes

Made from the code by `make docs`. How to read them, and what is promised: [events.md](../events.md). The envelope:
[envelope.schema.json](envelope.schema.json).

`data` of every event has `actor` (who: `user:`, `siem:`, `provider:` or `system:` and a name), `recorded_at`,
`happened_at` and `cause` (`command:`, `timer:` or `event:` and the id of what brought it about; `event:` is followed by
the `id` of another event). The tables below list what each has besides.

| type | what happened |
| --- | --- |
"""


def _anchor(title: str) -> str:
    return title.replace(".", "")


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _must(schema: Schema, field: str) -> str:
    return "always" if field in schema["required"] else ""


def _shape(schema: Schema, field: str) -> str:
    return _form(schema["properties"][field])


def _form(part: Schema) -> str:
    if "$ref" in part:
        return f"`{part['$ref'].rpartition('/')[2]}`"
    if "anyOf" in part:
        return " or ".join(_form(one) for one in part["anyOf"])
    if "enum" in part:
        return " \\| ".join(f"`{word}`" for word in part["enum"])
    if part.get("type") == "array":
        return f"list of {_form(part.get('items', {}))}"
    if part.get("type") == "object" and isinstance(part.get("additionalProperties"), dict):
        return f"object of {_form(part['additionalProperties'])}"
    return str(part.get("format") or part.get("type") or "anything")
