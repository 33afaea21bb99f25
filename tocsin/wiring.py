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
from incidents.clock import AnchoredClock, Clock, SystemClock
from incidents.errors import Conflict, InvalidInput
from incidents.facts import OrganisationProfile
from incidents.incident.service import IncidentService
from incidents.record import Record, open_record
from incidents.record.database import open_engine, time_of
from notifier.deliveries import Timing
from notifier.wiring import Notifier
from playbooks.definitions.definition import load_library
from playbooks.directory import Directory, load_directory
from playbooks.duties.service import DutyService
from playbooks.filings.service import FilingService
from playbooks.law.book import LawBook
from playbooks.law.calendars import standard_calendars
from playbooks.parties.contacts import PartyContacts
from playbooks.parties.service import PartyService
from playbooks.runs.service import RunService
from projections.catalogue import all_projections
from projections.parties.parties import parties_with
from projections.runner import Runner
from tocsin.access.answers import Answers
from tocsin.access.keys import Keys
from tocsin.backup.hold import SendingHold
from tocsin.bridges import deadline_of, demand_of
from tocsin.migrations.run import upgrade
from tocsin.observability.metrics import Metrics
from tocsin.public_notice_bridge import public_demand_of
from tocsin.sending import open_notifier
from tocsin.services import Services, registry
from tocsin.settings import Settings
from tocsin.waiting import NotYet, Waiting, schema_is_there

ALONE = "alone"
"""The name of the one process on a database, kept over restarts: it takes up its own claims at once."""


@contextmanager
def open_services(
    settings: Settings,
    *,
    demo: bool = False,
    clock: Clock | None = None,
    profile: OrganisationProfile | None = None,
    simulated_numbers: tuple[str, ...] = (),
    timing: Timing | None = None,
    worker: str = ALONE,
    brings_schema: bool = True,
    waiting: Waiting | None = None,
) -> Iterator[Services]:
    """Everything a door may call, for as long as the block runs.

    The database is brought to the present schema first; without `brings_schema` another process does that. With
    `waiting`, what is not there yet is waited for. `worker` is the name under which this process claims deliveries.
    `simulated_numbers` are patterns of telephone numbers that nobody owns, accepted in audiences of a demo only.
    """
    _make_folder(settings.database_url)
    with ExitStack() as stack:
        engine = open_engine(
            settings.database_url, patience=settings.database_seconds, connections=settings.database_connections
        )
        stack.callback(engine.dispose)
        record, clock = _open_database(settings, engine, clock, waiting, brings_schema=brings_schema)
        stack.enter_context(record)
        profile = profile or read_profile(settings.organisation_file)
        duties = DutyService(record)
        notifier = _open_notifier(settings, worker, engine, record, clock, profile, duties, timing, simulated_numbers)
        parties = PartyService(record, PartyContacts(engine, settings.master_keys(), clock))
        directory = load_directory(*([settings.directory] if settings.directory else ()))
        playbooks = load_library([settings.playbooks_folder] if settings.playbooks_folder else ())
        yield Services(
            settings=settings,
            demo=demo,
            clock=clock,
            engine=engine,
            record=record,
            metrics=Metrics(engine),
            keys=Keys(engine, clock),
            answers=Answers(engine, clock),
            profile=profile,
            playbooks=playbooks,
            incidents=IncidentService(record),
            assets=AssetService(record, profile),
            directory=directory,
            duties=duties,
            parties=parties,
            filings=_open_filings(record, engine, clock, profile, parties, directory),
            runs=RunService(record, playbooks),
            intake=_open_intake(settings, record, engine, clock),
            notifier=notifier,
            sending_hold=SendingHold(engine, clock),
            projections=Runner(record, engine, all_projections(), clock),
            law_book=LawBook(*([settings.law_folder] if settings.law_folder else ())),
            calendars=standard_calendars(),
        )


def _open_notifier(
    settings: Settings,
    worker: str,
    engine: Engine,
    record: Record,
    clock: Clock,
    profile: OrganisationProfile,
    duties: DutyService,
    timing: Timing | None,
    simulated_numbers: tuple[str, ...],
) -> Notifier:
    """The notifier, which asks the duties of an incident what the law demands of its campaigns and notices."""
    return open_notifier(
        settings,
        worker=worker,
        engine=engine,
        record=record,
        clock=clock,
        profile=profile,
        timing=timing,
        simulated_numbers=simulated_numbers,
        demand=partial(demand_of, duties),
        deadline=partial(deadline_of, duties),
        public_demand=partial(public_demand_of, duties),
    )


def _open_filings(
    record: Record,
    engine: Engine,
    clock: Clock,
    profile: OrganisationProfile,
    parties: PartyService,
    directory: Directory,
) -> FilingService:
    return FilingService(
        record,
        parties=parties,
        parties_of=partial(parties_with, engine),
        profile=profile,
        directory=directory,
        clock=clock,
    )


def _open_database(
    settings: Settings, engine: Engine, clock: Clock | None, waiting: Waiting | None, *, brings_schema: bool
) -> tuple[Record, Clock]:
    wanted = settings.migrate_at_start

    def attempt() -> tuple[Record, Clock]:
        if brings_schema if wanted is None else wanted:
            upgrade(engine)
        else:
            schema_is_there(engine)
        record = open_record(
            settings.database_url,
            registry(),
            patience=settings.database_seconds,
            connections=settings.database_connections,
        )
        return record, clock or clock_of(engine)

    if waiting is not None:
        return waiting.until(attempt)
    try:
        return attempt()
    except NotYet as reason:
        raise Conflict(f"This cannot start: {reason}.") from reason


def clock_of(engine: Engine) -> Clock:
    """The clock of an installation: the database server's, so that all processes agree, or this machine's on SQLite."""
    return SystemClock() if engine.dialect.name == "sqlite" else AnchoredClock(partial(time_of, engine))


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
