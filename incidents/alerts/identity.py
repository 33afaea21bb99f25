"""Which alert is which: identities that depend on nothing but the alert.

An alert is the same as another when it comes from the same source (product, tenant, manager) with the same native
id. A record without an id is known by the digest of its content, whatever the order and spacing of its JSON.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

from incidents.alerts.finding import Finding
from incidents.record import stable_id


def content_digest(document: Any) -> str:
    """SHA-256, in hex, of a JSON value in one written form: sorted names, no spaces, UTF-8."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def raw_digest(raw: bytes) -> str:
    """SHA-256, in hex, of the bytes as received."""
    return hashlib.sha256(raw).hexdigest()


def alert_id_of(finding: Finding) -> UUID:
    """The alert's id, and the id of its stream in the record."""
    return stable_id("alert", finding.source, finding.uid)


def incident_id_of(alert_id: UUID) -> UUID:
    """The id of the incident that this alert declares, if it is the one that does."""
    return stable_id("incident", "alert", str(alert_id))
