"""The asset list's fold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sqlalchemy import Connection

from incidents.assets.events import AssetRegistered, AssetRetired, AssetRevised
from incidents.incident.events import AssetLinked
from incidents.record import Recorded
from projections.assets.tables import NAME, asset_links, asset_list
from projections.projection import Projection
from projections.rows import Rows

SORTED = 200
"""Characters of a name that decide its place in the list: what a cursor can carry."""


class Assets(Projection):
    """Which assets there are, and how many incidents concern each."""

    name = NAME
    version = 1
    events = (AssetRegistered, AssetRevised, AssetRetired, AssetLinked)
    tables: ClassVar = (asset_list, asset_links)

    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        touched = {_asset_of(recorded) for recorded in batch}
        rows = Rows(connection, asset_list, generation)
        rows.load((asset,) for asset in touched)
        links = Rows(connection, asset_links, generation)
        linked = [r.event for r in batch if isinstance(r.event, AssetLinked)]
        links.load((event.asset_id, event.originator_id) for event in linked)
        for recorded in batch:
            match recorded.event:
                case AssetRegistered() | AssetRevised() as event:
                    asset = event.asset
                    rows.put(
                        event.originator_id,
                        version=event.originator_version,
                        name=asset.name,
                        sort_name=asset.name.casefold()[:SORTED],
                        owner=asset.owner.name,
                        classification=asset.classification.value,
                        data_classes=list(asset.data_classes),
                        countries=list(asset.countries),
                        persons=asset.persons_total,
                        modified_at=event.recorded_at,
                    )
                case AssetRetired() as event:
                    rows.put(
                        event.originator_id,
                        version=event.originator_version,
                        retired=True,
                        modified_at=event.recorded_at,
                    )
                case AssetLinked() as event:
                    before = rows.get(event.asset_id)
                    if before is not None and links.get(event.asset_id, event.originator_id) is None:
                        links.put(event.asset_id, event.originator_id, linked_at=event.recorded_at)
                        rows.put(event.asset_id, incidents=before["incidents"] + 1)
        rows.flush()
        links.flush()


def _asset_of(recorded: Recorded) -> object:
    event = recorded.event
    return event.asset_id if isinstance(event, AssetLinked) else event.originator_id
