"""Bounces come in by mailbox and by SMTP: each is put away only once its effect is in, and nobody else gets in."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from sqlalchemy.exc import OperationalError

from notifier.bounces.desk import BounceResult
from notifier.bounces.mail import MAX_BYTES
from notifier.bounces.mailbox import BounceMailbox, MailboxFault, MailboxSettings
from notifier.bounces.smtp_intake import BounceIntake, IntakeLimits
from tests.notifier.bounces.desk import Desk
from tests.notifier.bounces.imap_server import ImapServer, Mailbox
from tests.notifier.house import PATIENCE
from tests.notifier.test_email_channel import certificate

pytestmark = pytest.mark.slow
BOUNCED = [("email", "undelivered", "550 5.1.1"), ("sms", "planned", None)]
ACCEPTED = [("email", "accepted", None)]


def mailbox(port: int, trusted: Path | None, **changes: Any) -> MailboxSettings:
    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "username": "b",
        "password": "a secret",
        "timeout": PATIENCE,
        "context": None if trusted is None else ssl.create_default_context(cafile=str(trusted)),
        **changes,
    }
    return MailboxSettings(**values)


@pytest.mark.parametrize("capabilities", ["IMAP4rev1", "IMAP4rev1 UIDPLUS", "IMAP4rev1 MOVE UIDPLUS"])
@pytest.mark.parametrize("done", ["", "Done"])
def test_mails_are_taken_in_and_put_away(desk: Desk, tmp_path: Path, capabilities: str, done: str) -> None:
    desk.told()
    tls, trusted = certificate(tmp_path)
    box = Mailbox(capabilities=capabilities)
    box.put(desk.report(), b"Subject: lunch?\r\n\r\nHello\r\n", desk.report())
    with ImapServer(box, tls) as server:
        reader = BounceMailbox(mailbox(server.port, trusted, done=done), desk.bounces)
        assert reader.run_once() == 3
        assert reader.run_once() == 0
    assert box.folders["INBOX"] == {}
    assert len(box.folders["Done"]) == (3 if done else 0)
    assert desk.attempts() == BOUNCED
    assert desk.bounces.counts == {"moved": 1, "other": 1, "duplicate": 1}


def test_only_the_start_of_a_huge_mail_is_fetched(desk: Desk, tmp_path: Path) -> None:
    desk.told()
    tls, trusted = certificate(tmp_path)
    box = Mailbox()
    box.put(desk.report() + b"x" * 20_000_000)
    with ImapServer(box, tls) as server:
        BounceMailbox(mailbox(server.port, trusted), desk.bounces).run_once()
    assert desk.attempts() == BOUNCED
    assert MAX_BYTES < 1_000_000


@pytest.mark.parametrize("cut_at", ["LOGIN", "UID SEARCH", "UID FETCH", "UID MOVE"])
def test_a_connection_that_breaks_loses_nothing_and_doubles_nothing(desk: Desk, tmp_path: Path, cut_at: str) -> None:
    desk.told()
    tls, trusted = certificate(tmp_path)
    box = Mailbox(faults=[cut_at])
    box.put(desk.report())
    with ImapServer(box, tls) as server:
        reader = BounceMailbox(mailbox(server.port, trusted, done="Done"), desk.bounces)
        with pytest.raises(MailboxFault):
            reader.run_once()
        assert len(box.folders["INBOX"]) == 1, "it is not put away before it is taken in"
        assert reader.run_once() == 1
    assert desk.attempts() == BOUNCED
    assert len(desk.noted()) == 1


def test_what_could_not_be_entered_stays_in_the_mailbox(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.told()
    tls, trusted = certificate(tmp_path)
    box = Mailbox()
    box.put(desk.report())
    with ImapServer(box, tls) as server:
        reader = BounceMailbox(mailbox(server.port, trusted), desk.bounces)
        with monkeypatch.context() as broken:
            broken.setattr(desk.book, "receive", _database_away)
            with pytest.raises(OperationalError):
                reader.run_once()
        assert len(box.folders["INBOX"]) == 1
        assert desk.noted() == [], "nothing of it was entered"
        assert reader.run_once() == 1
    assert desk.attempts() == BOUNCED


def _database_away(*_args: object, **_named: object) -> None:
    raise OperationalError("statement", {}, Exception("gone"))


def test_a_server_with_a_strange_certificate_gets_no_password(desk: Desk, tmp_path: Path) -> None:
    tls, _ = certificate(tmp_path)
    box = Mailbox()
    box.put(desk.report())
    with ImapServer(box, tls) as server, pytest.raises(MailboxFault, match="CERTIFICATE_VERIFY_FAILED"):
        BounceMailbox(mailbox(server.port, None), desk.bounces).run_once()
    assert box.fetched == []


def test_what_the_server_says_is_not_repeated(desk: Desk, tmp_path: Path) -> None:
    tls, trusted = certificate(tmp_path)
    with ImapServer(Mailbox(), tls) as server, pytest.raises(MailboxFault) as refused:
        BounceMailbox(mailbox(server.port, trusted, password="wrong"), desk.bounces).run_once()
    assert "AUTHENTICATIONFAILED" not in str(refused.value)


def listening(
    desk: Desk, story: Callable[[aiosmtplib.SMTP, BounceIntake], Awaitable[None]], limits: IntakeLimits | None = None
) -> None:
    async def live() -> None:
        intake = BounceIntake(
            desk.bounces,
            host="127.0.0.1",
            port=0,
            hostname="bounces.harbour.example",
            limits=limits,
            monotonic=lambda: 0.0,
        )
        await intake.start()
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=intake.port, timeout=PATIENCE, start_tls=False)
        try:
            await client.connect()
            await client.ehlo()
            await story(client, intake)
        finally:
            client.close()
            await intake.close()

    asyncio.run(live())


async def deliver(client: aiosmtplib.SMTP, recipient: str, content: bytes) -> int:
    """The reply code that a mail ends with."""
    try:
        await client.mail("")
        await client.rcpt(recipient)
        return int((await client.data(content)).code)
    except aiosmtplib.SMTPResponseException as error:
        await client.rset()
        return int(error.code)


def test_smtp_takes_what_is_sent_to_our_names(desk: Desk) -> None:
    desk.told()

    async def story(client: aiosmtplib.SMTP, _intake: BounceIntake) -> None:
        ours = desk.paths.sender(desk.delivery).decode()
        # What the headers say does not matter where the envelope proves it.
        assert await deliver(client, ours, desk.report(sender="whoever@mail.example")) == 250
        assert desk.noted()[0].evidence == "envelope"
        assert await deliver(client, ours, desk.report()) == 250, "a repeat is taken, so that it ends"

    listening(desk, story)
    assert desk.attempts() == BOUNCED
    assert desk.bounces.counts[BounceResult.DUPLICATE.value] == 1


@pytest.mark.parametrize(
    "recipient",
    [
        "b@bounces.harbour.example",
        "b+aaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaa@bounces.harbour.example",
        "postmaster@bounces.harbour.example",
        "somebody@elsewhere.example",
    ],
)
def test_smtp_refuses_everybody_else_before_the_content(desk: Desk, recipient: str) -> None:
    desk.told()

    async def story(client: aiosmtplib.SMTP, _intake: BounceIntake) -> None:
        assert await deliver(client, recipient, desk.report()) == 550

    listening(desk, story)
    assert desk.attempts() == ACCEPTED
    assert desk.bounces.counts == {"refused": 1}


def test_smtp_refuses_what_is_too_big_or_too_much(desk: Desk) -> None:
    desk.told()
    ours = desk.paths.sender(desk.delivery).decode()

    async def story(client: aiosmtplib.SMTP, _intake: BounceIntake) -> None:
        assert await deliver(client, ours, b"Subject: x\r\n\r\n" + b"much\r\n" * 20_000) == 552
        assert await deliver(client, ours, desk.report()) == 250
        assert await deliver(client, ours, desk.report()) == 451, "the third in a minute"

    listening(desk, story, IntakeLimits(most_bytes=10_000, per_minute=2))
    assert desk.attempts() == BOUNCED


def test_smtp_leaves_a_mail_with_its_sender_while_the_database_is_away(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.told()
    ours = desk.paths.sender(desk.delivery).decode()

    async def story(client: aiosmtplib.SMTP, _intake: BounceIntake) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(desk.book, "receive", _database_away)
            assert await deliver(client, ours, desk.report()) == 451
        assert desk.noted() == []
        assert await deliver(client, ours, desk.report()) == 250

    listening(desk, story)
    assert desk.attempts() == BOUNCED
