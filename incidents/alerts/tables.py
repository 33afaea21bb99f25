"""Where findings are kept in full. The record holds only a summary and the digest of what was received.

Findings are evidence for analysts, not truth: the table may be thinned out by age without breaking anything. Contact
data in them is masked before it gets here. An alert that holds none is kept as it came: that takes less room and time,
its digest can be checked, and the finding is made of it when somebody reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import Boolean, Column, Connection, Engine, String, Table, Text, Uuid, select

from incidents.alerts.dialects import DIALECTS
from incidents.alerts.finding import Kept
from incidents.errors import NotFound
from incidents.privacy import mask_json
from incidents.record import Model
from incidents.record.database import UtcDateTime, metadata, reading, writing

findings = Table(
    "findings",
    metadata,
    Column("alert_id", Uuid, primary_key=True),
    Column("digest", String(64), primary_key=True, doc="SHA-256 of the bytes as received, hex"),
    Column("dialect", String(40), nullable=False),
    Column("received_at", UtcDateTime, nullable=False, index=True),
    Column("finding", Text, nullable=False, doc="JSON: Detection Finding, contacts masked; or an alert without any"),
    Column("as_received", Boolean, nullable=True, doc="Whether `finding` is the alert as it came; null: it is not"),
)


class StoredFinding(Model):
    """A finding as it is kept. `finding` is OCSF JSON with contacts masked."""

    alert_id: UUID
    digest: str
    dialect: str
    received_at: datetime
    finding: dict[str, Any]


class FindingRow(NamedTuple):
    """A finding to keep: a row of the table."""

    alert_id: UUID
    digest: str
    dialect: str
    received_at: datetime
    finding: str
    as_received: bool


class FindingsStore(Protocol):
    """Keeps findings. Saving the same bytes of the same alert again changes nothing."""

    def save(self, alert_id: UUID, digest: str, dialect: str, received_at: datetime, kept: Kept) -> None: ...


class SqlFindingsStore:
    """Findings in the `findings` table, on SQLite or PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, alert_id: UUID, digest: str, dialect: str, received_at: datetime, kept: Kept) -> None:
        """Keep a finding. Idempotent by alert and digest."""
        row = FindingRow(alert_id, digest, dialect, received_at, *kept)
        with writing(self._engine) as connection:
            save_findings(connection, [row])

    def load(self, alert_id: UUID) -> StoredFinding:
        """The newest finding of an alert. NotFound when none is kept."""
        query = (
            select(findings)
            .where(findings.c.alert_id == alert_id)
            .order_by(findings.c.received_at.desc(), findings.c.digest)
            .limit(1)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise NotFound(f"No finding is kept of alert {alert_id}.", field="alert_id")
        return StoredFinding(**{name: row[name] for name in _SAME}, finding=_finding_in(row))


_SAME = ("alert_id", "digest", "dialect", "received_at")


def _finding_in(row: Mapping[Any, Any]) -> dict[str, Any]:
    text = row["finding"]
    if row["as_received"]:
        # Masked all the same: what is cut out of a text may look like something that the text does not.
        text = mask_json(DIALECTS[row["dialect"]](json.loads(text)).ocsf_json())
    finding: dict[str, Any] = json.loads(text)
    return finding


def save_findings(connection: Connection, rows: Sequence[FindingRow]) -> None:
    """Keep findings in a transaction of the caller. Idempotent by alert and digest."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_SAVE_IN_FILE, [_in_file(row) for row in rows])
    else:
        # One statement. Many in a row would go out in parts, and a process that stood still between two of them would
        # hold its locks for ever: the server's limit for idle transactions does not count while it waits for the rest.
        connection.exec_driver_sql(_SAVE_ON_SERVER, tuple(list(column) for column in zip(*rows, strict=True)))


def _in_file(row: FindingRow) -> tuple[str | bool, ...]:
    """A row as SQLite's types of these columns write it."""
    at = row.received_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return row.alert_id.hex, row.digest, row.dialect, at, row.finding, row.as_received


_SAVE_IN_FILE = (
    "INSERT INTO findings (alert_id, digest, dialect, received_at, finding, as_received) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
_SAVE_ON_SERVER = (
    "INSERT INTO findings (alert_id, digest, dialect, received_at, finding, as_received) SELECT * FROM "
    "unnest(%b::uuid[], %b::text[], %b::text[], %b::timestamptz[], %b::text[], %b::boolean[]) ON CONFLICT DO NOTHING"
)
"""In binary: written as text, every quote of every finding would be escaped, which takes longer than all the rest."""
