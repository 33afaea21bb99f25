"""The published schemas: what events are is what they say, and they do not change under their readers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from incidents.clock import ManualClock
from incidents.record import Event, Instant, Model, Record, Registry
from tests.projections.stories import Teller, many_stories
from tocsin.docs import refuse_broken_schemas
from tocsin.relay.cloud_events import CloudEvents
from tocsin.relay.schemas import ENVELOPE, breaks, broken, files, published, schema_of, written
from tocsin.services import registry as all_rooms

DOCS = Path(__file__).parents[3] / "docs" / "events"


class Part(Model):
    """Something inside."""

    name: str
    count: int | None = None


class Sample(Event, kind="sample.taken"):
    """Has one field of each shape that events use."""

    incident_id: UUID
    text: str
    word: Literal["one", "two"]
    when: Instant | None = None
    many: tuple[Part, ...] = ()
    by_name: dict[str, int]
    anything: Any = None


Change = Callable[[dict[str, Any]], Any]


def set_to(*path: str | int, value: Any) -> Change:
    def change(schema: dict[str, Any]) -> None:
        inner: Any = schema
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = value

    return change


def test_the_shape_of_a_schema() -> None:
    schema = schema_of(Sample)

    Draft202012Validator.check_schema(schema)
    assert schema["title"] == "tocsin.sample.taken.v1"
    assert "originator_id" not in schema["properties"]
    assert schema["required"] == [
        "actor",
        "recorded_at",
        "happened_at",
        "cause",
        "incident_id",
        "text",
        "word",
        "by_name",
    ]
    assert '"additionalProperties": false' not in json.dumps(schema)


MAY = {
    "words for people": set_to("description", value="Other words."),
    "a field with a default is new": set_to("properties", "more", value={"type": "string", "default": ""}),
    "a field of a part with a default is new": set_to(
        "$defs", "Part", "properties", "more", value={"type": "string", "default": ""}
    ),
    "a word more": set_to("properties", "word", "enum", value=["one", "two", "three"]),
    "a part has another name": lambda schema: (
        schema["$defs"].update(Piece=schema["$defs"].pop("Part")),
        schema["properties"]["many"]["items"].update({"$ref": "#/$defs/Piece"}),
    ),
}
MAY_NOT = {
    "a field is gone": lambda schema: schema["properties"].pop("text"),
    "a field of a part is gone": lambda schema: schema["$defs"]["Part"]["properties"].pop("count"),
    "a field is new and required": lambda schema: (
        schema["properties"].update(more={"type": "string"}),
        schema["required"].append("more"),
    ),
    "a field became required": lambda schema: schema["required"].append("when"),
    "a field is no longer required": lambda schema: schema["required"].remove("text"),
    "another type": set_to("properties", "text", "type", value="integer"),
    "another type in a list": set_to("$defs", "Part", "properties", "name", "type", value="integer"),
    "another type in an object": set_to("properties", "by_name", "additionalProperties", "type", value="string"),
    "another format": set_to("properties", "incident_id", "format", value="uri"),
    "may be null now": set_to("properties", "text", value={"anyOf": [{"type": "string"}, {"type": "null"}]}),
    "may no longer be null": set_to("properties", "when", "anyOf", value=[{"type": "string", "format": "date-time"}]),
    "a word is gone": set_to("properties", "word", "enum", value=["one"]),
    "words are a list now": set_to("properties", "text", "enum", value=["a"]),
    "another default": set_to("properties", "many", "default", value=[{"name": "x"}]),
    "a limit is new": set_to("properties", "text", "maxLength", value=10),
    "a pattern is another": set_to("properties", "actor", "pattern", value="^user:.*$"),
}


@pytest.mark.parametrize("name", MAY)
def test_what_may_change_within_a_version(name: str) -> None:
    old = schema_of(Sample)
    new = copy.deepcopy(old)
    MAY[name](new)

    assert new != old
    assert breaks(old, new) == []


@pytest.mark.parametrize("name", MAY_NOT)
def test_what_needs_a_new_version(name: str) -> None:
    old = schema_of(Sample)
    new = copy.deepcopy(old)
    MAY_NOT[name](new)

    assert len(breaks(old, new)) >= 1


def test_a_limit_may_be_widened_and_not_narrowed() -> None:
    old = schema_of(Sample)
    old["properties"]["text"]["maxLength"] = 10
    wider = copy.deepcopy(old)
    wider["properties"]["text"]["maxLength"] = 20

    assert breaks(old, wider) == []
    assert breaks(wider, old) == ["text: maxLength is narrower"]


def test_no_stored_event_changed_in_a_way_its_published_schema_does_not_allow() -> None:
    assert broken(all_rooms(), DOCS) == [], "give the event a new version and an upcaster"


def test_the_folder_of_schemas_is_whole() -> None:
    """`test_settings` holds each file current; here: none is there that nobody writes, but of older versions."""
    made = files(all_rooms())
    extra = {file.name for file in DOCS.iterdir()} - made.keys()
    newest = {kind: event.schema_version for kind, event in all_rooms().classes.items()}
    for name in extra:
        kind, _, version = name.removesuffix(".schema.json").rpartition(".v")
        assert int(version) < newest[kind], f"{name} describes no event"


def test_the_generator_refuses_to_write_over_what_events_on_record_need(tmp_path: Path) -> None:
    before = schema_of(all_rooms().classes["incident.triaged"])
    before["properties"]["severity"] = {"type": "string"}
    (tmp_path / "incident.triaged.v1.schema.json").write_text(written(before), "utf-8")

    with pytest.raises(SystemExit, match=r"incident\.triaged\.v1: severity: is gone"):
        refuse_broken_schemas(tmp_path)


def test_an_older_version_keeps_its_schema(tmp_path: Path) -> None:
    class Newer(Event, kind="sample.newer", version=2):
        """Had a first version."""

    assert broken(Registry([Newer]), tmp_path) == [
        "sample.newer.v1: its schema is gone, but events of it are on record"
    ]


def test_every_event_of_many_stories_is_what_its_schema_says(record: Record, clock: ManualClock) -> None:
    for _ in many_stories(Teller(record, clock), 3):
        pass
    assert_valid(record)


def assert_valid(record: Record) -> set[str]:
    """Check every event of a record, as it would be relayed, against the published schemas. Returns the types met."""
    checker = FormatChecker()
    schemas = {
        name: Draft202012Validator(schema, format_checker=checker) for name, schema in published(all_rooms()).items()
    }
    events = CloudEvents(record.registry, "https://tocsin.example")
    met = set()
    for row in record.recorder.select_notifications(start=0, limit=1_000_000, inclusive_of_start=False):
        message = json.loads(events.message(row).value)
        schemas[ENVELOPE].validate(message)
        schemas[message["dataschema"].rpartition("/")[2]].validate(message["data"])
        met.add(message["type"])
    assert met
    return met


def test_a_schema_refuses_what_is_no_such_event() -> None:
    validator = Draft202012Validator(schema_of(Sample))
    with pytest.raises(ValidationError, match="is a required property"):
        validator.validate({"actor": "user:lan"})
