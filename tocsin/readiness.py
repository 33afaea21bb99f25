"""What keeps a process from being fit for its work."""

from __future__ import annotations

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from incidents.errors import FieldFault
from incidents.record.database import writing
from projections.runner import Runner
from tocsin.migrations.run import Standing, standing
from tocsin.migrations.steps import head

log = structlog.get_logger(__name__)

MAX_LAG = 10_000
"""Events a read model may be behind before readers are better served elsewhere."""


def of_database(engine: Engine) -> list[FieldFault]:
    """Whether it answers, takes writes and has the tables that this program needs."""
    try:
        with writing(engine) as connection:  # taking the write lock is the test
            on_server = engine.dialect.name != "sqlite"
            if on_server and connection.execute(text("SHOW transaction_read_only")).scalar_one() == "on":
                return [FieldFault("database", "takes no writes: it may be a standby")]
        if standing(engine) in {Standing.BEHIND, Standing.TOO_NEW}:
            return [FieldFault("database", f"is not at the schema of this program ({head()})")]
    except SQLAlchemyError as error:
        log.warning("database.unfit", reason=type(error).__name__)
        return [FieldFault("database", "cannot be written to")]
    return []


def of_read_models(projections: Runner) -> list[FieldFault]:
    """Which of them nobody should read from: far behind, or not going on."""
    return [
        FieldFault(f"projection {lag.name}", lag.failure or f"is {lag.behind} events behind")
        for lag in projections.lag()
        if lag.failure is not None or lag.behind > MAX_LAG
    ]
