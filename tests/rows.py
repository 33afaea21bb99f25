"""Rows as the service itself would write them, for tests that begin in the middle of a story."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4


def sending_row(campaign_id: UUID, started_at: datetime, **changes: Any) -> dict[str, Any]:
    """Of `sendings`: a campaign that was started, for real people."""
    return {
        "campaign_id": campaign_id,
        "incident_id": uuid4(),
        "audience_id": uuid4(),
        "started_reference": f"event:{campaign_id}/5",
        "started_at": started_at,
        "drill": False,
        "policy": "at_least_once",
        **changes,
    }
