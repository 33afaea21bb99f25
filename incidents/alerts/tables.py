"""Where findings are kept in full. The record holds only a summary and the digest of what was received.

Findings are evidence for analysts, not truth: the table may be thinned out by age without breaking anything. Contact
data in them is masked before it gets here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import Column, Connection, Engine, String, Table, Text, Uuid, select
from sqlalchemy.dialects import sqlite

from incidents.alerts.finding import DetectionFinding
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
    Column("finding", Text, nullable=False, doc="OCSF Detection Finding as JSON, contacts masked"),
)


class StoredFinding(Model):
    """A finding as it is kept. `finding` is OCSF JSON with contacts masked."""

    alert_id: UUID
    digest: str
    dialect: str
    received_at: datetime
    finding: dict[str, Any]


class FindingRow(NamedTuple):
    """A finding to keep; `finding` is what `finding_text` made."""

    alert_id: UUID
    digest: str
    dialect: str
    received_at: datetime
    finding: str


class FindingsStore(Protocol):
    """Keeps findings. Saving the same bytes of the same alert again changes nothing."""

    def save(
        self, alert_id: UUID, digest: str, dialect: str, received_at: datetime, finding: DetectionFinding
    ) -> None: ...


class SqlFindingsStore:
    """Findings in the `findings` table, on SQLite or PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, alert_id: UUID, digest: str, dialect: str, received_at: datetime, finding: DetectionFinding) -> None:
        """Keep a finding, masked. Idempotent by alert and digest."""
        row = FindingRow(alert_id, digest, dialect, received_at, finding_text(finding))
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
        return StoredFinding(**{**row, "finding": json.loads(row["finding"])})


def finding_text(finding: DetectionFinding) -> str:
    """The finding as the table holds it: compact OCSF JSON with contacts masked."""
    return mask_json(finding.model_dump_json(exclude_none=True))


def save_findings(connection: Connection, rows: Sequence[FindingRow]) -> None:
    """Keep findings in a transaction of the caller. Idempotent by alert and digest."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.execute(sqlite.insert(findings).on_conflict_do_nothing(), [row._asdict() for row in rows])
    else:
        # One statement. Many in a row would go out in parts, and a process that stood still between two of them would
        # hold its locks for ever: the server's limit for idle transactions does not count while it waits for the rest.
        connection.exec_driver_sql(_SAVE_ON_SERVER, tuple(list(column) for column in zip(*rows, strict=True)))


_SAVE_ON_SERVER = (
    "INSERT INTO findings (alert_id, digest, dialect, received_at, finding) "
    "SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::timestamptz[], %s::text[]) ON CONFLICT DO NOTHING"
)
