"""A real broker and a fresh database of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import BACKENDS, emptied_database, kafka
from tests.tocsin.intake.installation import Installation, installation


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with emptied_database(request.param, tmp_path) as address:
        yield address


@pytest.fixture
def here(url: str) -> Iterator[Installation]:
    with installation(url, kafka()) as opened:
        yield opened
