"""A revised asset reaches the open incidents that it is linked to: what the register says is stated there anew."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from incidents.assets.events import AssetRevised
from incidents.assets.service import AssetService
from incidents.clock import Clock
from incidents.record import Aggregate, Context, Follower, Record, Recorded
from projections.assets.assets import incidents_of
from projections.assets.tables import NAME as ASSETS
from projections.runner import Runner
from projections.severity_board.tables import NAME as BOARD

NAME = "revised-assets"
ACTOR = "system:upkeep"


class RevisedAssets:
    """Follows the register. Incidents and position are saved in one transaction."""

    def __init__(self, engine: Engine, record: Record, assets: AssetService, projections: Runner, clock: Clock) -> None:
        self._engine = engine
        self._assets = assets
        self._projections = projections
        self._clock = clock
        self.follower = Follower(record, NAME, self, kinds=[AssetRevised.kind], batch=1)
        self.waits = False
        """Whether the last look found a revision that the read models do not show yet."""

    def run_once(self) -> int:
        """Take the next revision, once the read models show every link that was made before it."""
        waiting = self.follower.oldest_waiting()
        shown = waiting is None or self._projections.wait_for(waiting.position, timeout=0, names=(ASSETS, BOARD))
        self.waits = not shown
        return self.follower.run_once() if waiting is not None and shown else 0

    def __call__(self, recorded: Recorded) -> Sequence[Aggregate]:
        context = Context.of_event(recorded.event, self._clock, actor=ACTOR)
        found = (
            self._assets.refreshed(incident_id, context)
            for incident_id in incidents_of(self._engine, recorded.event.originator_id)
        )
        return [incident for incident in found if incident is not None and incident.has_pending]
