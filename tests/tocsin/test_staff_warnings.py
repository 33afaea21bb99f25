"""Warnings reach our own people over real services, and repeat until somebody acknowledges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from anyio.from_thread import start_blocking_portal

from incidents.clock import ManualClock
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.smtp_server import serve_smtp
from notifier.warnings import Addressee, StaffWarning
from playbooks.duties.register import MISSED
from tests.conftest import NIGHT, ContextMaker
from tests.tocsin.conftest import PROFILE
from tests.tocsin.test_background import FACTS, incident_id, settle  # noqa: F401 - the fixtures
from tests.world import PATIENCE, wait_for
from tocsin.alarms import Alarms
from tocsin.background import Background
from tocsin.services import Services
from tocsin.settings import Settings
from tocsin.settings_warnings import WarningSettings
from tocsin.staff_warnings import WarningsWorker
from tocsin.wiring import open_services

GDPR = "eu-gdpr-33-1-authority"


class Sent:
    """Where warnings go; what was sent for a step and round is claimed, as in the book."""

    def __init__(self) -> None:
        self.warnings: dict[tuple[str, int, int], StaffWarning] = {}
        self.mailed: dict[tuple[str, int, int, str], tuple[StaffWarning, str]] = {}

    async def send(self, warning: StaffWarning, addressees: Sequence[Addressee]) -> int:
        for one in addressees:
            self.mailed.setdefault((warning.duty_id, warning.step, warning.round, one.address), (warning, one.language))
        return self.warnings.setdefault((warning.duty_id, warning.step, warning.round), warning) is warning

    async def close(self) -> None:
        return None

    def of(self, rule: str) -> list[tuple[int, int]]:
        """Steps and rounds told of a rule's duty."""
        return [(step, number) for duty, step, number in self.warnings if duty.startswith(f"{rule}:")]


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def warnings() -> WarningSettings:
    return WarningSettings(email=("desk@lantern.example",), language="zh-Hans")


@pytest.fixture
def at(
    services: Services,
    clock: ManualClock,
    settle: Callable[[], None],  # noqa: F811
    sent: Sent,
    incident_id: UUID,  # noqa: F811
    warnings: WarningSettings,
) -> Callable[[float], None]:
    """Let the clock stand at so many hours after the night began, and everything happen that does then."""
    alarms = Alarms(services.engine, services.duties, services.runs, clock, uuid4)
    worker = WarningsWorker(
        services.engine,
        services.duties,
        sent,  # type: ignore[arg-type]
        clock,
        settings=warnings,
        public_url="https://tocsin.example.com/",
    )

    def move(hours: float) -> None:
        clock.move_to(NIGHT + timedelta(hours=hours))
        alarms.run_once()
        settle()
        asyncio.run(worker.run_once())

    return move


def duty_of(services: Services, incident: UUID) -> str:
    return next(name for name in services.duties.register(incident).duties if name.startswith(f"{GDPR}:"))


def test_a_warning_repeats_by_the_hour_until_it_is_acknowledged(
    services: Services,
    incident_id: UUID,  # noqa: F811
    at: Callable[[float], None],
    sent: Sent,
    analyst: ContextMaker,
    settle: Callable[[], None],  # noqa: F811
) -> None:
    at(35)
    assert sent.of(GDPR) == []
    for hours in (36, 36.5, 37, 38):
        at(hours)
    assert sent.of(GDPR) == [(50, 0), (50, 1), (50, 2)]

    services.duties.acknowledge(incident_id, duty_of(services, incident_id), analyst())
    at(40)
    assert sent.of(GDPR) == [(50, 0), (50, 1), (50, 2)], "acknowledged, even if the read model does not show it yet"

    at(58)
    at(73)
    assert sent.of(GDPR)[3:] == [(80, 0), (MISSED, 0)], "each later step warns anew"


def test_a_service_that_slept_sends_one_mail_and_not_all_it_missed(at: Callable[[float], None], sent: Sent) -> None:
    at(36)
    at(57)
    assert sent.of(GDPR) == [(50, 0), (50, 21)]


def test_a_clock_put_back_tells_nothing_twice(at: Callable[[float], None], sent: Sent) -> None:
    at(37)
    at(36)
    assert sent.of(GDPR) == [(50, 0)]


def test_what_is_settled_is_not_warned_of(
    services: Services,
    incident_id: UUID,  # noqa: F811
    at: Callable[[float], None],
    sent: Sent,
    clock: ManualClock,
) -> None:
    at(36)
    approver = ContextMaker(clock, "user:qiang")
    services.duties.fulfil(incident_id, duty_of(services, incident_id), approver())
    at(38)
    assert sent.of(GDPR) == [(50, 0)]


def test_the_warning_names_the_duty_and_nothing_that_people_wrote(at: Callable[[float], None], sent: Sent) -> None:
    at(36)
    ((_, warning),) = [(key, warning) for key, warning in sent.warnings.items() if key[0].startswith(f"{GDPR}:")]
    assert warning.article
    assert warning.due == NIGHT + timedelta(hours=72)
    assert warning.link == f"https://tocsin.example.com/incidents/{warning.reference}"
    assert "Bulk export" not in warning.model_dump_json()


@pytest.mark.parametrize(
    ("warnings", "smtp", "sends"),
    [
        ({"email": ["desk@lantern.example"]}, "simulated", True),
        ({"email": ["desk@lantern.example"], "enabled": False}, "simulated", False),
        ({"email": ["desk@lantern.example"]}, "none", False),
        ({}, "simulated", False),
    ],
)
def test_warnings_are_on_when_mail_is_set_and_there_is_an_address(
    settings: Settings, warnings: dict[str, object], smtp: str, sends: bool
) -> None:
    changed = Settings(**{**settings.model_dump(), "warnings": warnings, "smtp": {"mode": smtp}})
    assert changed.sends_warnings is sends


def test_the_running_service_mails_its_people(
    settings: Settings, clock: ManualClock, tmp_path: Path, analyst: ContextMaker
) -> None:
    store = OutboxStore(tmp_path / "outbox.sqlite")
    with start_blocking_portal() as portal:
        server = portal.call(lambda: serve_smtp("127.0.0.1", 0, store, clock=clock.now))
        smtp = {"mode": "simulated", "port": server.port, "tls": "none", "sender": "tocsin@lantern.example"}
        staff = {"email": ["desk@lantern.example", "dpo@lantern.example"]}
        changed = Settings(**{**settings.model_dump(), "smtp": smtp, "warnings": staff})
        with open_services(changed, clock=clock, profile=PROFILE) as services:
            background = Background(services)
            background.workers.start()
            try:
                incident = services.incidents.report(uuid4(), analyst(), title="Bulk export")
                services.incidents.triage(incident.id, analyst())
                services.incidents.state_facts(incident.id, analyst(), FACTS)
                wait_for(lambda: services.duties.register(incident.id).duties or None, "the duties")
                clock.move_to(NIGHT + timedelta(hours=80))
                wait_for(lambda: background.is_settled() or None, "the followers")
                services.incidents.add_note(incident.id, analyst(), "Wakes the workers.")
                wanted = {"desk@lantern.example", "dpo@lantern.example"}
                wait_for(lambda: {m.recipient for m in store.messages(limit=1000)} >= wanted or None, "the mails")
            finally:
                assert background.workers.stop(PATIENCE)
        portal.call(server.close)
    mails = [(message.recipient, message.message_id) for message in store.messages(limit=1000)]
    store.close()
    assert len(mails) == len(set(mails)), "nobody was mailed twice"


OWNED = {"dpo": {"name": "Data protection", "email": ["dpo@lantern.example"], "language": "en", "rules": [GDPR]}}


@pytest.mark.parametrize(
    "warnings",
    [WarningSettings.model_validate({"email": ["desk@lantern.example"], "language": "zh-Hans", "owners": OWNED})],
)
def test_the_owner_is_warned_and_after_two_repeats_the_desk_too(
    at: Callable[[float], None],
    sent: Sent,
    services: Services,
    incident_id: UUID,  # noqa: F811
) -> None:
    duty = duty_of(services, incident_id)
    for hours in (36, 37, 38):
        at(hours)
    told = {(number, address): said for (of, _, number, address), said in sent.mailed.items() if of == duty}
    assert set(told) == {
        (0, "dpo@lantern.example"),
        (1, "dpo@lantern.example"),
        (2, "dpo@lantern.example"),
        (2, "desk@lantern.example"),
    }
    assert {told[0, "dpo@lantern.example"][1], told[2, "desk@lantern.example"][1]} == {"en", "zh-Hans"}
    assert (told[2, "desk@lantern.example"][0].owner, told[2, "desk@lantern.example"][0].escalated) == (
        "Data protection",
        True,
    )
    others = {address for (of, _, _, address) in sent.mailed if of != duty}
    assert others == {"desk@lantern.example"}, "what nobody owns goes to the desk"


@pytest.mark.parametrize(
    "warnings",
    [
        WarningSettings.model_validate(
            {
                "email": ["desk@lantern.example"],
                "owners": OWNED | {"lan": {"name": "Lan", "email": ["lan@lantern.example"]}},
            }
        )
    ],
)
def test_whom_a_duty_was_given_to_is_warned_and_an_acknowledgement_stops_the_escalation(
    at: Callable[[float], None],
    sent: Sent,
    services: Services,
    incident_id: UUID,  # noqa: F811
    analyst: ContextMaker,
) -> None:
    duty = duty_of(services, incident_id)
    services.duties.assign(incident_id, duty, analyst(), owner="lan", name="Lan")
    at(36)
    services.duties.acknowledge(incident_id, duty, analyst())
    at(39)
    assert {address for (of, _, _, address) in sent.mailed if of == duty} == {"lan@lantern.example"}
    at(58)
    assert [key[1:] for key in sent.mailed if key[0] == duty][1:] == [(80, 0, "lan@lantern.example")]


def test_groups_of_our_own_people_are_told_too_even_without_mail(
    services: Services,
    clock: ManualClock,
    settle: Callable[[], None],  # noqa: F811
    sent: Sent,
    incident_id: UUID,  # noqa: F811
    warnings: WarningSettings,
) -> None:
    worker = WarningsWorker(
        services.engine,
        services.duties,
        None,
        clock,
        settings=warnings,
        public_url="https://tocsin.example.com",
        to_groups=sent,  # type: ignore[arg-type]
        groups=[Addressee("soc:", "en")],
    )
    clock.move_to(NIGHT + timedelta(hours=36))
    Alarms(services.engine, services.duties, services.runs, clock, uuid4).run_once()
    settle()
    asyncio.run(worker.run_once())
    asyncio.run(worker.close())

    assert (50, 0) in sent.of(GDPR)
    assert {(address, language) for (*_, address), (_, language) in sent.mailed.items()} == {("soc:", "en")}


def test_groups_alone_switch_warnings_on_and_need_no_mail_server() -> None:
    hook = "soc = json://127.0.0.1:9/room"
    assert Settings(im={"groups": hook}).sends_warnings  # type: ignore[arg-type]
    assert not Settings(im={"groups": hook}, warnings={"enabled": False}).sends_warnings  # type: ignore[arg-type]
