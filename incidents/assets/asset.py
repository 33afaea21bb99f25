"""The data asset: registered, revised, retired; and who answers for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Self
from uuid import UUID

from incidents.assets.events import AssetDescription, AssetRegistered, AssetRetired, AssetRevised, NamedParty
from incidents.errors import IllegalTransition
from incidents.record import Aggregate, Context, folds


class Asset(Aggregate):
    """One data asset."""

    description: AssetDescription

    def __init__(self, asset_id: UUID) -> None:
        super().__init__(asset_id)
        self.retired_because: str | None = None
        self.described_at = 0
        """The version at which it was described as it is now."""

    @property
    def is_retired(self) -> bool:
        """Whether it is out of use."""
        return self.retired_because is not None

    @classmethod
    def register(cls, asset_id: UUID, context: Context, description: AssetDescription) -> Self:
        """Take an asset into the register. The first event of its stream."""
        asset = cls(asset_id)
        asset.emit(AssetRegistered, context, asset=description)
        return asset

    def revise(self, context: Context, description: AssetDescription) -> None:
        """Say anew what it is; the same again changes nothing."""
        self._in_use("revise")
        before = self.description
        changed = tuple(
            name for name in AssetDescription.model_fields if getattr(before, name) != getattr(description, name)
        )
        if changed:
            self.emit(AssetRevised, context, asset=description, changed=changed)

    def retire(self, context: Context, reason: str) -> None:
        """Take it out of use."""
        self._in_use("retire")
        self.emit(AssetRetired, context, name=self.description.name, reason=reason)

    def _in_use(self, command: str) -> None:
        if self.is_retired:
            raise IllegalTransition(
                f"Cannot {command} it: the asset is retired. Register it anew if it is in use again."
            )

    @folds(AssetRegistered, AssetRevised)
    def _described(self, event: AssetRegistered | AssetRevised) -> None:
        self.description = event.asset
        self.described_at = event.originator_version

    @folds(AssetRetired)
    def _retired(self, event: AssetRetired) -> None:
        self.retired_because = event.reason


class Responsibility(StrEnum):
    """Why a party answers for an asset."""

    PROVIDER = "provider"
    HANDLER = "handler"


@dataclass(frozen=True, slots=True)
class ResponsibleParty:
    """A named party, what makes it responsible, and that in words (by language)."""

    party: NamedParty
    responsibility: Responsibility
    role: str
    """`owner`, `custodian` or `processor`."""
    reason: MappingProxyType[str, str]


_REASONS = {
    "owner": {
        "en": "Owns the data and provides it: who provides is responsible.",
        "zh": "数据所有方、提供方：谁提供，谁负责。",
    },
    "custodian": {
        "en": "Keeps the data and runs its systems: who handles is responsible.",
        "zh": "数据保管方、系统运行方：谁处理，谁负责。",
    },
    "processor": {
        "en": "Handles the data on behalf of the owner: who handles is responsible.",
        "zh": "受托处理方：谁处理，谁负责。",
    },
}


def responsible_parties(asset: AssetDescription) -> tuple[ResponsibleParty, ...]:
    """Who answers for an asset, and why: the provider first, then everybody who handles the data.

    "Who provides is responsible, who handles is responsible." A party with two roles comes twice, once for each.
    """
    named = [("owner", Responsibility.PROVIDER, asset.owner)]
    if asset.custodian is not None:
        named.append(("custodian", Responsibility.HANDLER, asset.custodian))
    named += [("processor", Responsibility.HANDLER, processor) for processor in asset.processors]
    if len(named) == 1:  # nobody else is named, so the owner handles its data itself
        named.append(("custodian", Responsibility.HANDLER, asset.owner))
    return tuple(
        ResponsibleParty(party, responsibility, role, MappingProxyType(_REASONS[role]))
        for role, responsibility, party in named
    )
