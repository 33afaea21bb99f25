"""The email channel: phases known, connections kept, certificates checked, messages in due form."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from incidents.clock import ManualClock
from incidents.errors import InvalidInput
from notifier.channels.channel import Outgoing
from notifier.channels.email import EmailChannel, EmailSettings
from notifier.channels.email_message import email_bytes
from notifier.channels.outcome import Outcome, Verdict
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.smtp_server import SmtpOptions, serve_smtp
from notifier.templates import RenderedEmail
from tests.conftest import NIGHT
from tests.notifier.house import PATIENCE
from tests.ports import free_port

CONTENT = RenderedEmail(
    subject="海港诊所：关于您个人信息的安全事件告知",
    text="张伟，您好：\n\n.点开头的一行\n" + "长" * 400 + "\n",
    html="<p>张伟，您好</p>\n",
)


def outgoing(address: str = "zhang@example.cn", key: UUID | None = None) -> Outgoing:
    return Outgoing(
        delivery_id=uuid4(),
        campaign_id=UUID(int=9),
        message_key=key or uuid4(),
        address=address,
        content=CONTENT,
        language="zh-Hans",
        marker="AAAAA-BBBBB",
    )


def settings(port: int, **changes: Any) -> EmailSettings:
    return EmailSettings(
        **{
            "host": "127.0.0.1",
            "port": port,
            "sender_address": "notice@harbour.example",
            "sender_name": "Harbour, Clinic 海港",
            "security": "plain",
            "connections": 2,
            "timeout": PATIENCE,
            "content_timeout": PATIENCE,
            **changes,
        }
    )


async def nothing() -> None:
    return None


def served(
    tmp_path: Path,
    story: Callable[[EmailChannel, OutboxStore], Awaitable[None]],
    options: SmtpOptions | None = None,
    **changes: Any,
) -> None:
    async def live() -> None:
        store = OutboxStore(tmp_path / "outbox.sqlite")
        server = await serve_smtp("127.0.0.1", 0, store, clock=lambda: NIGHT, options=options)
        channel = EmailChannel(settings(server.port, **changes), ManualClock(NIGHT))
        try:
            await story(channel, store)
        finally:
            await channel.close()
            await server.close()
            store.close()

    asyncio.run(live())


def test_a_message_in_due_form(tmp_path: Path) -> None:
    key = uuid4()

    async def story(channel: EmailChannel, store: OutboxStore) -> None:
        outcome = await channel.send(outgoing(key=key), nothing)
        assert outcome.verdict is Verdict.ACCEPTED
        assert outcome.provider_id == f"{key.hex}@harbour.example"
        (kept,) = store.messages()
        assert kept.raw is not None
        message = email.message_from_bytes(kept.raw, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        assert message["Message-ID"] == f"<{key.hex}@harbour.example>"
        assert message["Subject"] == CONTENT.subject
        assert message["From"].addresses[0].display_name == "Harbour, Clinic 海港"
        assert message["To"] == "zhang@example.cn"
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["Content-Language"] == "zh-Hans"
        assert message["Date"].datetime == NIGHT
        assert message.get_content_type() == "multipart/alternative"
        plain, html = message.iter_parts()
        assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
        assert plain.get_content() == CONTENT.text  # type: ignore[attr-defined]
        assert html.get_content() == CONTENT.html  # type: ignore[attr-defined]
        assert max(map(len, kept.raw.split(b"\r\n"))) <= 998, "RFC 5322 section 2.1.1"

    served(tmp_path, story)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recipient", "a@example.com\r\nBcc: all@example.com"),
        ("sender_address", "a@example.com\nX: y"),
        ("reply_to", "a@example.com\nX: y"),
        ("subject", "Hello\nBcc: all@example.com"),
    ],
)
def test_no_header_can_be_smuggled_in(field: str, value: str) -> None:
    arguments: dict[str, Any] = {
        "sender_name": "Acme",
        "sender_address": "a@example.com",
        "reply_to": None,
        "recipient": "b@example.com",
    }
    content = RenderedEmail(subject="Hi", text="t", html="h")
    if field == "subject":
        content = RenderedEmail(subject=value, text="t", html="h")
    else:
        arguments[field] = value
    with pytest.raises(InvalidInput):
        email_bytes(content, language="en", identifier="<k@x>", campaign=UUID(int=1), at=NIGHT, **arguments)


def test_one_connection_carries_many_messages_even_after_refusals(tmp_path: Path) -> None:
    async def story(channel: EmailChannel, store: OutboxStore) -> None:
        verdicts = [
            (await channel.send(outgoing(address), nothing)).verdict
            for address in ("a@example.com", "bounce-5.1.1@example.com", "refuse-data@example.com", "b@example.com")
        ]
        assert verdicts == [Verdict.ACCEPTED, Verdict.REJECTED, Verdict.REJECTED, Verdict.ACCEPTED]
        assert [session.sent for session in channel._idle] == [4]
        assert len(store.messages()) == 2

    served(tmp_path, story)


def test_more_senders_than_connections_wait_their_turn(tmp_path: Path) -> None:
    async def story(channel: EmailChannel, store: OutboxStore) -> None:
        sends = [channel.send(outgoing(f"p{i}@example.com"), nothing) for i in range(30)]
        outcomes = await asyncio.gather(*sends)
        assert {outcome.verdict for outcome in outcomes} == {Verdict.ACCEPTED}
        assert len(channel._idle) == 2
        assert len(store.messages(limit=100)) == 30

    served(tmp_path, story)


@pytest.mark.parametrize(
    ("address", "verdict", "marked"),
    [
        ("bounce-5.1.1@example.com", Verdict.REJECTED, False),
        ("temporary-4.2.1@example.com", Verdict.TEMPORARY, False),
        ("shutdown@example.com", Verdict.TEMPORARY, False),
        ("drop-at-rcpt@example.com", Verdict.TEMPORARY, False),
        ("refuse-data@example.com", Verdict.REJECTED, True),
        ("drop-after-dot@example.com", Verdict.AMBIGUOUS, True),
        ("lose-after-dot@example.com", Verdict.AMBIGUOUS, True),
        ("slow@example.com", Verdict.AMBIGUOUS, True),
        ("fine@example.com", Verdict.ACCEPTED, True),
    ],
)
def test_the_phase_decides(tmp_path: Path, address: str, verdict: Verdict, marked: bool) -> None:
    """Lost before the content: safe to repeat. Lost after it: nobody can tell."""

    async def story(channel: EmailChannel, _store: OutboxStore) -> None:
        marks = []

        async def about_to_write() -> None:
            marks.append(1)

        outcome = await channel.send(outgoing(address), about_to_write)
        assert (outcome.verdict, bool(marks)) == (verdict, marked)
        assert "example" not in (outcome.code or "")

    # Only where the server is to be too slow is there little time.
    patience = 0.5 if address.startswith("slow") else PATIENCE
    served(tmp_path, story, SmtpOptions(slow_seconds=2 * PATIENCE), content_timeout=patience)


def test_a_lost_claim_writes_nothing_and_the_next_message_is_fine(tmp_path: Path) -> None:
    async def story(channel: EmailChannel, store: OutboxStore) -> None:
        async def lost() -> None:
            raise LookupError("not ours any more")

        with pytest.raises(LookupError):
            await channel.send(outgoing("a@example.com"), lost)
        assert (await channel.send(outgoing("b@example.com"), nothing)).verdict is Verdict.ACCEPTED
        assert [message.recipient for message in store.messages()] == ["b@example.com"]

    served(tmp_path, story)


def test_a_connection_the_server_closed_meanwhile_is_not_used(tmp_path: Path) -> None:
    async def story(channel: EmailChannel, _store: OutboxStore) -> None:
        await channel.send(outgoing(), nothing)
        assert channel._idle[0].client.transport is not None
        channel._idle[0].client.transport.abort()  # type: ignore[attr-defined]
        assert (await channel.send(outgoing(), nothing)).verdict is Verdict.ACCEPTED

    served(tmp_path, story)


def test_nobody_listens(unused_port: int) -> None:
    async def live() -> Outcome:
        return await EmailChannel(settings(unused_port), ManualClock(NIGHT)).send(outgoing(), nothing)

    assert asyncio.run(live()).verdict is Verdict.TEMPORARY


@pytest.fixture
def unused_port() -> int:
    return free_port()


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server context for 127.0.0.1 and the file a client must trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "cert.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, folder / "key.pem")
    return context, path


def test_starttls_and_login(tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path)
    options = SmtpOptions(tls_context=context, require_starttls=True, login=("harbour", "secret"))

    async def story(channel: EmailChannel, store: OutboxStore) -> None:
        assert (await channel.send(outgoing(), nothing)).verdict is Verdict.ACCEPTED
        assert len(store.messages()) == 1

    served(
        tmp_path,
        story,
        options,
        security="starttls",
        cert_bundle=str(trusted),
        username="harbour",
        password="secret",
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"cert_bundle": None}, "certificate"), ({"password": "wrong"}, "535"), ({"security": "plain"}, "530")],
)
def test_our_own_faults_hold_the_campaign(tmp_path: Path, changes: dict[str, Any], code: str) -> None:
    context, trusted = certificate(tmp_path)
    options = SmtpOptions(tls_context=context, require_starttls=True, login=("harbour", "secret"))
    base = {"security": "starttls", "cert_bundle": str(trusted), "username": "harbour", "password": "secret"}
    if changes.get("security") == "plain":
        changes = {**changes, "username": None, "password": None}

    async def story(channel: EmailChannel, store: OutboxStore) -> None:
        outcome = await channel.send(outgoing(), nothing)
        assert outcome.verdict is Verdict.CAMPAIGN_FAULT
        assert (outcome.code or "").startswith(code)
        assert store.messages() == []

    served(tmp_path, story, options, **{**base, **changes})


def test_a_server_without_tls_is_not_used_where_tls_is_asked_for(tmp_path: Path) -> None:
    async def story(channel: EmailChannel, store: OutboxStore) -> None:
        outcome = await channel.send(outgoing(), nothing)
        assert outcome.verdict is Verdict.CAMPAIGN_FAULT
        assert store.messages() == []

    served(tmp_path, story, security="starttls")
