"""What many tests share: a clock that stands still, a record in a fresh file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from incidents.alerts.events import EVENTS as ALERT_EVENTS
from incidents.assets.events import EVENTS as ASSET_EVENTS
from incidents.clock import ManualClock
from incidents.incident.events import EVENTS as INCIDENT_EVENTS
from incidents.record import Context, Record, Registry, open_record
from notifier.campaigns.events import EVENTS as CAMPAIGN_EVENTS
from playbooks.duties.events import EVENTS as DUTY_EVENTS
from playbooks.parties.events import EVENTS as PARTY_EVENTS
from playbooks.runs.events import EVENTS as RUN_EVENTS

THROUGH_SERVERS = (
    "notifier/standins/",
    "notifier/test_sending.py",
    "notifier/test_sms_channel.py",
    "notifier/test_email_channel.py",
    "notifier/test_receipts.py",
    "notifier/test_claims.py",
    "tocsin/api/",
    "tocsin/console/",
    "tocsin/test_background.py",
)
"""Tests that talk to a server, or open a whole installation each: seconds apiece, so not in `make check`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them slow by where they are, so that nobody has to remember."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).as_posix().startswith(THROUGH_SERVERS):
            item.add_marker(pytest.mark.slow)


NIGHT = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NIGHT)


@pytest.fixture
def registry() -> Registry:
    rooms = (INCIDENT_EVENTS, ALERT_EVENTS, ASSET_EVENTS, DUTY_EVENTS, RUN_EVENTS, PARTY_EVENTS, CAMPAIGN_EVENTS)
    return Registry([event for events in rooms for event in events])


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tocsin.sqlite'}"


@pytest.fixture
def record(database_url: str, registry: Registry) -> Iterator[Record]:
    with open_record(database_url, registry) as opened:
        yield opened


@pytest.fixture
def analyst(clock: ManualClock) -> ContextMaker:
    return ContextMaker(clock, "user:lan")


class ContextMaker:
    """Makes contexts of commands of one actor; each call is a new command unless an id is given."""

    def __init__(self, clock: ManualClock, actor: str) -> None:
        self._clock = clock
        self._actor = actor

    def __call__(self, command_id: UUID | None = None, happened_at: datetime | None = None) -> Context:
        return Context.of_command(self._actor, self._clock, command_id=command_id or uuid4(), happened_at=happened_at)
