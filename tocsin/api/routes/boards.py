"""What is true across incidents: the board, deadlines, recovery, alerts, campaigns."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from projections.coverage.coverage import CampaignCoverage, campaigns
from projections.deadlines.deadlines import Deadline, deadlines
from projections.paging import Page
from projections.recovery.recovery import RecoveryStatus, recovery
from projections.severity_board.board import BoardEntry, board
from tocsin.api.authentication import READS
from tocsin.api.paths import Cursor, Limit
from tocsin.api.responses import READING
from tocsin.api.scopes import Parts
from tocsin.owners import with_owners

router = APIRouter(prefix="/v1", tags=["boards"], dependencies=[READS])

CampaignState = Literal["drafted", "approval_requested", "approved", "rejected", "sending", "finished"]


@router.get("/board", summary="The severity board", responses=READING)
def read_board(services: Parts, limit: Limit = 50, cursor: Cursor = None) -> Page[BoardEntry]:
    """Open incidents, the one whose clock runs out first on top."""
    return board(services.engine, state="open", limit=limit, cursor=cursor)


@router.get("/deadlines", summary="Deadlines of all incidents", responses=READING)
def read_deadlines(
    services: Parts, include: Literal["open", "all"] = "open", limit: Limit = 100, cursor: Cursor = None
) -> Page[Deadline]:
    """Duties by strict deadline, with the share of each window that has passed."""
    page = deadlines(services.engine, now=services.clock.now(), include=include, limit=limit, cursor=cursor)
    return with_owners(page, services.settings.warnings)


@router.get("/recovery", summary="Recovery of all incidents", responses=READING)
def read_recovery(
    services: Parts, only_open: bool = False, limit: Limit = 50, cursor: Cursor = None
) -> Page[RecoveryStatus]:
    """When each incident reached each phase, newest first."""
    return recovery(services.engine, only_open=only_open, limit=limit, cursor=cursor)


@router.get("/campaigns", summary="All campaigns", tags=["campaigns"], responses=READING)
def read_campaigns(
    services: Parts, state: CampaignState | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[CampaignCoverage]:
    """Campaigns with how far each has come; the one that moved last on top."""
    return campaigns(services.engine, state=state, limit=limit, cursor=cursor)
