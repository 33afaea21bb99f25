"""JSON Schemas (2020-12) of what the API takes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from incidents.facts import OrganisationProfile
from playbooks.definitions.definition import Playbook
from tocsin.api.authentication import READS
from tocsin.api.responses import READING

router = APIRouter(prefix="/v1/schemas", tags=["schemas"], dependencies=[READS])


@router.get("/facts", summary="Facts", responses=READING)
def facts() -> dict[str, Any]:
    """The vocabulary of facts."""
    from incidents.facts.schema import json_schema

    return dict(json_schema())


@router.get("/organisation", summary="The organisation profile", responses=READING)
def organisation() -> dict[str, Any]:
    """What is true of the organisation itself."""
    return OrganisationProfile.model_json_schema()


@router.get("/playbook", summary="Playbooks", responses=READING)
def playbook() -> dict[str, Any]:
    """A playbook, as a YAML file holds it."""
    return Playbook.model_json_schema()
