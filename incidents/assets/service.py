"""Commands on the asset register: load, decide, save. Every command is idempotent by the cause in its context."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from incidents.assets.asset import Asset
from incidents.assets.events import MAX_TEXT, AssetDescription
from incidents.assets.filling import fill
from incidents.errors import Conflict, FieldFault, InvalidInput
from incidents.facts import OrganisationProfile
from incidents.incident.incident import Incident
from incidents.privacy import mask_contacts, refuse_contacts
from incidents.record import Context, Record, retrying


class AssetService:
    """What people can do to the register, and linking its assets to incidents."""

    def __init__(self, record: Record, profile: OrganisationProfile | None = None) -> None:
        self._record = record
        self._profile = profile

    def register(self, asset_id: UUID, context: Context, description: Mapping[str, Any] | AssetDescription) -> Asset:
        """Take an asset into the register. InvalidInput names every field that is wrong."""
        described = read_description(description)

        def command() -> Asset:
            found = self._record.find(Asset, asset_id)
            if found is not None:
                if found.has_done(context):
                    return found
                raise Conflict(f"Asset {asset_id} exists already.", field="id")
            asset = Asset.register(asset_id, context, described)
            self._record.commit(asset)
            return asset

        return retrying(command)

    def revise(
        self,
        asset_id: UUID,
        context: Context,
        description: Mapping[str, Any] | AssetDescription,
        *,
        expected_version: int | None = None,
    ) -> Asset:
        """Replace the description; the one before stays on record."""
        described = read_description(description)
        return self._change(asset_id, context, lambda asset: asset.revise(context, described), expected_version)

    def retire(self, asset_id: UUID, context: Context, *, reason: str, expected_version: int | None = None) -> Asset:
        """Take it out of use, with the reason."""
        reason = reason.strip()
        if not reason:
            raise InvalidInput("Say why the asset is out of use.", field="reason")
        if len(reason) > MAX_TEXT:
            raise InvalidInput(f"The reason may have {MAX_TEXT} characters; it has {len(reason)}.", field="reason")
        refuse_contacts(reason, "reason")
        return self._change(asset_id, context, lambda asset: asset.retire(context, reason), expected_version)

    def link(
        self, incident_id: UUID, asset_id: UUID, context: Context, *, expected_version: int | None = None
    ) -> Incident:
        """An asset is concerned by an incident: link it, and state the facts that the register knows.

        What people stated for the incident is left as it is. Linking a retired asset is possible: old data leaks too.
        A revised asset reaches the open incidents that it is linked to by itself (`refreshed`).
        """

        def command() -> Incident:
            incident = self._record.load(Incident, incident_id)
            if incident.has_done(context):
                return incident
            if expected_version is not None and incident.version != expected_version:
                raise _moved_on("incident", incident.version, expected_version)
            asset = self._record.load(Asset, asset_id)
            others = [self._record.load(Asset, other) for other in incident.assets if other != asset_id]
            filling = fill(incident, [one.description for one in (*others, asset)], self._profile)
            incident.link_asset(
                context,
                asset_id,
                version=asset.version,
                name=asset.description.name,
                facts=filling.facts,
                kept=filling.kept,
            )
            self._record.commit(incident)
            return incident

        return command() if expected_version is not None else retrying(command)

    def refreshed(self, incident_id: UUID, context: Context) -> Incident | None:
        """An open incident with what its linked assets say now stated anew, not saved. None when nothing changed."""
        incident = self._record.find(Incident, incident_id)
        if incident is None or not incident.is_open:
            return None
        assets = {one: self._record.load(Asset, one) for one in incident.assets}
        stale = [one for one, asset in assets.items() if asset.described_at > incident.assets[one].asset_version]
        if not stale:
            return None
        filling = fill(incident, [asset.description for asset in assets.values()], self._profile)
        for one in stale:
            incident.link_asset(
                context,
                one,
                version=assets[one].version,
                name=assets[one].description.name,
                facts=filling.facts,
                kept=filling.kept,
            )
        return incident

    def _change(
        self, asset_id: UUID, context: Context, decide: Callable[[Asset], None], expected_version: int | None
    ) -> Asset:
        def command() -> Asset:
            asset = self._record.load(Asset, asset_id)
            if asset.has_done(context):
                return asset
            if expected_version is not None and asset.version != expected_version:
                raise _moved_on("asset", asset.version, expected_version)
            decide(asset)
            self._record.commit(asset)
            return asset

        return command() if expected_version is not None else retrying(command)


def read_description(raw: Mapping[str, Any] | AssetDescription) -> AssetDescription:
    """A description from plain values. InvalidInput with one entry per fault, which never repeats contact data."""
    if isinstance(raw, AssetDescription):
        return raw
    try:
        return AssetDescription.model_validate(dict(raw))
    except ValidationError as fault:
        errors = [
            FieldFault(
                mask_contacts(".".join(map(str, error["loc"]))) or "asset",
                mask_contacts(error["msg"].removeprefix("Value error, ")),
            )
            for error in fault.errors(include_input=False, include_url=False)
        ]
        raise InvalidInput(f"{errors[0].field}: {errors[0].reason}", errors=errors) from fault


def _moved_on(what: str, version: int, expected: int) -> Conflict:
    return Conflict(
        f"The {what} is at version {version}, you decided from {expected}. Load it again and repeat the command."
    )
