"""What changes under open incidents reaches them: a changed law pack, a revised asset; whatever is killed when."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from incidents.clock import ManualClock
from incidents.errors import Conflict
from incidents.incident.incident import Incident
from incidents.record.database import reading
from playbooks.automation import Automation
from tests.conftest import ContextMaker
from tests.tocsin.conftest import MASTER_KEY, PROFILE
from tests.tocsin.test_background import incident_id, settle  # noqa: F401 - the fixtures
from tocsin.background import automation_of
from tocsin.services import Services
from tocsin.settings import Settings
from tocsin.upkeep.looked_after import looked_after
from tocsin.upkeep.rederiving import Rederiving
from tocsin.upkeep.revised_assets import RevisedAssets
from tocsin.upkeep.tables import derived_with
from tocsin.wiring import open_services

INSTRUMENT = """
schema: 1
instrument:
  id: house-rules
  jurisdiction: CN
  title: {en: House rules}
  short: {en: House rules, zh: 内部规定}
  citation: ''
  status: in_force
  in_force_from: 2020-01-01
  in_force_to: null
  version: 1.0.0
  checked_on: 2026-11-01
  forum: {time_zone: Asia/Shanghai, calendar: CN}
  sources: [house]
  confidence: high
rules:
"""
RULE = """
  - id: {id}
    article: '{article}'
    who: {{en: Everybody, zh: 全体}}
    incident: {{en: A breach of personal data, zh: 个人信息泄露}}
    bound: "'controller' in facts.roles"
    trigger: "'leaked' in facts.data_events"
    recipients: [{{role: internal.board, kind: internal, name: {{en: The board, zh: 董事会}}}}]
    stage: {stage}
    clock: {{event: aware}}
    period: {{amount: 12, unit: hours}}
    contents: {{basis: implied}}
    confidence: high
"""
PACK = INSTRUMENT + RULE.format(id="house-board", article=1, stage="initial")
REPORT = RULE.format(id="house-report", article=2, stage="early_warning")
DUTY = "house-board:internal.board:initial"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = tmp_path / "law" / "house.yaml"
    path.parent.mkdir()
    path.write_text(PACK)
    return path


@pytest.fixture
def settings(tmp_path: Path, pack: Path) -> Settings:
    return Settings(
        database_url=f"sqlite:///{tmp_path / 'upkeep.sqlite'}",
        organisation_file=tmp_path / "organisation.toml",
        law_folder=pack.parent,
        vault={"master_keys": f"k1:{MASTER_KEY}"},
    )


def change(pack: Path, hours: int) -> None:
    """Another period in the pack; its time of change is another too, however coarse the file system's clock."""
    pack.write_text(PACK.replace("amount: 12", f"amount: {hours}"))
    os.utime(pack, ns=(hours, hours))


def rederiving(services: Services, automation: Automation | None = None, **rest: Any) -> Rederiving:
    return Rederiving(
        services.engine,
        services.record,
        automation or automation_of(services),
        services.law_book,
        services.profile,
        services.clock,
        **rest,
    )


def hours_of(services: Services, incident: UUID) -> float:
    duty = services.duties.register(incident).duties[DUTY].duty
    assert duty.strict_due is not None
    assert duty.clock_at is not None
    return (duty.strict_due - duty.clock_at) / timedelta(hours=1)


def done(services: Services) -> list[str]:
    with reading(services.engine) as connection:
        return list(connection.execute(select(derived_with.c.digest)).scalars())


def test_a_changed_pack_reaches_an_incident_that_nothing_happens_to(
    services: Services,
    incident_id: UUID,  # noqa: F811
    pack: Path,
) -> None:
    work = rederiving(services)
    work.run_once()
    assert hours_of(services, incident_id) == 12
    head = services.record.head()

    change(pack, 6)
    assert services.law_book.refresh()
    work.run_once()

    assert hours_of(services, incident_id) == 6
    assert services.record.head() > head
    after = services.record.head()
    work.run_once()
    rederiving(services).run_once()
    assert services.record.head() == after, "done once, by whichever process"


def test_a_faulty_pack_changes_nothing(services: Services, incident_id: UUID, pack: Path) -> None:  # noqa: F811
    work = rederiving(services)
    work.run_once()
    before = services.record.head(), done(services)
    pack.write_text(PACK.replace("facts.roles", "facts.nonsense"))
    assert not services.law_book.refresh()
    work.run_once()
    assert (services.record.head(), done(services)) == before


class Killed(BaseException):
    """Nothing catches it, as nothing catches a SIGKILL."""


def test_a_kill_on_the_way_loses_no_incident(
    services: Services,
    settings: Settings,
    incident_id: UUID,  # noqa: F811
    settle: Callable[[], None],  # noqa: F811
    analyst: ContextMaker,
    pack: Path,
    clock: ManualClock,
) -> None:
    second = services.incidents.report(uuid4(), analyst(), title="Another export").id
    services.incidents.triage(second, analyst())
    services.incidents.state_facts(second, analyst(), {"data_events": ["leaked"]})
    settle()
    rederiving(services).run_once()

    change(pack, 6)
    services.law_book.refresh()
    automation = automation_of(services)
    whole, seen = automation.look_again, list[UUID]()

    def dies(incident: UUID, context: Any) -> Any:
        if seen:
            raise Killed
        seen.append(incident)
        return whole(incident, context)

    automation.look_again = dies  # type: ignore[method-assign]
    with pytest.raises(Killed):
        rederiving(services, automation).run_once()
    assert {hours_of(services, one) for one in (incident_id, second)} == {6, 12}

    with open_services(settings, clock=clock, profile=PROFILE) as again:  # a restart, which reads the new pack at once
        rederiving(again).run_once()
        assert {hours_of(again, one) for one in (incident_id, second)} == {6}


def test_one_that_fails_keeps_the_law_from_no_other_and_is_tried_again(
    services: Services,
    incident_id: UUID,  # noqa: F811
    settle: Callable[[], None],  # noqa: F811
    analyst: ContextMaker,
    pack: Path,
) -> None:
    second = services.incidents.report(uuid4(), analyst(), title="Another export").id
    services.incidents.triage(second, analyst())
    services.incidents.state_facts(second, analyst(), {"data_events": ["leaked"]})
    settle()
    change(pack, 6)
    services.law_book.refresh()
    automation = automation_of(services)
    whole = automation.look_again

    def fails(incident: UUID, context: Any) -> Any:
        if incident == incident_id:
            raise RuntimeError("broken")
        return whole(incident, context)

    automation.look_again = fails  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="1 incidents"):
        rederiving(services, automation).run_once()
    assert hours_of(services, second) == 6
    assert not done(services)

    rederiving(services).run_once()
    assert hours_of(services, incident_id) == 6
    assert done(services)


def test_with_other_processes_all_are_derived_once_more_after_a_while(
    services: Services,
    incident_id: UUID,  # noqa: F811
    pack: Path,
    analyst: ContextMaker,
) -> None:
    uptime = [0.0]
    work = rederiving(services, settle=30.0, monotonic=lambda: uptime[0])
    work.run_once()
    assert not done(services)
    uptime[0] = 30.0
    work.run_once()
    assert done(services)


def test_a_new_day_derives_anew(services: Services, incident_id: UUID, clock: ManualClock) -> None:  # noqa: F811
    work = rederiving(services)
    work.run_once()
    before = done(services)
    clock.advance(timedelta(days=1))
    work.run_once()
    assert done(services) != before


def test_a_rule_enters_into_force_when_the_day_begins_at_the_seat_of_the_authority(
    services: Services,
    incident_id: UUID,  # noqa: F811
    pack: Path,
    clock: ManualClock,
) -> None:
    tomorrow = clock.now().astimezone(ZoneInfo("Asia/Shanghai")).date() + timedelta(days=1)
    begins = datetime.combine(tomorrow, time(), tzinfo=ZoneInfo("Asia/Shanghai"))
    text = PACK.replace("in_force_from: 2020-01-01", f"in_force_from: {tomorrow.isoformat()}")
    pack.write_text(text.replace("{event: aware}", "{after: [house-report]}") + REPORT)
    os.utime(pack, ns=(7, 7))
    assert services.law_book.refresh()
    worker = rederiving(services)
    worker.run_once()
    assert DUTY not in services.duties.register(incident_id).open_duties()
    clock.move_to(begins - timedelta(seconds=1))
    worker.run_once()
    assert DUTY not in services.duties.register(incident_id).open_duties()
    clock.move_to(begins)
    assert begins.astimezone(UTC).date() < tomorrow, "in UTC it is the day before"
    worker.run_once()
    assert DUTY in services.duties.register(incident_id).open_duties()


def test_closed_incidents_are_looked_after_only_while_they_owe(
    services: Services,
    incident_id: UUID,  # noqa: F811
    settle: Callable[[], None],  # noqa: F811
    analyst: ContextMaker,
    clock: ManualClock,
) -> None:
    idle = services.incidents.report(uuid4(), analyst(), title="False alarm").id
    services.incidents.move(idle, analyst(), "close", comment="A test of the detector.")
    services.incidents.move(incident_id, analyst(), "close", comment="Handled.")
    settle()
    assert list(looked_after(services.engine)) == [incident_id]

    approver = ContextMaker(clock, "user:qiang")
    for name, state in services.duties.register(incident_id).open_duties().items():
        if state.duty.status in ("due", "paused"):
            services.duties.waive(incident_id, name, approver(), reason="Told by telephone, on file.")
    settle()
    assert list(looked_after(services.engine)) == []


PATIENTS: dict[str, Any] = {
    "name": "Patient records",
    "owner": {"name": "Ward administration"},
    "classification": "general",
    "data_classes": ["health"],
    "persons": 1200,
}


@pytest.fixture
def linked(services: Services, settle: Callable[[], None], analyst: ContextMaker) -> tuple[UUID, UUID]:  # noqa: F811
    """An asset and an open incident that it is linked to."""
    incident = services.incidents.report(uuid4(), analyst(), title="Share left open").id
    asset = services.assets.register(uuid4(), analyst(), PATIENTS).id
    services.assets.link(incident, asset, analyst())
    settle()
    return asset, incident


@pytest.fixture
def revised(services: Services) -> RevisedAssets:
    return RevisedAssets(services.engine, services.record, services.assets, services.projections, services.clock)


def persons(services: Services, incident: UUID) -> Any:
    return services.record.load(Incident, incident).facts.get("persons_affected")


def test_a_revised_asset_reaches_the_open_incidents_it_is_linked_to(
    services: Services,
    linked: tuple[UUID, UUID],
    revised: RevisedAssets,
    settle: Callable[[], None],  # noqa: F811
    analyst: ContextMaker,
) -> None:
    asset, incident = linked
    services.assets.revise(asset, analyst(), PATIENTS | {"persons": 5000})
    assert persons(services, incident) == 1200
    assert revised.run_once() == 0, "the read models do not show every link yet"
    settle()
    revised.run_once()
    assert persons(services, incident) == 5000

    head = services.record.head()
    while revised.run_once():
        pass
    RevisedAssets(services.engine, services.record, services.assets, services.projections, services.clock).run_once()
    assert services.record.head() == head, "once"


def test_what_people_stated_stays_when_an_asset_is_revised(
    services: Services,
    linked: tuple[UUID, UUID],
    revised: RevisedAssets,
    settle: Callable[[], None],  # noqa: F811
    analyst: ContextMaker,
) -> None:
    asset, incident = linked
    services.incidents.state_facts(incident, analyst(), {"persons_affected": 7})
    services.assets.revise(asset, analyst(), PATIENTS | {"persons": 5000, "data_classes": ["health", "biometric"]})
    settle()
    revised.run_once()
    assert persons(services, incident) == 7
    assert services.record.load(Incident, incident).facts["data_classes"] == ["biometric", "health"]


def test_closed_incidents_and_retired_assets_are_left_alone(
    services: Services,
    linked: tuple[UUID, UUID],
    revised: RevisedAssets,
    settle: Callable[[], None],  # noqa: F811
    analyst: ContextMaker,
) -> None:
    asset, incident = linked
    services.incidents.move(incident, analyst(), "close", comment="Nobody had looked.")
    services.assets.revise(asset, analyst(), PATIENTS | {"persons": 5000})
    services.assets.retire(asset, analyst(), reason="Moved to the new system.")
    settle()
    head = services.record.head()
    while revised.run_once():
        pass
    assert services.record.head() == head
    assert persons(services, incident) == 1200
