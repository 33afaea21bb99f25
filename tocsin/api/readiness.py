"""What keeps the service from being ready."""

from __future__ import annotations

import structlog
from sqlalchemy.exc import SQLAlchemyError

from incidents.errors import FieldFault
from incidents.record.database import writing
from tocsin.api.scopes import Door
from tocsin.migrations.run import head, is_current

log = structlog.get_logger(__name__)

MAX_LAG = 10_000
"""Events a read model may be behind before readers are better served elsewhere."""


def reasons_against(door: Door) -> list[FieldFault]:
    """One entry for each part that is not fit to serve; empty when all are."""
    found = _database(door)
    if not found:
        found += _read_models(door)
    for name, probe in door.probes.items():
        reason = probe()
        if reason is not None:
            found.append(FieldFault(name, reason))
    for fault in found:
        log.warning("not-ready", part=fault.field, reason=fault.reason)
    return found


def _database(door: Door) -> list[FieldFault]:
    try:
        with writing(door.services.engine):
            pass  # taking the write lock is the test
        if not is_current(door.services.engine):
            return [FieldFault("database", f"is not at the schema of this program ({head()})")]
    except SQLAlchemyError as error:
        log.warning("database.unfit", reason=f"{type(error).__name__}: {error}")
        return [FieldFault("database", "cannot be written to")]
    return []


def _read_models(door: Door) -> list[FieldFault]:
    return [
        FieldFault(f"projection {lag.name}", lag.failure or f"is {lag.behind} events behind")
        for lag in door.services.projections.lag()
        if lag.failure is not None or lag.behind > MAX_LAG
    ]
