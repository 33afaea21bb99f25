"""What an alert alone lets us state about an incident.

Deliberately little: facts decide about duties, and a detector sees neither whose data it is nor whether it is real.
The security properties lost (`nature`) are not guessed from ATT&CK tactics, because that fact is a complete list and
an alert cannot say what was not lost.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any


def suggested_facts(detected_at: datetime, received_at: datetime | None = None) -> dict[str, Any]:
    """Facts by name, as JSON values: `detected_at`, when a detector first reported it (ISO 8601, UTC).

    A detector whose clock is ahead of ours cannot have detected anything after `received_at`.
    """
    detected = detected_at if received_at is None else min(detected_at, received_at)
    return {"detected_at": detected.isoformat()}
