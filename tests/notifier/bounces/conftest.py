"""A desk on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from incidents.clock import ManualClock
from incidents.record.database import open_engine
from tests.notifier.bounces.desk import Desk
from tests.notifier.house import create_tables
from tests.servers import BACKENDS, emptied_database


@pytest.fixture(params=BACKENDS)
def desk(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Desk]:
    with emptied_database(request.param, tmp_path) as address:
        engine = open_engine(address)
        create_tables(engine)
        yield Desk(engine, clock)
        engine.dispose()
