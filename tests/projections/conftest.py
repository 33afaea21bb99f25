"""Every test of this room runs on SQLite and on PostgreSQL; each has a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Engine

from incidents.clock import ManualClock
from incidents.record import Record, Registry, open_record
from incidents.record.database import open_engine
from tests.projections.notes import Notes, notes_metadata
from tests.servers import BACKENDS, emptied_database, fresh_database


@dataclass
class Installation:
    """A record and the tables beside it."""

    url: str
    record: Record
    engine: Engine
    clock: ManualClock
    registry: Registry
    _others: list[Record] = field(default_factory=list)

    def another_record(self) -> Record:
        """The same record opened once more, as another process would."""
        opened = open_record(self.url, self.registry)
        self._others.append(opened)
        return opened

    def close(self) -> None:
        for opened in (*self._others, self.record):
            opened.close()
        self.engine.dispose()


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture(params=BACKENDS)
def full_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with all tables."""
    with emptied_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def installation(full_url: str, clock: ManualClock, registry: Registry) -> Iterator[Installation]:
    engine = open_engine(full_url)
    made = Installation(full_url, open_record(full_url, registry), engine, clock, registry)
    yield made
    made.close()


@pytest.fixture
def notes(installation: Installation) -> Notes:
    notes_metadata.create_all(installation.engine)
    return Notes()
