"""What many tests share: a clock that stands still, a record in a fresh file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine

from incidents.clock import ManualClock
from incidents.record import Context, Record, Registry, open_record
from incidents.record.database import open_engine
from tests.servers import BACKENDS, emptied_database
from tocsin.services import registry as every_event

# How long an example may take is a question to the machine, and what else it does.
settings.register_profile("any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

THROUGH_SERVERS = (
    "notifier/standins/",
    "notifier/test_sending.py",
    "notifier/test_sms_channel.py",
    "notifier/test_email_channel.py",
    "notifier/test_receipts.py",
    "notifier/test_claims.py",
    "notifier/test_lost_calls.py",
    "notifier/test_pace_book.py",
    "notifier/test_im.py",
    "notifier/test_public_notices.py",
    "tocsin/api/",
    "tocsin/console/",
    "tocsin/public_pages/",
    "tocsin/test_backup.py",
    "tocsin/test_cli_migrate.py",
    "tocsin/test_staff_warnings.py",
    "tocsin/test_upkeep.py",
    "tocsin/test_watchdog.py",
    "tocsin/test_background.py",
    "tocsin/test_background_workers.py",
)
"""Tests that talk to a server, or open a whole installation each: seconds apiece, so not in `make check`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them slow by where they are, so that nobody has to remember."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).as_posix().startswith(THROUGH_SERVERS):
            item.add_marker(pytest.mark.slow)
    _spread(items)


def _spread(items: list[pytest.Item]) -> None:
    """Spread the files that start many processes over the others: several of them at once hold each other up, and one
    at the end is waited for alone."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    heavy = [file for file in files if file.parent.name == "faults"]
    order = [file for file in files if file not in heavy]
    apart = max(len(order) * 2 // 3 // max(len(heavy), 1), 1)
    for number, file in enumerate(heavy):
        order.insert(number * (apart + 1), file)
    items[:] = [item for file in order for item in files[file]]


NIGHT = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NIGHT)


@pytest.fixture
def registry() -> Registry:
    return every_event()


ON_BOTH = (
    "incidents/alerts/test_finding_table.py",
    "incidents/alerts/test_intake.py",
    "incidents/incident/test_service.py",
    "notifier/suppression/test_book.py",
    "notifier/test_audience.py",
    "notifier/test_batches.py",
    "notifier/test_campaigns.py",
    "notifier/test_cancelling.py",
    "notifier/test_claims.py",
    "notifier/test_lost_calls.py",
    "notifier/test_vault.py",
    "notifier/test_warnings.py",
    "playbooks/parties/test_parties.py",
    "playbooks/test_automation.py",
    "tocsin/api/test_authentication.py",
    "tocsin/api/test_campaigns_api.py",
    "tocsin/api/test_commands.py",
    "tocsin/api/test_duties_api.py",
    "tocsin/test_keeper.py",
    "tocsin/test_owners.py",
    "tocsin/test_staff_warnings.py",
)
"""Tests whose code speaks SQL of its own: each runs on SQLite and on PostgreSQL. (Those that make databases themselves,
such as the record's, the projections' and the migrations', do so without being named here.)"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests named above on both, but for those that name their database."""
    where = Path(metafunc.definition.path).relative_to(Path(__file__).parent).as_posix()
    chosen = any("database_url" in str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))
    if where in ON_BOTH and "database_url" in metafunc.fixturenames and not chosen:
        metafunc.parametrize("database_url", BACKENDS, indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that has all tables already: making them each time would take most of the time."""
    with emptied_database(getattr(request, "param", "sqlite"), tmp_path) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url)
    yield opened
    opened.dispose()


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
