"""Mail is signed so that receivers believe it, and can prove that nobody changed it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from incidents.clock import ManualClock
from incidents.errors import InvalidInput
from notifier.channels.dkim import DkimSigner, SigningKey
from notifier.channels.email import EmailChannel
from notifier.channels.email_message import email_bytes
from notifier.channels.email_stream import LetterMaker
from notifier.channels.outcome import Verdict
from notifier.channels.personal import EmailWords, PersonalEmail
from notifier.channels.return_path import ReturnPaths
from notifier.channels.smtp_session import Letter
from notifier.channels.stream import Parcel
from notifier.channels.unsubscribe import UnsubscribeUrls
from notifier.standins.outbox_store import OutboxStore
from notifier.standins.smtp_server import serve_smtp
from tests.conftest import NIGHT
from tests.notifier import test_email_channel as channel_tests
from tests.notifier.dkim_verifier import verify

RFC_8463 = """\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace("\n", "\r\n").encode()
RFC_8463_KEY = {
    "brisbane._domainkey.football.example.com": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
}


@cache
def rsa_key() -> SigningKey:
    return SigningKey("harbour.example", "s1", rsa.generate_private_key(65537, 2048))


@cache
def ed_key() -> SigningKey:
    return SigningKey("harbour.example", "s2", ed25519.Ed25519PrivateKey.generate())


RECORDS: Callable[[], dict[str, str]] = lambda: {key.dns_name: key.dns_record for key in (rsa_key(), ed_key())}  # noqa: E731


def signer(*keys: SigningKey) -> DkimSigner:
    return DkimSigner(keys or (rsa_key(), ed_key()), from_address="notice@harbour.example")


def mail(subject: str = "About your data", unsubscribe: str | None = None) -> bytes:
    return email_bytes(
        channel_tests.CONTENT.model_copy(update={"subject": subject}),
        sender_name="Harbour, Clinic 海港",
        sender_address="notice@harbour.example",
        reply_to="privacy@harbour.example",
        recipient="zhang@example.cn",
        language="zh-Hans",
        identifier=f"<{uuid4().hex}@harbour.example>",
        campaign=uuid4(),
        at=NIGHT,
        unsubscribe=unsubscribe,
    )


def test_the_verifier_proves_itself_on_the_rfcs_own_example() -> None:
    assert verify(RFC_8463, RFC_8463_KEY) == ["ed25519-sha256"]
    with pytest.raises(InvalidSignature):
        verify(RFC_8463.replace(b"dinner", b"supper"), RFC_8463_KEY)
    with pytest.raises(InvalidSignature):
        verify(RFC_8463.replace(b"hungry", b"thirsty"), RFC_8463_KEY)


def test_both_signatures_hold() -> None:
    assert verify(signer().sign(mail()), RECORDS()) == ["rsa-sha256", "ed25519-sha256"]


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300))
@settings(max_examples=40, deadline=None)
def test_whatever_the_subject_holds(subject: str) -> None:
    assert verify(signer(ed_key(), rsa_key()).sign(mail(subject)), RECORDS())


@given(st.lists(st.sampled_from(["", " ", "\t", "a", "a  b", " a \t", ".", "end "]), max_size=12))
@settings(max_examples=40, deadline=None)
def test_whatever_the_body_holds(lines: list[str]) -> None:
    raw = b"From: notice@harbour.example\r\nSubject: x\r\n\r\n" + "\r\n".join(lines).encode()
    assert verify(signer().sign(raw), RECORDS())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"zhang@example.cn", b"other@example.cn"),
        (b"From: ", b"From: Mallory "),
        (b"Message-ID: <", b"Message-ID: <0"),
        (b"\r\n\r\n--", b"\r\n\r\nadded\r\n--"),
        (b"List-Unsubscribe: <https://", b"List-Unsubscribe: <https://evil."),
    ],
)
def test_a_changed_mail_is_found_out(old: bytes, new: bytes) -> None:
    signed = signer(rsa_key()).sign(mail(unsubscribe="https://harbour.example/u/x"))
    assert verify(signed, RECORDS())
    assert old in signed
    head, _, rest = signed.partition(b"\r\nFrom: ")
    with pytest.raises(InvalidSignature):
        verify(head + b"\r\n" + (b"From: " + rest).replace(old, new, 1), RECORDS())


@pytest.mark.parametrize("name", [b"From", b"Subject", b"To", b"Reply-To", b"Date"])
def test_a_header_that_was_added_is_found_out(name: bytes) -> None:
    signed = signer(rsa_key()).sign(mail())
    with pytest.raises(InvalidSignature):
        verify(signed.replace(b"\r\n\r\n", b"\r\n" + name + b": another\r\n\r\n", 1), RECORDS())


def test_lines_stay_short() -> None:
    assert max(map(len, signer().sign(mail()).split(b"\r\n"))) <= 998


def test_from_must_be_the_domains_own() -> None:
    DkimSigner([rsa_key()], from_address="x@sub.harbour.example")
    for stranger in ("x@other.example", "x@notharbour.example"):
        with pytest.raises(InvalidInput, match="would not count"):
            DkimSigner([rsa_key()], from_address=stranger)
    with pytest.raises(InvalidInput, match="RSA"):
        DkimSigner([ed_key()], from_address="x@harbour.example")


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def test_unfit_keys_are_named() -> None:
    good = pem(rsa.generate_private_key(65537, 2048))
    assert SigningKey.from_pem("Harbour.example", "s1", good).dns_name == "s1._domainkey.harbour.example"
    for text, why in (
        ("", "PEM"),
        ("-----BEGIN nonsense-----", "PEM"),
        (pem(rsa.generate_private_key(65537, 1024)), "1024 bits"),  # noqa: S505 - that it is refused is the point
        (pem(ec.generate_private_key(ec.SECP256R1())), "RSA or Ed25519"),
    ):
        with pytest.raises(InvalidInput, match=why):
            SigningKey.from_pem("harbour.example", "s1", text)
    for domain, selector in (("harbour.example\r\nX: y", "s1"), ("harbour.example", "s 1"), ("", "s1")):
        with pytest.raises(InvalidInput, match="DNS"):
            SigningKey.from_pem(domain, selector, good)


def test_it_is_fast_enough_for_millions() -> None:
    sign, content = signer(rsa_key()), mail()
    began, signed = time.process_time(), 0
    while time.process_time() - began < 0.5:
        sign.sign(content)
        signed += 1
    # Half of what is promised, for machines that do other things meanwhile; pure Python makes 70 a second.
    assert signed / (time.process_time() - began) > 500


WORDS = EmailWords(
    "海港", (("Hello ", "name"), (", code ", "reference"), (".\n", None)), (("<p>", "name"), ("</p>", None))
)


def letter(*, dsn: bool = True, personal: bool = True, **changes: object) -> Letter:
    made = LetterMaker(channel_tests.settings(25, **changes), ManualClock(NIGHT), "harbour.example", dsn=dsn)
    message = channel_tests.outgoing("zhang+x@example.cn")
    if personal:
        message = type(message)(
            **{name: getattr(message, name) for name in ("delivery_id", "campaign_id", "message_key", "address")},
            content=PersonalEmail(WORDS, "张伟", "AAAAA-BBBBB"),
            language="zh-Hans",
            marker="AAAAA-BBBBB",
        )
    result = made.letter(Parcel(message, None))
    assert isinstance(result, Letter)
    return result


@pytest.mark.parametrize("personal", [True, False])
def test_every_way_of_making_a_mail_signs_it(personal: bool) -> None:
    made = letter(personal=personal, signer=signer())
    sent = made.content.replace(b"\r\n..", b"\r\n.")
    assert verify(sent, RECORDS()) == ["rsa-sha256", "ed25519-sha256"]


def test_the_envelope_names_the_delivery_and_asks_for_reports_of_failure() -> None:
    paths = ReturnPaths("b@bounces.harbour.example", b"a-secret-for-this-test")
    made = letter(return_paths=paths)
    found = re.fullmatch(rb"MAIL FROM:<(b\+[^>]+)> RET=HDRS ENVID=(\S+)\r\n", made.mail)
    assert found is not None
    sender, name = found.group(1).decode(), found.group(2).decode()
    assert paths.delivery_of(sender) == paths.delivery_of(name) is not None
    assert made.rcpt == b"RCPT TO:<zhang+x@example.cn> NOTIFY=FAILURE,DELAY ORCPT=rfc822;zhang+2Bx@example.cn\r\n"
    without = letter(return_paths=paths, dsn=False)
    assert re.fullmatch(rb"MAIL FROM:<b\+[a-z2-7.]+@bounces\.harbour\.example>\r\n", without.mail)
    assert without.rcpt == b"RCPT TO:<zhang+x@example.cn>\r\n"


def test_a_single_mail_is_signed_and_named_too(tmp_path: Path) -> None:
    paths = ReturnPaths("b@bounces.harbour.example", b"a-secret-for-this-test")

    async def live() -> None:
        store = OutboxStore(tmp_path / "outbox.sqlite")
        server = await serve_smtp("127.0.0.1", 0, store, clock=lambda: NIGHT)
        channel = EmailChannel(
            channel_tests.settings(server.port, signer=signer(), return_paths=paths), ManualClock(NIGHT)
        )
        message = channel_tests.outgoing()
        try:
            outcome = await channel.send(message, channel_tests.nothing)
            assert outcome.verdict is Verdict.ACCEPTED
            (kept,) = store.messages()
            assert kept.raw is not None
            assert verify(kept.raw, RECORDS())
            assert paths.delivery_of(kept.sender) == message.delivery_id
        finally:
            await channel.close()
            await server.close()
            store.close()

    asyncio.run(live())


def test_one_click_unsubscribing_is_offered_only_where_an_address_is_given() -> None:
    urls = UnsubscribeUrls("https://harbour.example/", b"a-secret-for-this-test")
    delivery = uuid4()
    offered = mail(unsubscribe=urls.url_for(delivery))
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in offered
    assert re.search(rb"\r\nList-Unsubscribe:\s+<https://harbour\.example/u/[0-9a-f.]+>\r\n", offered)
    assert b"unsubscribe" not in mail().lower()
    token = urls.url_for(delivery).rpartition("/")[2]
    assert urls.delivery_of(token) == delivery
    assert UnsubscribeUrls("https://x.example", b"another-secret-here").delivery_of(token) is None
    rotated = UnsubscribeUrls("https://x.example", b"another-secret-here", [b"a-secret-for-this-test"])
    assert rotated.delivery_of(token) == delivery
    for wrong in ("", "x", token[:-1], token[:-1] + "x", "0" * 32 + "." + "é" * 32):
        assert urls.delivery_of(wrong) is None
