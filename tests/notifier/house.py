"""A whole notifier on a fresh database, with the real channels speaking to the stand-ins, for tests to live in."""

from __future__ import annotations

import asyncio
import io
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from fastapi import FastAPI, Request, Response
from sqlalchemy import Engine, create_engine, make_url, select

from incidents.clock import Clock, SystemClock
from incidents.errors import Forbidden
from incidents.record import Context, Record, Registry, open_record
from incidents.record.database import metadata, open_engine
from notifier.audience import Audience
from notifier.campaigns.events import EVENTS
from notifier.campaigns.service import CampaignView
from notifier.channels.channel import Channel
from notifier.channels.email import EmailChannel, EmailSettings
from notifier.channels.sms import SmsChannel, SmsSettings
from notifier.channels.spoken import thanks_in
from notifier.channels.twilio_http import PooledTwilioHttpClient
from notifier.channels.voice import VoiceChannel, VoiceSettings
from notifier.deliveries import BatchHints, Timing
from notifier.deliveries.order import ChannelOrder
from notifier.deliveries.rows_events import EVENTS as ROWS_EVENTS
from notifier.deliveries.tables import deliveries
from notifier.letters.events import EVENTS as LETTER_EVENTS
from notifier.pacing.provider import Provider
from notifier.receipts.callback_url import CallbackUrls
from notifier.standins.dropping_http import HttpStandin
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.outcomes import NUMBER_RANGES
from notifier.standins.runner import Standins, StandinSettings
from notifier.vault import MasterKeys
from notifier.wiring import Notifier, build_notifier

TOKEN = "a-token-for-tests"
PUBLIC_URL = "https://notify.harbour.example"
SECRET = b"callback-secret-for-tests"
KEYS = MasterKeys("test", {"test": bytes(range(32))})
SIMULATED = tuple(known.pattern.pattern for known in NUMBER_RANGES)
AUTHOR, APPROVER = "user:lan", "user:minh"

PATIENCE = 120.0
"""Seconds after which a test that would hang is ended; a slow machine is no reason to end one."""

ANSWERS = 60.0
"""Seconds that a stand-in may take for an answer: it always answers, and on a slow machine late."""

FAST = Timing(
    lease=timedelta(minutes=10),
    margin=timedelta(minutes=5),
    check_delays=(timedelta(milliseconds=200), timedelta(milliseconds=300)),
    poll_delays=(timedelta(hours=1),),
    first_backoff=timedelta(milliseconds=50),
    most_backoff=timedelta(milliseconds=400),
    max_tries=5,
    max_repeats=2,
    hold=timedelta(milliseconds=300),
    most_hold=timedelta(milliseconds=300),
    first_rest=timedelta(milliseconds=50),
    most_rest=timedelta(milliseconds=400),
)
"""Times small enough to wait for; tests wait for states, never for times. But leases outlast every test: on a machine
that stands still for a while one that ran out would be taken over, and what is sure would be unclear."""

POLLING = FAST.model_copy(update={"poll_delays": (timedelta(milliseconds=250),) * 12})
"""Where receipts do not come and the provider is asked."""

VALUES: dict[str, Any] = {
    "organisation": {"en": "Harbour Clinic", "zh-Hans": "海港诊所", "vi": "Phòng khám Bến Cảng"},
    "incident_summary": {
        "en": "Part of our patient register was copied by somebody without permission",
        "zh-Hans": "我们的部分患者登记信息被他人未经许可复制",
        "vi": "Một phần sổ đăng ký bệnh nhân của chúng tôi đã bị sao chép trái phép",
    },
    "occurred_on": "2026-11-12",
    "cause": {"en": "A stolen password", "zh-Hans": "密码被盗", "vi": "Mật khẩu bị đánh cắp"},
    "data_kinds": {"en": ["names", "phone numbers"], "zh-Hans": ["姓名", "电话"], "vi": ["họ tên", "số điện thoại"]},
    "risk": {"en": "The copy may be misused", "zh-Hans": "信息可能被滥用", "vi": "Dữ liệu có thể bị lạm dụng"},
    "consequences": {"en": "Fraudulent calls", "zh-Hans": "可能接到诈骗电话", "vi": "Có thể bị gọi điện lừa đảo"},
    "measures_taken": {"en": ["closed the account"], "zh-Hans": ["停用账户"], "vi": ["khóa tài khoản"]},
    "advice": {"en": ["Be wary of calls"], "zh-Hans": ["警惕陌生来电"], "vi": ["cảnh giác với cuộc gọi lạ"]},
    "contact_point": {"en": "Data Protection Officer", "zh-Hans": "个人信息保护负责人", "vi": "Cán bộ bảo vệ dữ liệu"},
    "contact_email": "privacy@harbour.example",
}


def database_address(folder: Path) -> str:
    """A fresh database: SQLite in the folder, or on the PostgreSQL server that `TOCSIN_TEST_POSTGRES` names."""
    server = os.environ.get("TOCSIN_TEST_POSTGRES")
    if not server:
        return f"sqlite:///{folder / 'house.sqlite'}"
    name = f"tocsin_test_{uuid4().hex}"
    admin = create_engine(make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    admin.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def create_tables(engine: Engine) -> None:
    """Every table of the room (imported above for this)."""
    metadata.create_all(engine)


def audience_csv(rows: Sequence[tuple[str, str, str, str, str]]) -> bytes:
    """The file that these rows make."""
    lines = ["name,phone,email,language,country", *(",".join(row) for row in rows)]
    return ("\r\n".join(lines) + "\r\n").encode()


@dataclass
class House:
    """Everything a test touches."""

    database: Engine
    record: Record
    clock: Clock
    notifier: Notifier
    standins: Standins
    forged: list[str] = field(default_factory=list)

    def context(self, actor: str = AUTHOR, command_id: UUID | None = None) -> Context:
        return Context.of_command(actor, self.clock, command_id=command_id)

    def audience(self, rows: Sequence[tuple[str, str, str, str, str]] | str) -> Audience:
        """Import these rows, or this CSV."""
        csv = rows.encode() if isinstance(rows, str) else audience_csv(rows)
        return self.notifier.audiences.import_csv(io.BytesIO(csv), self.context())

    def started(self, rows: Sequence[tuple[str, str, str, str, str]] | str, **draft: Any) -> CampaignView:
        """A campaign to these people, drafted, approved by another and started."""
        campaigns = self.notifier.campaigns
        audience = self.audience(rows)
        view = campaigns.draft(
            self.context(),
            **{"incident_id": uuid4(), "template": "personal-data-breach", "values": VALUES, **draft},
        )
        campaigns.attach_audience(self.context(), view.campaign_id, audience.audience_id)
        asked = campaigns.request_approval(self.context(), view.campaign_id)
        campaigns.approve(
            self.context(APPROVER),
            view.campaign_id,
            text_digest=asked.text_digest,
            audience_digest=asked.audience_digest,
        )
        return campaigns.start(self.context(), view.campaign_id)

    async def step(self) -> int:
        """One turn of every loop."""
        done = await asyncio.to_thread(self.notifier.follower.run_once)
        done += await self.notifier.engine.run_once()
        return done + await asyncio.to_thread(self.notifier.relay.run_once)

    async def until(self, reached: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Turn the loops until something is so."""
        async with asyncio.timeout(seconds):
            while not await asyncio.to_thread(reached):
                if not await self.step():
                    await asyncio.sleep(0.01)

    async def finish(self, campaign_id: UUID, seconds: float = PATIENCE) -> CampaignView:
        """Turn the loops until the campaign is finished."""
        await self.until(lambda: self.notifier.campaigns.view(campaign_id).status.value == "finished", seconds)
        return self.notifier.campaigns.view(campaign_id)

    def deliveries(self) -> list[Any]:
        with self.database.connect() as connection:
            return list(connection.execute(select(deliveries).order_by(deliveries.c.channel, deliveries.c.repeat)))

    def moves(self, campaign_id: UUID) -> list[Any]:
        """Every move on record of a campaign, in order."""
        return [
            move
            for recorded in self.record.read(0, 10_000, kinds=("delivery.recorded",))
            if recorded.event.campaign_id == campaign_id  # type: ignore[attr-defined]
            for move in recorded.event.moves  # type: ignore[attr-defined]
        ]


def receipts_app(house: House) -> FastAPI:
    """The front door's receipt address, in small."""
    app = FastAPI(openapi_url=None)

    @app.post("/v1/receipts/twilio")
    async def take(request: Request) -> Response:
        form = await request.form()
        params = {name: [str(value) for value in form.getlist(name)] for name in form}
        accept = house.notifier.receipts
        assert accept is not None
        try:
            await asyncio.to_thread(accept.accept, str(request.url), params, request.headers.get("X-Twilio-Signature"))
        except Forbidden as error:
            house.forged.append(error.detail)
            return Response(status_code=403)
        return Response(status_code=204)

    @app.post("/v1/receipts/twilio/keypress")
    async def key(request: Request) -> Response:
        form = await request.form()
        params = {name: [str(value) for value in form.getlist(name)] for name in form}
        accept = house.notifier.receipts
        assert accept is not None
        signature = request.headers.get("X-Twilio-Signature")
        confirmed = await asyncio.to_thread(accept.accept_key, str(request.url), params, signature)
        return Response(thanks_in(request.query_params.get("lang", "")) if confirmed else "", media_type="text/xml")

    return app


@asynccontextmanager
async def _empty_house(
    folder: Path, url: str | None, settings: StandinSettings, most_messages: int
) -> AsyncIterator[tuple[House, CallbackUrls]]:
    """Database, record, stand-ins and the door for receipts, with the addresses of the door; no notifier yet."""
    address = url or database_address(folder)
    database = open_engine(address)
    create_tables(database)
    store = OutboxStore(folder / "outbox.sqlite", max_messages=most_messages)
    standins = Standins(store, settings)
    with open_record(address, Registry([*EVENTS, *ROWS_EVENTS, *LETTER_EVENTS])) as record:
        async with standins:
            house = House(database, record, SystemClock(), None, standins)  # type: ignore[arg-type]
            door = HttpStandin(receipts_app(house), "127.0.0.1", 0)
            await door.start()
            try:
                yield house, CallbackUrls(f"http://127.0.0.1:{door.port}", SECRET)
            finally:
                await door.stop()
    store.close()
    database.dispose()


@asynccontextmanager
async def open_house(
    folder: Path,
    *,
    url: str | None = None,
    timing: Timing = FAST,
    standin_settings: StandinSettings | None = None,
    worker: str = "worker-1",
    channels: Mapping[str, Channel | Sequence[Provider]] | None = None,
    with_callbacks: bool = True,
    batch: int = 64,
    batch_size: int = 8,
    hints: BatchHints | None = None,
    sms_timeout: float = ANSWERS,
    partition_from: int = 0,
    voice: bool = False,
    channel_order: ChannelOrder = ChannelOrder(),
    more_channels: dict[str, Channel] | None = None,
    more_numbers: Sequence[str] = (),
    most_messages: int = 200_000,
    **wiring: Any,
) -> AsyncIterator[House]:
    """Open everything; `channels` replaces the real ones, `wiring` goes to `build_notifier` as it is."""
    standin_settings = standin_settings or StandinSettings(auth_token=TOKEN, step_delay=0.01)
    async with _empty_house(folder, url, standin_settings, most_messages) as (house, callbacks):
        real = channels or real_channels(
            house.standins, house.clock, callbacks if with_callbacks else None, sms_timeout=sms_timeout, voice=voice
        )
        house.notifier = build_notifier(
            house.database,
            house.record,
            house.clock,
            keys=KEYS,
            channels={**real, **(more_channels or {})},
            drill_channels=real_channels(house.standins, house.clock, None, voice=voice),
            channel_order=channel_order,
            worker=worker,
            rng=random.Random(7),
            callbacks=callbacks,
            twilio_tokens=[TOKEN],
            public_url=PUBLIC_URL,
            timing=timing,
            extra_numbers=(*SIMULATED, *more_numbers),
            batch=batch,
            batch_size=batch_size,
            hints=hints,
            partition_from=partition_from,
            **wiring,
        )
        try:
            yield house
        finally:
            await house.notifier.engine.close(grace=1)


def real_channels(
    standins: Standins,
    clock: Clock,
    callbacks: CallbackUrls | None,
    *,
    sms_timeout: float = ANSWERS,
    voice: bool = False,
) -> dict[str, Channel]:
    """SMS and email to the stand-ins, and calls if wanted."""
    calls: dict[str, Channel] = {
        "voice": VoiceChannel(
            VoiceSettings(standins.settings.account_sid, TOKEN, "+15005550006", timeout=sms_timeout),
            PooledTwilioHttpClient(standins.twilio_url, timeout=sms_timeout),
            callbacks,
        )
    }
    return {
        **(calls if voice else {}),
        "sms": SmsChannel(
            SmsSettings(standins.settings.account_sid, TOKEN, sender="+15005550006", timeout=sms_timeout),
            PooledTwilioHttpClient(standins.twilio_url, timeout=sms_timeout),
            callbacks,
        ),
        "email": EmailChannel(
            EmailSettings(
                standins.smtp_host,
                standins.smtp_port,
                sender_address="notice@harbour.example",
                sender_name="Harbour Clinic",
                security="plain",
                connections=4,
                timeout=ANSWERS,
                content_timeout=ANSWERS,
            ),
            clock,
        ),
    }
