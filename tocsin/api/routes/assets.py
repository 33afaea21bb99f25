"""The asset register: register, read, revise, retire; and the assets that an incident concerns."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from incidents.assets.asset import Asset, responsible_parties
from incidents.assets.events import AssetDescription, AssetRegistered, Classification
from incidents.assets.service import read_description
from incidents.incident.incident import Incident
from incidents.record import stable_id
from projections.assets.assets import AssetEntry, assets
from projections.paging import Page
from tocsin.access.roles import Permission
from tocsin.api.authentication import READS
from tocsin.api.commands import Command, CommandRoute, commands, etag, versioned_commands
from tocsin.api.paths import Cursor, IncidentId, Limit, must_begin_with
from tocsin.api.responses import CHANGING, CREATING, READING, READING_ONE
from tocsin.api.scopes import Parts, door_of
from tocsin.api.values import Line, Reason, RequestModel, ResponseModel, Text

router = APIRouter(tags=["assets"], route_class=CommandRoute)

Registers = Annotated[Command, commands(Permission.HANDLE_INCIDENTS)]
Handles = Annotated[Command, versioned_commands(Permission.HANDLE_INCIDENTS)]
Codes = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(max_length=300)]


async def find_asset(request: Request, asset: UUID) -> UUID:
    """Dependency: the id of the asset named in the address."""
    record = door_of(request.scope).services.record
    await run_in_threadpool(must_begin_with, record, asset, AssetRegistered, "asset")
    return asset


AssetId = Annotated[UUID, Depends(find_asset)]


class PartyName(RequestModel):
    """An organisation, a unit or a function of one; never a person's contact data."""

    name: Line = Field(examples=["IT operations"])
    party_id: UUID | None = Field(None, description="Its id in the register of contract parties.")


class DescribeAsset(RequestModel):
    """All that the register says of an asset. Words are those of the facts (`GET /v1/schemas/facts`)."""

    name: Line = Field(examples=["Patient records"])
    owner: PartyName = Field(description="Who decides about the data and provides it.")
    custodian: PartyName | None = Field(None, description="Who keeps it and runs its systems.")
    processors: tuple[PartyName, ...] = Field((), max_length=50, description="Who handles it for the owner.")
    classification: Classification = Field(description="Level of the data: general, important or core.")
    data_classes: Codes = Field(
        min_length=1, max_length=300, description="Words of the fact `data_classes`; complete.", examples=[["health"]]
    )
    persons: int | None = Field(None, ge=0, le=10**13, description="Persons whose data is held.")
    persons_by_country: dict[str, Annotated[int, Field(ge=0, le=10**13)]] = Field(
        default_factory=dict, max_length=300, description="ISO 3166-1 code to persons.", examples=[{"CN": 1200}]
    )
    countries: Codes = Field(
        (), description="Where it is processed or its systems run (ISO 3166-1).", examples=[["CN"]]
    )
    sectors: Codes = Field((), description="Words of the fact `sectors`.", examples=[["health"]])
    system_classes: Codes = Field((), description="Words of the fact `system_classes`.", examples=[["cii"]])
    note: Text = Field("", max_length=2_000)

    def description(self) -> AssetDescription:
        """For the application. InvalidInput names what the vocabulary does not know."""
        return read_description(self.model_dump())


class RetireAsset(RequestModel):
    """Why the asset is out of use."""

    reason: Annotated[Reason, Field(max_length=2_000)]


class LinkAsset(RequestModel):
    """An asset that the incident concerns."""

    asset: UUID = Field(description="Its id.")


class ResponsibleShown(ResponseModel):
    """Who answers for an asset, and why."""

    name: str
    party_id: UUID | None
    responsibility: Literal["provider", "handler"]
    role: Literal["owner", "custodian", "processor"]
    reason: dict[str, str]


class AssetState(ResponseModel):
    """An asset as the record has it."""

    id: UUID
    version: int = Field(description="Also in `ETag`; give it back in `If-Match`.")
    asset: AssetDescription
    responsible: tuple[ResponsibleShown, ...]
    retired_because: str | None
    modified_at: datetime | None

    @classmethod
    def of(cls, asset: Asset) -> AssetState:
        """From the aggregate."""
        return cls(
            id=asset.id,
            version=asset.version,
            asset=asset.description,
            responsible=tuple(
                ResponsibleShown(
                    name=one.party.name,
                    party_id=one.party.party_id,
                    responsibility=one.responsibility.value,
                    role=one.role,
                    reason=dict(one.reason),
                )
                for one in responsible_parties(asset.description)
            ),
            retired_because=asset.retired_because,
            modified_at=asset.modified_at,
        )


class LinkedAsset(ResponseModel):
    """An asset linked to an incident, and what it told."""

    asset_id: UUID
    asset_version: int
    name: str
    linked_at: datetime
    linked_by: str
    facts: tuple[str, ...] = Field(description="Facts that rested on the register after this link.")
    kept: tuple[str, ...] = Field(description="Facts that people stated and the register left alone.")


class IncidentAssets(ResponseModel):
    """The assets that an incident concerns."""

    incident_id: UUID
    version: int
    assets: tuple[LinkedAsset, ...]
    facts_from_assets: tuple[str, ...] = Field(description="Facts that rest on the register now.")

    @classmethod
    def of(cls, incident: Incident) -> IncidentAssets:
        """From the aggregate."""
        return cls(
            incident_id=incident.id,
            version=incident.version,
            assets=tuple(
                LinkedAsset(
                    asset_id=link.asset_id,
                    asset_version=link.asset_version,
                    name=link.name,
                    linked_at=link.recorded_at,
                    linked_by=link.actor,
                    facts=link.facts,
                    kept=link.kept,
                )
                for link in incident.assets.values()
            ),
            facts_from_assets=tuple(sorted(incident.facts_from_assets)),
        )


@router.post("/v1/assets", status_code=201, summary="Register an asset", responses=CREATING)
def register(command: Registers, body: DescribeAsset, services: Parts, response: Response) -> AssetState:
    """Take a data asset into the register, with its owner, custodian and processors."""
    asset = services.assets.register(
        stable_id("asset", str(command.command_id)), command.context(services.clock), body.description()
    )
    response.headers["Location"] = f"/v1/assets/{asset.id}"
    return _shown(asset, response)


@router.get("/v1/assets", summary="List assets", dependencies=[READS], responses=READING)
def list_assets(
    services: Parts,
    search: Annotated[str | None, Query(max_length=200, description="Part of the name.")] = None,
    classification: Classification | None = None,
    retired: Annotated[bool, Query(description="With those out of use.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AssetEntry]:
    """The register by name."""
    level = classification.value if classification is not None else None
    return assets(services.engine, search=search, classification=level, retired=retired, limit=limit, cursor=cursor)


@router.get("/v1/assets/{asset}", summary="Read an asset", dependencies=[READS], responses=READING_ONE)
def read(asset: AssetId, services: Parts, response: Response) -> AssetState:
    """The asset, and who answers for it: who provides is responsible, who handles is responsible."""
    return _shown(services.record.load(Asset, asset), response)


@router.put("/v1/assets/{asset}", summary="Revise an asset", responses=CHANGING)
def revise(command: Handles, asset: AssetId, body: DescribeAsset, services: Parts, response: Response) -> AssetState:
    """Replace the description. What it said before stays on record; linked incidents change only when linked anew."""
    changed = services.assets.revise(
        asset, command.context(services.clock), body.description(), expected_version=command.expected_version
    )
    return _shown(changed, response)


@router.post("/v1/assets/{asset}/retire", summary="Take an asset out of use", responses=CHANGING)
def retire(command: Handles, asset: AssetId, body: RetireAsset, services: Parts, response: Response) -> AssetState:
    """It is no longer in use. It can still be linked: old data leaks too."""
    changed = services.assets.retire(
        asset, command.context(services.clock), reason=body.reason, expected_version=command.expected_version
    )
    return _shown(changed, response)


@router.get(
    "/v1/incidents/{incident}/assets", summary="Assets of an incident", dependencies=[READS], responses=READING_ONE
)
def read_linked(incident: IncidentId, services: Parts) -> IncidentAssets:
    """The assets that the incident concerns, and the facts that rest on them."""
    return IncidentAssets.of(services.record.load(Incident, incident))


@router.post("/v1/incidents/{incident}/assets", status_code=201, summary="Link an asset", responses=CHANGING)
def link(
    command: Handles, incident: IncidentId, body: LinkAsset, services: Parts, response: Response
) -> IncidentAssets:
    """The incident concerns this asset: its classes, persons and places become facts, unless people stated them."""
    must_begin_with(services.record, body.asset, AssetRegistered, "asset")
    changed = services.assets.link(
        incident, body.asset, command.context(services.clock), expected_version=command.expected_version
    )
    response.headers["ETag"] = etag(changed.version)
    return IncidentAssets.of(changed)


def _shown(asset: Asset, response: Response) -> AssetState:
    response.headers["ETag"] = etag(asset.version)
    return AssetState.of(asset)
