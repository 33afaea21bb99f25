"""The projections of Tocsin."""

from __future__ import annotations

from projections.alerts.fold import Alerts
from projections.assets.fold import Assets
from projections.coverage.fold import Coverage
from projections.deadlines.fold import Deadlines
from projections.parties.fold import Parties
from projections.projection import Projection
from projections.recovery.fold import Recovery
from projections.severity_board.fold import SeverityBoard
from projections.tasks.fold import Tasks
from projections.timeline.fold import Timeline


def all_projections() -> tuple[Projection, ...]:
    """One of each, for a runner."""
    return (SeverityBoard(), Recovery(), Deadlines(), Coverage(), Timeline(), Tasks(), Alerts(), Assets(), Parties())
