"""The schemas of the events that Tocsin publishes."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Path

from incidents.errors import NotFound
from tocsin.api.authentication import READS
from tocsin.api.responses import READING, READING_ONE
from tocsin.api.values import ResponseModel, Word
from tocsin.relay.schemas import ENVELOPE, published
from tocsin.services import registry

router = APIRouter(prefix="/v1/events", tags=["schemas"], dependencies=[READS])

SchemaName = Annotated[Word, Path(description="`envelope`, or a name such as `incident.reported.v1`.")]


class PublishedSchema(ResponseModel):
    """One schema."""

    name: str
    type: str | None
    """The `type` of the CloudEvents whose data it describes; null for the envelope."""
    about: str


class PublishedSchemas(ResponseModel):
    """All of them."""

    schemas: tuple[PublishedSchema, ...]


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    return published(registry())


@router.get("/schemas", summary="Schemas of published events", responses=READING)
def list_schemas() -> PublishedSchemas:
    """Every event that Tocsin publishes to Kafka, and the envelope that all of them come in."""
    return PublishedSchemas(
        schemas=tuple(
            PublishedSchema(name=name, type=schema["title"] if name != ENVELOPE else None, about=schema["description"])
            for name, schema in _schemas().items()
        )
    )


@router.get("/schemas/{name}", summary="Schema of a published event", responses=READING_ONE)
def get_schema(name: SchemaName) -> dict[str, Any]:
    """JSON Schema (2020-12) of the `data` of one event; its address is the `dataschema` of the event."""
    schema = _schemas().get(name)
    if schema is None:
        raise NotFound(f"There is no event {name}; /v1/events/schemas lists them.", field="name")
    return schema
