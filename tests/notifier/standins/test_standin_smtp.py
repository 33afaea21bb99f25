"""The SMTP stand-in with the real aiosmtplib: acceptance, every simulated failure, AUTH, STARTTLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from notifier.standins.bounces import smtp_bounce_sink
from notifier.standins.email_content import read_email, summary_of
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.smtp_server import SmtpOptions, SmtpStandin, serve_smtp
from tests.notifier.house import PATIENCE
from tests.notifier.standins.standin_harness import NOON, Clock, run

SENDER = "b+token@notices.example"


def mail(to: str, text: str = "Xin chào, 你好") -> EmailMessage:
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = "Notices <notices@example.org>"
    message["To"] = to
    message["Subject"] = "Một thông báo 通知"
    message["Message-ID"] = "<recipient-1@example.org>"
    message["X-Tocsin-Campaign"] = "campaign-1"
    message.set_content(text)
    message.add_alternative(f"<p>{text}</p>", subtype="html")
    return message


@asynccontextmanager
async def server(
    store: OutboxStore, sink: Any = None, **options: Any
) -> AsyncIterator[tuple[SmtpStandin, aiosmtplib.SMTP]]:
    wanted = {"bounce_delay": 0.0, "slow_seconds": 2 * PATIENCE} | options
    running = await serve_smtp("127.0.0.1", 0, store, clock=Clock(), options=SmtpOptions(**wanted), bounce_sink=sink)
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=running.port, start_tls=False, timeout=PATIENCE)
    try:
        await client.connect()
        yield running, client
    finally:
        client.close()
        await running.close()


@pytest.fixture
def store() -> Any:
    outbox = OutboxStore()
    yield outbox
    outbox.close()


def test_an_accepted_mail_is_kept_as_it_came_and_readable(store: OutboxStore) -> None:
    async def story() -> None:
        async with server(store) as (_, client):
            sent = mail("an@example.org")
            errors, reply = await client.sendmail(SENDER, ["an@example.org"], sent.as_bytes())
            assert errors == {}
            (kept,) = store.messages(channel="email")
            assert kept.sid in reply
            assert (kept.recipient, kept.sender, kept.status) == ("an@example.org", SENDER, "delivered")
            assert (kept.subject, kept.body.strip()) == ("Một thông báo 通知", "Xin chào, 你好")
            assert (kept.message_id, kept.campaign) == ("<recipient-1@example.org>", "campaign-1")
            assert kept.raw == sent.as_bytes()
            assert store.messages(campaign="campaign-1", body_part="你好")[0].id == kept.id

    run(story())


def test_each_envelope_recipient_is_told_once(store: OutboxStore) -> None:
    async def story() -> None:
        async with server(store) as (_, client):
            people = ["an@example.org", "binh@example.org", "chi@example.org"]
            await client.sendmail(SENDER, people, mail("many@example.org").as_bytes())
            assert store.counts("email") == dict.fromkeys(people, 1)

    run(story())


@pytest.mark.parametrize(
    ("address", "code", "enhanced"),
    [
        ("bounce-5.1.1+anything@example.org", 550, "5.1.1"),
        ("Bounce-5.2.2@example.org", 550, "5.2.2"),
        ("temporary-4.2.1@example.net", 450, "4.2.1"),
        ("temporary-4.4.7+x@example.net", 450, "4.4.7"),
    ],
)
def test_recipients_that_are_refused(store: OutboxStore, address: str, code: int, enhanced: str) -> None:
    async def story() -> None:
        async with server(store) as (_, client):
            for _ in range(3):
                await client.mail(SENDER)
                with pytest.raises(aiosmtplib.SMTPRecipientRefused) as caught:
                    await client.rcpt(address)
                assert caught.value.code == code
                assert caught.value.message.startswith(enhanced)
                await client.rset()
            assert store.messages() == []
            assert [refusal.code for refusal in store.refusals()] == [f"{code} {enhanced}"] * 3

    run(story())


def test_one_refused_recipient_does_not_hold_up_the_other(store: OutboxStore) -> None:
    async def story() -> None:
        async with server(store) as (_, client):
            errors, _reply = await client.sendmail(
                SENDER, ["bounce-5.1.1@example.org", "an@example.org"], mail("x@example.org").as_bytes()
            )
            assert list(errors) == ["bounce-5.1.1@example.org"]
            assert store.counts() == {"an@example.org": 1}

    run(story())


@pytest.mark.parametrize("address", ["bounce-4.1.1@example.org", "temporary-5.1.1@x.example", "bounce@example.org"])
def test_what_only_looks_like_a_pattern_is_delivered(store: OutboxStore, address: str) -> None:
    async def story() -> None:
        async with server(store) as (_, client):
            await client.sendmail(SENDER, [address], mail(address).as_bytes())
            assert store.counts() == {address: 1}

    run(story())


def test_greylisting_gives_in_at_the_third_try(store: OutboxStore) -> None:
    async def story() -> None:
        async with server(store) as (_, client):
            address = "greylist+one@example.org"
            for _ in range(2):
                with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as caught:
                    await client.sendmail(SENDER, [address], mail(address).as_bytes())
                assert caught.value.recipients[0].code == 451
            await client.sendmail(SENDER, [address], mail(address).as_bytes())
            assert store.counts() == {address: 1}

    run(story())


def test_content_is_refused_after_the_final_dot(store: OutboxStore) -> None:
    async def story() -> None:
        async with server(store) as (_, client):
            with pytest.raises(aiosmtplib.SMTPDataError) as caught:
                await client.sendmail(SENDER, ["refuse-data@example.org"], mail("x@example.org").as_bytes())
            assert (caught.value.code, caught.value.message[:5]) == (554, "5.7.1")
            assert store.messages() == []
            await client.sendmail(SENDER, ["an@example.org"], mail("an@example.org").as_bytes())

    run(story())


def test_shutdown_says_421_and_closes(store: OutboxStore) -> None:
    async def story() -> None:
        async with server(store) as (_, client):
            await client.mail(SENDER)
            with pytest.raises(aiosmtplib.SMTPResponseException) as caught:
                await client.rcpt("shutdown@example.org")
            assert caught.value.code == 421
            with pytest.raises(aiosmtplib.SMTPServerDisconnected):
                await client.noop()
            assert store.messages() == []

    run(story())


@pytest.mark.parametrize(
    ("address", "kept"),
    [("drop-at-rcpt@example.org", 0), ("drop-after-dot@example.org", 1), ("lose-after-dot@example.org", 0)],
)
def test_cut_connections_keep_the_mail_or_not(store: OutboxStore, address: str, kept: int) -> None:
    async def story() -> None:
        async with server(store) as (_, client):
            await client.mail(SENDER)
            if address.startswith("drop-at-rcpt"):
                with pytest.raises(aiosmtplib.SMTPServerDisconnected):
                    await client.rcpt(address)
            else:
                await client.rcpt(address)
                with pytest.raises(aiosmtplib.SMTPServerDisconnected):
                    await client.data(mail(address).as_bytes())
            assert sum(store.counts().values()) == kept

    run(story())


def test_a_slow_reply_times_out_and_the_mail_is_kept(store: OutboxStore) -> None:
    async def story() -> None:
        async with server(store) as (_, client):
            client.timeout = 2
            with pytest.raises(aiosmtplib.SMTPReadTimeoutError):
                await client.sendmail(SENDER, ["slow@example.org"], mail("slow@example.org").as_bytes())
            assert store.counts() == {"slow@example.org": 1}

    run(story())


def test_a_late_bounce_is_a_report_to_the_envelope_sender(store: OutboxStore) -> None:
    async def story() -> None:
        bounces: list[tuple[str, bytes]] = []

        async def sink(to: str, content: bytes) -> None:
            bounces.append((to, content))

        async with server(store, sink) as (running, client):
            address = "late-bounce-5.2.2+x@example.org"
            await client.sendmail(SENDER, [address], mail(address).as_bytes())
            await running.idle()
            (kept,) = store.messages()
            assert (kept.status, kept.error_code) == ("bounced", "5.2.2")
            ((to, content),) = bounces
            assert to == SENDER
            report = message_from_bytes(content, policy=policy.default)
            assert report.get_content_type() == "multipart/report"
            assert report.get_param("report-type") == "delivery-status"
            _text, status, original = report.iter_parts()
            assert status.get_content_type() == "message/delivery-status"
            _per_message, per_recipient = status.get_payload()
            assert (per_recipient["Action"], per_recipient["Status"]) == ("failed", "5.2.2")
            assert per_recipient["Final-Recipient"] == f"rfc822; {address}"
            assert "<recipient-1@example.org>" in original.get_content()

    run(story())


def test_a_bounce_travels_by_smtp_with_the_empty_sender_and_is_not_bounced_back() -> None:
    async def story() -> None:
        home, away = OutboxStore(), OutboxStore()
        async with server(home) as (home_server, _):
            sink = smtp_bounce_sink("127.0.0.1", home_server.port)
            async with server(away, sink) as (away_server, client):
                await client.sendmail(
                    "late-bounce-5.1.1@home.example", ["late-bounce-5.1.1@away.example"], mail("x@x.example").as_bytes()
                )
                await away_server.idle()
                await home_server.idle()
        (arrived,) = home.messages()
        assert (arrived.sender, arrived.recipient) == ("<>", "late-bounce-5.1.1@home.example")
        home.close()
        away.close()

    run(story())


def test_a_bounce_that_a_stopped_process_owed_is_sent_by_the_next(store: OutboxStore) -> None:
    async def story() -> None:
        bounces: list[str] = []

        async def sink(to: str, _content: bytes) -> None:
            bounces.append(to)

        async with server(store, sink, bounce_delay=3600) as (_, client):
            await client.sendmail(SENDER, ["late-bounce-5.1.1@x.example"], mail("x@x.example").as_bytes())
        assert bounces == []
        async with server(store, sink) as (running, _):
            assert running.resume() == 1
            await running.idle()
        assert bounces == [SENDER]

    run(story())


def test_pipelined_commands_are_answered_in_order(store: OutboxStore) -> None:
    async def story() -> None:
        async with server(store) as (running, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            await reader.readline()
            writer.write(b"EHLO me\r\n")
            lines = []
            while not lines or lines[-1][3:4] == b"-":
                lines.append(await reader.readline())
            assert b"250-PIPELINING\r\n" in lines
            writer.write(
                b"MAIL FROM:<a@x.example>\r\nRCPT TO:<bounce-5.1.1@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n"
            )
            assert [(await reader.readline())[:3] for _ in range(4)] == [b"250", b"550", b"250", b"354"]
            writer.write(b"Subject: one\r\n\r\n..dot\r\n.\r\nMAIL FROM:<a@x.example>\r\n")
            assert [(await reader.readline())[:3] for _ in range(2)] == [b"250", b"250"]
            assert store.messages()[0].raw == b"Subject: one\r\n\r\n.dot\r\n"
            writer.close()

    run(story())


def test_mail_too_big_or_broken_harms_nothing(store: OutboxStore) -> None:
    async def story() -> None:
        async with server(store, max_size=2000) as (_, client):
            with pytest.raises(aiosmtplib.SMTPResponseException) as caught:
                await client.sendmail(SENDER, ["an@x.example"], b"Subject: big\r\n\r\n" + b"x" * 70 * 100)
            assert caught.value.code == 552
            broken = (
                b"Content-Type: multipart/mixed; charset=nonsense\r\nSubject: =?x?b?!!!?=\r\nFrom: <<>\r\n\r\n\xff\xfe"
            )
            await client.sendmail(SENDER, ["an@x.example"], broken)
            assert store.counts() == {"an@x.example": 1}

    run(story())


def test_mail_without_login_is_refused_when_a_login_is_set(store: OutboxStore) -> None:
    async def story() -> None:
        async with server(store, login=("tocsin", "secret")) as (_, client):
            with pytest.raises(aiosmtplib.SMTPSenderRefused) as caught:
                await client.mail(SENDER)
            assert caught.value.code == 530
            with pytest.raises(aiosmtplib.SMTPAuthenticationError):
                await client.login("tocsin", "wrong")
            await client.login("tocsin", "secret")
            await client.sendmail(SENDER, ["an@x.example"], mail("an@x.example").as_bytes())
            assert store.counts() == {"an@x.example": 1}

    run(story())


def certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "standin.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_starttls_and_login_inside_it(store: OutboxStore, tmp_path: Path) -> None:
    async def story() -> None:
        pem = certificate(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        options = {"tls_context": context, "require_starttls": True, "login": ("tocsin", "secret")}
        async with server(store, **options) as (running, plain):
            with pytest.raises(aiosmtplib.SMTPResponseException) as caught:
                await plain.mail(SENDER)
            assert caught.value.code == 530
            trusting = ssl.create_default_context(cafile=str(pem))
            client = aiosmtplib.SMTP(
                hostname="127.0.0.1", port=running.port, start_tls=False, timeout=PATIENCE, tls_context=trusting
            )
            await client.connect()
            await client.starttls(server_hostname="localhost")
            await client.login("tocsin", "secret")
            await client.sendmail(
                SENDER, ["an@x.example", "drop-after-dot@x.example"][:1], mail("x@x.example").as_bytes()
            )
            await client.mail(SENDER)
            await client.rcpt("drop-after-dot@x.example")
            with pytest.raises(aiosmtplib.SMTPServerDisconnected):
                await client.data(mail("x@x.example").as_bytes())
            assert store.counts() == {"an@x.example": 1, "drop-after-dot@x.example": 1}

    run(story())


def test_times_come_from_the_clock(store: OutboxStore) -> None:
    async def story() -> None:
        async with server(store) as (_, client):
            await client.sendmail(SENDER, ["an@x.example"], mail("an@x.example").as_bytes())
            assert store.messages()[0].accepted_at == NOON

    run(story())


def test_what_is_kept_to_find_a_mail_by_is_what_its_page_shows() -> None:
    mail = EmailMessage()
    mail["Subject"] = "海港诊所: thông báo về dữ liệu cá nhân của bạn, " + "và " * 30
    mail["Message-ID"], mail["X-Tocsin-Campaign"] = "<one@harbour.example>", "x" * 300
    mail.set_content("Kính gửi Nguyễn Văn Á,\n\n.\n数据\n")
    mail.add_alternative("<p>Kính gửi &amp; 数据</p>", subtype="html")
    only_html = EmailMessage()
    only_html.set_content("<style>p {}</style><p>Read <b>this</b></p>", subtype="html")
    broken = b"Subject: =?utf-8?q?=E6?=\r\nContent-Type: text/plain; charset=nonsense\r\n\r\n\xff\xfe"
    assert summary_of(broken).subject, "what is no header is shown as it is"
    for raw in (mail.as_bytes(), only_html.as_bytes(), b""):
        shown, kept = read_email(raw), summary_of(raw)
        assert (kept.subject, kept.message_id, kept.campaign) == (shown.subject, shown.message_id, shown.campaign)
        assert kept.readable.split() == (shown.text or "").split() or not shown.text
    assert summary_of(only_html.as_bytes()).readable == "Read this"
