"""Warnings to our own staff: said in full, once for each step and round, whatever is killed when."""

from __future__ import annotations

import asyncio
import email
import email.policy
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select

from incidents.clock import ManualClock
from incidents.errors import Conflict
from incidents.record import stable_id
from incidents.record.database import reading
from notifier.channels.channel import AboutToWrite, Found, Outgoing
from notifier.channels.email import EmailChannel, EmailSettings
from notifier.channels.outcome import Outcome, Verdict
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.smtp_server import serve_smtp
from notifier.warnings import Addressee, StaffWarning, StaffWarnings
from notifier.warnings.book import LEASE, RETRY, WarningBook
from notifier.warnings.letter import write
from notifier.warnings.tables import staff_warnings
from tests.conftest import NIGHT

DESK = "desk@lantern.example"
WARNING = StaffWarning(
    incident_id=UUID(int=7),
    reference="INC-7F3K-9Q2M",
    duty_id="cn-4h",
    instrument="国家网络安全事件报告管理办法",
    article="第四条",
    recipient="省级网信部门",
    stage="initial",
    step=80,
    called_out_at=NIGHT,
    round=0,
    due=NIGHT + timedelta(hours=4),
    time_zone="Asia/Shanghai",
    link="https://tocsin.example.com/incidents/INC-7F3K-9Q2M",
)


class Killed(BaseException):
    """The process ends here: no handler runs."""


class Postman:
    """A channel that does what a test says, and keeps what it was given."""

    name, concurrency, write_timeout, reconciles, has_receipts = "email", 1, 1.0, False, False

    def __init__(self) -> None:
        self.mails: list[Outgoing] = []
        self.die_before = self.die_after = False
        self.verdicts: list[Verdict] = []

    async def send(self, message: Outgoing, about_to_write: AboutToWrite) -> Outcome:
        if self.die_before:
            raise Killed
        await about_to_write()
        self.mails.append(message)
        if self.die_after:
            raise Killed
        return Outcome(self.verdicts.pop(0) if self.verdicts else Verdict.ACCEPTED, code="250")

    async def find(self, address: str, marker: str, after: object) -> list[Found]:
        return []

    async def look_up(self, provider_id: str) -> Found | None:
        return None

    async def close(self) -> None:
        return None


@pytest.fixture
def postman() -> Postman:
    return Postman()


def staff(engine: Engine, postman: Postman, clock: ManualClock) -> StaffWarnings:
    return StaffWarnings(WarningBook(engine, clock, uuid4), postman, clock)


def to(*addresses: str) -> list[Addressee]:
    return [Addressee(address, "en") for address in addresses or (DESK,)]


def send(service: StaffWarnings, warning: StaffWarning = WARNING, *addresses: str) -> int:
    return asyncio.run(service.send(warning, to(*addresses)))


def states(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return list(connection.execute(select(staff_warnings.c.state)).scalars())


def test_the_mail_says_which_duty_and_when(clock: ManualClock) -> None:
    english = write(WARNING, "en", NIGHT + timedelta(hours=3, minutes=12))
    assert english.subject.startswith("80 % of the time has passed: ")
    for part in (
        "INC-7F3K-9Q2M",
        "第四条",
        "省级网信部门",
        "2026-11-20 13:00 +0800 (Asia/Shanghai)",
        "0:48",
        WARNING.link,
    ):
        assert part in english.text
    chinese = write(WARNING.model_copy(update={"step": 101, "round": 2}), "zh-Hans", NIGHT + timedelta(hours=6))
    assert chinese.subject.startswith("【已逾期】")
    assert "已逾期 2:00" in chinese.text
    assert "第 2 次重复" in chinese.text
    reminder = write(WARNING.model_copy(update={"step": 100, "due": None}), "en", NIGHT)
    assert "promptly" in reminder.text
    assert "Due" not in reminder.text


def test_the_mail_names_the_owner_and_that_nobody_answered(clock: ManualClock) -> None:
    mine = write(WARNING.model_copy(update={"owner": "Data protection office"}), "en", NIGHT)
    assert "Owner: Data protection office\n" in mine.text
    assert "acknowledged this" not in mine.text
    passed_on = write(WARNING.model_copy(update={"owner": "Data protection office", "escalated": True}), "en", NIGHT)
    assert "has not acknowledged this" in passed_on.text
    chinese = write(WARNING.model_copy(update={"owner": "数据保护办公室", "escalated": True}), "zh-Hans", NIGHT)
    assert "负责人：数据保护办公室（尚未确认" in chinese.text
    assert "Owner" not in write(WARNING, "en", NIGHT).text


def test_a_duty_that_waits_is_called_out_before_its_waiting_ends(clock: ManualClock) -> None:
    waiting = WARNING.model_copy(update={"step": 100, "waits": True})
    assert write(waiting, "en", NIGHT).subject.startswith("The waiting ends soon")
    assert "the clock runs on" in write(waiting, "en", NIGHT).text
    assert "still stands" in write(waiting.model_copy(update={"due": None}), "en", NIGHT).text
    assert write(waiting, "zh-Hans", NIGHT).subject.startswith("【暂缓即将结束】")


def test_a_deadline_at_the_end_of_a_day_is_said_as_that_day(clock: ManualClock) -> None:
    midnight = NIGHT.replace(hour=16)  # 00:00 of the 21st in Shanghai
    said = write(WARNING.model_copy(update={"due": midnight, "ends_with_day": True}), "en", NIGHT)
    assert "2026-11-20 24:00 +0800" in said.text


def test_what_the_law_calls_things_cannot_break_the_mail(clock: ManualClock) -> None:
    said = write(WARNING.model_copy(update={"instrument": "A\r\nBcc: x@example.com <b>{{ 7*7 }}</b>"}), "en", NIGHT)
    assert "\n" not in said.subject
    assert "\r" not in said.subject
    assert "<b>" not in said.html
    assert "49" not in said.text


def test_each_address_gets_a_step_once_and_again_in_the_next_round(
    engine: Engine, postman: Postman, clock: ManualClock
) -> None:
    service, both = staff(engine, postman, clock), (DESK, "dpo@lantern.example")
    assert send(service, WARNING, *both) == 2
    assert send(service, WARNING, *both) == 0
    assert send(service, WARNING.model_copy(update={"round": 1}), *both) == 2
    assert send(service, WARNING.model_copy(update={"step": 95}), *both) == 2
    assert len({mail.message_key for mail in postman.mails}) == 6


def test_no_address_is_kept(engine: Engine, postman: Postman, clock: ManualClock) -> None:
    send(staff(engine, postman, clock))
    with reading(engine) as connection:
        (row,) = connection.execute(select(staff_warnings)).all()
    assert "lantern" not in str(row)


def test_a_kill_before_the_writing_costs_a_lease_and_no_mail(
    engine: Engine, postman: Postman, clock: ManualClock
) -> None:
    service = staff(engine, postman, clock)
    postman.die_before = True
    with pytest.raises(Killed):
        send(service)
    postman.die_before = False

    assert send(service) == 0, "the claim still holds: its process may be alive"
    clock.advance(LEASE)
    assert send(service) == 1
    assert states(engine) == ["sent"]


def test_a_kill_between_writing_and_settling_mails_nobody_twice(
    engine: Engine, postman: Postman, clock: ManualClock
) -> None:
    service = staff(engine, postman, clock)
    postman.die_after = True
    with pytest.raises(Killed):
        send(service)
    postman.die_after = False

    clock.advance(timedelta(days=1))
    assert send(service) == 0
    assert len(postman.mails) == 1
    assert send(service, WARNING.model_copy(update={"round": 1})) == 1, "the next round is another mail"


def test_a_claim_that_was_taken_over_writes_nothing(engine: Engine, clock: ManualClock) -> None:
    book = WarningBook(engine, clock, uuid4)
    recipient = stable_id("staff", DESK)
    slow = book.claim(WARNING, recipient)
    clock.advance(LEASE)
    fast = book.claim(WARNING, recipient)
    assert slow is not None
    assert fast is not None
    book.begin_writing(fast)
    with pytest.raises(Conflict):
        book.begin_writing(slow)


def test_a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(
    engine: Engine, postman: Postman, clock: ManualClock
) -> None:
    service = staff(engine, postman, clock)
    postman.verdicts = [Verdict.TEMPORARY, Verdict.REJECTED]
    assert send(service) == 0
    assert send(service) == 0
    clock.advance(RETRY)
    assert send(service) == 0
    assert states(engine) == ["refused"]
    clock.advance(timedelta(hours=1))
    send(service)
    assert len(postman.mails) == 2


def test_it_arrives_through_smtp(engine: Engine, clock: ManualClock, tmp_path: Path) -> None:
    async def story() -> list[bytes | None]:
        store = OutboxStore(tmp_path / "outbox.sqlite")
        server = await serve_smtp("127.0.0.1", 0, store, clock=lambda: NIGHT)
        settings = EmailSettings(
            host="127.0.0.1",
            port=server.port,
            sender_address="tocsin@lantern.example",
            sender_name="灯笼银行",
            security="plain",
        )
        channel = EmailChannel(settings, clock)
        service = StaffWarnings(WarningBook(engine, clock, uuid4), channel, clock)
        chinese = [Addressee(DESK, "zh-Hans")]
        try:
            assert await service.send(WARNING, chinese) == 1
            assert await service.send(WARNING, chinese) == 0
            return [message.raw for message in store.messages()]
        finally:
            await service.close()
            await server.close()
            store.close()

    (raw,) = asyncio.run(story())
    assert raw is not None
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message["To"] == DESK
    assert message["Subject"] == "【期限已过 80%】国家网络安全事件报告管理办法 第四条，事件 INC-7F3K-9Q2M"
    assert message["Auto-Submitted"] == "auto-generated"
