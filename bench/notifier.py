"""Sending: our engine with durable records against bare loops over the libraries, on the same server, in one run.

The mail server is postfix's `smtp-sink`; the SMS server answers 201 to every request, from a process of its own. Ours
is everything from the started campaign to the last outcome committed: batches cut, contacts opened, notices written for
each person, marks and outcomes in the database. The bare loops have their bytes ready and keep no record at all.
"""

from __future__ import annotations

import asyncio
import io
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiosmtplib
import uvloop
from sqlalchemy import Engine, select
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from bench.rounds import Comparison, Skipped, Work, compare
from incidents.clock import SystemClock
from incidents.record import Context, Registry, open_record
from incidents.record.database import metadata, open_engine
from notifier.campaigns.events import EVENTS
from notifier.channels.channel import Channel
from notifier.channels.drill import DrillChannel
from notifier.channels.email import EmailChannel, EmailSettings
from notifier.channels.email_message import email_bytes
from notifier.channels.personal import EmailWords, email_words
from notifier.channels.sms import SmsChannel, SmsSettings
from notifier.channels.twilio_http import PooledTwilioHttpClient
from notifier.deliveries.tables import sendings
from notifier.receipts.callback_url import CallbackUrls
from notifier.templates import RenderedEmail, Templates
from notifier.vault import MasterKeys
from notifier.wiring import DEFAULT_TEMPLATE, Notifier, build_notifier

CONNECTIONS = 10
SMS_AT_ONCE = 50
SENDER = "notice@harbour.example"
ACCOUNT, TOKEN = "AC" + "0" * 32, "bench"
NUMBERS = r"\+447700\d{6}"
"""Ofcom's numbers for drama: nobody has one."""
VALUES: dict[str, Any] = {
    "organisation": {"en": "Harbour Clinic"},
    "incident_summary": {"en": "Part of our patient register was copied by somebody without permission"},
    "occurred_on": "2026-11-12",
    "cause": {"en": "A stolen password"},
    "data_kinds": {"en": ["names", "phone numbers"]},
    "risk": {"en": "The copy may be misused"},
    "consequences": {"en": "Fraudulent calls"},
    "measures_taken": {"en": ["closed the account"]},
    "advice": {"en": ["Be wary of calls"]},
    "contact_point": {"en": "Data Protection Officer"},
    "contact_email": "privacy@harbour.example",
}


def email_against_sendmail(folder: Path, people: int, runs: int) -> Comparison:
    """Bytes made ready, kept connections, uvloop, `aiosmtplib.sendmail`."""
    with _sink() as port:
        mails = [(f"p{n}@example.com", _bytes(n)) for n in range(people)]

        async def send(client: aiosmtplib.SMTP, mail: tuple[str, bytes]) -> None:
            await client.sendmail(SENDER, [mail[0]], mail[1])

        return compare(
            "email: against sendmail, bytes ready",
            aim=3,
            ours=lambda _run: _campaign(folder, people, "email", lambda _: _email(port)),
            bare=lambda _run: lambda: _timed(_smtp_loop(port, mails, send)),
            runs=runs,
        )


def email_against_send_message(folder: Path, people: int, runs: int) -> Comparison:
    """A message object built for each person and given to `send_message`."""
    some = max(people // 10, 10)
    with _sink() as port:
        texts = _rendered()

        async def send(client: aiosmtplib.SMTP, number: int) -> None:
            message = EmailMessage()
            message["From"], message["To"], message["Subject"] = SENDER, f"p{number}@example.com", texts.subject
            message["Message-ID"] = f"<{uuid4().hex}@harbour.example>"
            message.set_content(texts.text)
            message.add_alternative(texts.html, subtype="html")
            await client.send_message(message)

        return compare(
            "email: against send_message",
            aim=8,
            ours=lambda _run: _campaign(folder, people, "email", lambda _: _email(port)),
            bare=lambda _run: lambda: _timed(_smtp_loop(port, range(some), send)),
            runs=runs,
        )


def sms_against_sdk(folder: Path, people: int, runs: int) -> Comparison:
    """The SDK's own asynchronous client with its pooled session, as many requests at once."""
    with _http_stub() as address:
        return compare(
            "sms: against the SDK's client",
            aim=1.0,
            ours=lambda _run: _campaign(folder, people, "sms", lambda _: _sms(address)),
            bare=lambda _run: lambda: _timed(_sdk_loop(address, people)),
            runs=runs,
        )


def cost(folder: Path, people: int) -> dict[str, float]:
    """CPU seconds of the sending process and bytes in the database for a thousand emails; the record included."""
    with _sink() as port:
        site = _Site(folder, people, "email", _email(port))
        before, began = site.bytes(), _cpu()
        site.send()
        sent, cpu = site.bytes(), _cpu() - began
        while site.notifier.relay.run_once():
            pass
        return {
            "cpu seconds per 1,000": cpu * 1000 / people,
            "table bytes per 1,000": (sent - before) * 1000 / people,
            "table and record bytes per 1,000": (site.bytes() - before) * 1000 / people,
            "cpu seconds per 1,000 with the record": (_cpu() - began) * 1000 / people,
        }


# -- ours ---------------------------------------------------------------------------------------------


class _Site:
    """An installation of its own with a started campaign to made people."""

    def __init__(self, folder: Path, people: int, kind: str, channel: Channel) -> None:
        self._file = folder / f"{uuid4().hex}.sqlite"
        address, clock = f"sqlite:///{self._file}", SystemClock()
        self.engine: Engine = open_engine(address)
        metadata.create_all(self.engine)
        self._record = open_record(address, Registry(EVENTS))
        self.notifier: Notifier = build_notifier(
            self.engine,
            self._record,
            clock,
            keys=MasterKeys("bench", {"bench": bytes(range(32))}),
            channels={kind: channel},
            drill_channels={kind: DrillChannel(kind)},
            worker="bench",
            rng=random.Random(1),
            extra_numbers=(NUMBERS,),
        )
        self.campaign_id = self._start(people, kind, clock)

    def _start(self, people: int, kind: str, clock: SystemClock) -> UUID:
        campaigns = self.notifier.campaigns
        contacts = (
            f",p{n}@example.com" if kind == "email" else f"+447700{900000 + n % 100_000:06d}," for n in range(people)
        )
        rows = "".join(f"Person {n},{contact},en,GB\r\n" for n, contact in enumerate(contacts))
        file = io.BytesIO(b"name,phone,email,language,country\r\n" + rows.encode())
        audience = self.notifier.audiences.import_csv(file, Context.of_command("user:a", clock))
        assert audience.recipients == people
        view = campaigns.draft(
            Context.of_command("user:a", clock), incident_id=uuid4(), template=DEFAULT_TEMPLATE, values=VALUES
        )
        campaigns.attach_audience(Context.of_command("user:a", clock), view.campaign_id, audience.audience_id)
        asked = campaigns.request_approval(Context.of_command("user:a", clock), view.campaign_id)
        campaigns.approve(
            Context.of_command("user:b", clock),
            view.campaign_id,
            text_digest=asked.text_digest,
            audience_digest=asked.audience_digest,
        )
        campaigns.start(Context.of_command("user:a", clock), view.campaign_id)
        while self.notifier.follower.run_once():
            pass
        return view.campaign_id

    def send(self) -> None:
        """Until everybody has had a try whose outcome is committed."""
        uvloop.run(self._send())

    async def _send(self) -> None:
        engine = self.notifier.engine
        while not self._is_sent():
            if not await engine.run_once():
                await asyncio.sleep(0.005)
        await engine.close()

    def _is_sent(self) -> bool:
        with self.engine.connect() as connection:
            one = connection.execute(select(sendings)).one()
            waiting = "select count(*) from delivery_batches where state <> 'done'"
            return bool(one.planned) and not connection.exec_driver_sql(waiting).scalar()

    def bytes(self) -> int:
        with self.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar() or 0
            return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar() or 0)


def _campaign(folder: Path, people: int, kind: str, channel: Callable[[None], Channel]) -> Work:
    site = _Site(folder, people, kind, channel(None))

    def work() -> int:
        site.send()
        return people

    return work


def _email(port: int) -> EmailChannel:
    settings = EmailSettings(
        "127.0.0.1", port, SENDER, "Harbour Clinic", security="plain", connections=CONNECTIONS, max_messages=100_000
    )
    return EmailChannel(settings, SystemClock())


def _sms(address: str) -> SmsChannel:
    callbacks = CallbackUrls("https://notify.harbour.example", b"callback-secret-of-the-bench")
    http = PooledTwilioHttpClient(address, connections=SMS_AT_ONCE)
    return SmsChannel(SmsSettings(ACCOUNT, TOKEN, sender="+15005550006", concurrency=SMS_AT_ONCE), http, callbacks)


# -- bare ---------------------------------------------------------------------------------------------


def _timed(work: Coroutine[Any, Any, int]) -> int:
    return uvloop.run(work)


async def _smtp_loop(port: int, mails: Any, send: Callable[[aiosmtplib.SMTP, Any], Awaitable[None]]) -> int:
    waiting = iter(mails)

    async def connection() -> int:
        client, count = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, use_tls=False, start_tls=False), 0
        async with client:
            for mail in waiting:
                await send(client, mail)
                count += 1
        return count

    return sum(await asyncio.gather(*(connection() for _ in range(CONNECTIONS))))


async def _sdk_loop(address: str, people: int) -> int:
    http = _Redirected(address)
    client = Client(ACCOUNT, TOKEN, http_client=http)
    waiting = iter(range(people))
    body = "Harbour Clinic: a security incident concerns your personal data. " * 4

    async def sender() -> int:
        count = 0
        for number in waiting:
            await client.messages.create_async(
                to=f"+447700{900000 + number % 100_000:06d}",
                from_="+15005550006",
                body=body,
                status_callback=f"https://notify.harbour.example/v1/receipts/twilio?delivery={uuid4()}",
            )
            count += 1
        return count

    try:
        return sum(await asyncio.gather(*(sender() for _ in range(SMS_AT_ONCE))))
    finally:
        await http.session.close()


class _Redirected(AsyncTwilioHttpClient):
    """The SDK's pooled client, to a server of ours."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    async def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return await super().request(method, url.replace("https://api.twilio.com", self._address), *args, **kwargs)


# -- servers ------------------------------------------------------------------------------------------


@contextmanager
def _sink(into: Path | None = None) -> Iterator[int]:
    """The port of a `smtp-sink`, which writes all it takes `into` a file, or throws it away."""
    program = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Skipped("no smtp-sink: install postfix")
    port = _free_port()
    as_nobody = ["-u", "nobody"] if os.getuid() == 0 else []
    keeping = [] if into is None else ["-D", str(into)]
    with _process([program, *as_nobody, *keeping, f"127.0.0.1:{port}", "1000"], port):
        yield port


@contextmanager
def _http_stub() -> Iterator[str]:
    port = _free_port()
    with _process([sys.executable, "-m", "bench.http_stub", str(port)], port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _process(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_port(port, process)
        yield
    finally:
        process.kill()
        process.wait()


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Skipped("the server of the bench did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def _rendered() -> RenderedEmail:
    return Templates().get(DEFAULT_TEMPLATE).render_email("en", VALUES, "Person", "01234-ABCDE")


def _rendered_words() -> EmailWords:
    template = Templates().get(DEFAULT_TEMPLATE)
    words = email_words(lambda name, reference: template.render_email("en", VALUES, name, reference))
    assert words is not None
    return words


def _bytes(number: int) -> bytes:
    return email_bytes(
        _rendered(),
        sender_name="Harbour Clinic",
        sender_address=SENDER,
        reply_to=None,
        recipient=f"p{number}@example.com",
        language="en",
        identifier=f"<{uuid4().hex}@harbour.example>",
        campaign=UUID(int=1),
        at=SystemClock().now(),
    )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
