"""Builds the services from the settings, in the order they need each other, and closes them in the reverse order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from incidents.alerts.dialects import LIMITS
from incidents.alerts.intake import AlertIntake, IntakeSettings
from incidents.alerts.tables import SqlFindingsStore
from incidents.assets.service import AssetService
from incidents.clock import Clock, SystemClock
from incidents.errors import InvalidInput
from incidents.facts import OrganisationProfile
from incidents.incident.service import IncidentService
from incidents.record import Record, open_record
from incidents.record.database import open_engine
from notifier.deliveries import Timing
from playbooks.definitions.definition import load_library
from playbooks.directory import load_directory
from playbooks.duties.service import DutyService
from playbooks.law.book import LawBook
from playbooks.law.calendars import standard_calendars
from playbooks.parties.contacts import PartyContacts
from playbooks.parties.service import PartyService
from playbooks.runs.service import RunService
from projections.catalogue import all_projections
from projections.runner import Runner
from tocsin.access.answers import Answers
from tocsin.access.keys import Keys
from tocsin.bridges import demand_of
from tocsin.migrations.run import upgrade
from tocsin.observability.metrics import Metrics
from tocsin.sending import open_notifier
from tocsin.services import Services, registry
from tocsin.settings import Settings


@contextmanager
def open_services(
    settings: Settings,
    *,
    demo: bool = False,
    clock: Clock | None = None,
    profile: OrganisationProfile | None = None,
    simulated_numbers: tuple[str, ...] = (),
    timing: Timing | None = None,
) -> Iterator[Services]:
    """Everything a door may call, for as long as the block runs. The database is brought to the present schema first.

    `simulated_numbers` are patterns of telephone numbers that nobody owns, accepted in audiences of a demo only.
    """
    clock = clock or SystemClock()
    _make_folder(settings.database_url)
    with ExitStack() as stack:
        engine = open_engine(settings.database_url)
        stack.callback(engine.dispose)
        upgrade(engine)
        record = stack.enter_context(open_record(settings.database_url, registry()))
        profile = profile or read_profile(settings.organisation_file)
        duties = DutyService(record)
        notifier = open_notifier(
            settings,
            engine=engine,
            record=record,
            clock=clock,
            profile=profile,
            timing=timing,
            simulated_numbers=simulated_numbers,
            demand=partial(demand_of, duties),
        )
        playbooks = load_library([settings.playbooks_folder] if settings.playbooks_folder else ())
        yield Services(
            settings=settings,
            demo=demo,
            clock=clock,
            engine=engine,
            record=record,
            metrics=Metrics(),
            keys=Keys(engine, clock),
            answers=Answers(engine, clock),
            profile=profile,
            playbooks=playbooks,
            incidents=IncidentService(record),
            assets=AssetService(record, profile),
            directory=load_directory(*([settings.directory] if settings.directory else ())),
            duties=duties,
            parties=PartyService(record, PartyContacts(engine, settings.master_keys(), clock)),
            runs=RunService(record, playbooks),
            intake=_open_intake(settings, record, engine, clock),
            notifier=notifier,
            projections=Runner(record, engine, all_projections(), clock),
            law_book=LawBook(*([settings.law_folder] if settings.law_folder else ())),
            calendars=standard_calendars(),
        )


def _open_intake(settings: Settings, record: Record, engine: Engine, clock: Clock) -> AlertIntake:
    limits = LIMITS.model_copy(update={"max_bytes": settings.intake.max_bytes})
    wanted = IntakeSettings(declare_from=settings.intake.declare_from_severity, limits=limits)
    return AlertIntake(record, SqlFindingsStore(engine), clock, wanted)


def read_profile(path: Path) -> OrganisationProfile:
    """The organisation profile; InvalidInput when there is none."""
    try:
        return OrganisationProfile.from_toml(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(
            f"The organisation profile {path} cannot be read: {error.strerror}. `tocsin init` writes one.",
            field="organisation_file",
        ) from error


def _make_folder(database_url: str) -> None:
    address = make_url(database_url)
    if address.get_backend_name() == "sqlite" and address.database:
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
