"""What keeps the service from being ready."""

from __future__ import annotations

import structlog

from incidents.errors import FieldFault
from tocsin.api.scopes import Door
from tocsin.readiness import of_database, of_read_models

log = structlog.get_logger(__name__)


def reasons_against(door: Door) -> list[FieldFault]:
    """One entry for each part that is not fit to serve; empty when all are."""
    services = door.services
    found = of_database(services.engine) or of_read_models(services.projections)
    for name, probe in door.probes.items():
        reason = probe()
        if reason is not None:
            found.append(FieldFault(name, reason))
    for fault in found:
        log.warning("not-ready", part=fault.field, reason=fault.reason)
    return found
