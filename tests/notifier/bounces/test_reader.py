"""Mails that came back are read for what they are; whatever comes, reading ends soon and never fails."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.bounces.mail import MAX_BYTES
from notifier.bounces.meanings import Meaning, meanings
from notifier.bounces.reader import read_mail
from notifier.bounces.report import MailKind, MailReport

HERE = Path(__file__).parents[1] / "data" / "dsn"
_SHARED = Path(os.environ.get("TOCSIN_SHARED", Path(__file__).parents[4] / "shared"))
CORPUS = _SHARED / "samples" / "dsn"
KINDS = {"non-rfc3464 bounce": "bounce"}

KNOWN_MISSES = {
    "sisimai-lhost-mcafee-01.eml": "'550 Unknown user' is taken at its word; the source holds it for a filter's excuse",
    "sisimai-lhost-surfcontrol-01.eml": "'550 No such user' is taken at its word, as above",
    "sisimai-lhost-opensmtpd-12.eml": "the report says delayed; the source calls a domain without MX a hard bounce",
    "sisimai-lhost-sendmail-38.eml": "a bounce of a bounce: the second recipient stands in the returned mail only",
}
"""Where we read otherwise, and why. A test holds the list exact."""


def expectations(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "expected.json").read_text("utf-8"))
    return loaded


def differences(report: MailReport, expected: dict[str, Any]) -> Iterator[str]:
    """Everything in which a report is not as expected."""
    kind = KINDS.get(expected["kind"], expected["kind"])
    if report.kind != kind:
        yield f"kind {report.kind.value}"
    if kind not in {"dsn", "bounce"}:
        if report.findings:
            yield "findings"
        return
    if "recipients" in expected:
        wanted = sorted(address.strip("<> ").lower() for address in expected["recipients"])
        if sorted(finding.final_recipient.lower() for finding in report.findings) != wanted:
            yield "recipients"
    if "warning" in expected.get("source_expected_action", ""):
        if {finding.action for finding in report.findings} != {"delayed"}:
            yield "a warning was taken for a failure"
    elif "source_expected_recipients" in expected:
        wanted = sorted(address.lower() for address in expected["source_expected_recipients"])
        failed = [finding.recipient.lower() for finding in report.findings if finding.action == "failed"]
        if sorted(failed) != wanted:
            yield "recipients that failed"
    stated = expected.get("delivery_status_fields", [])
    for place, source in enumerate(expected.get("source_expected", [])):
        if place >= len(report.findings):
            yield "too few findings"
            continue
        finding = report.findings[place]
        # Where the report's own field and the source's reading disagree on the class, the field is what was said.
        field = stated[place].get("status", "") if place < len(stated) else ""
        if (finding.status or "")[:1] != (field or source["status"])[:1]:
            yield f"status {finding.status}"
        if source["reply_code"] and finding.reply != source["reply_code"]:
            yield f"reply {finding.reply}"
        if (finding.meaning is Meaning.PERMANENT) != source["hard_bounce"]:
            yield f"hard bounce: {finding.meaning.value}"
        wanted_action = stated[place].get("action", "failed") if place < len(stated) else "failed"
        if finding.action != meanings().action(wanted_action):
            yield f"action {finding.action}"


@pytest.mark.parametrize("name", sorted(expectations(HERE)))
def test_samples(name: str) -> None:
    report = read_mail((HERE / name).read_bytes())
    assert list(differences(report, expectations(HERE)[name])) == []


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside this checkout")
def test_the_whole_corpus() -> None:
    wrong = {}
    for name, expected in expectations(CORPUS).items():
        if found := list(differences(read_mail((CORPUS / name).read_bytes()), expected)):
            wrong[name] = found
    assert wrong.keys() == KNOWN_MISSES.keys(), wrong
    assert len(wrong) <= 0.05 * len(expectations(CORPUS))


def sample(name: str) -> bytes:
    return (HERE / f"sisimai-{name}.eml").read_bytes()


def test_the_exact_code_is_in_the_servers_own_words() -> None:
    (finding,) = read_mail(sample("lhost-exim-43")).findings
    assert (finding.status, finding.reply) == ("5.7.1", "550"), "the Status field says 5.0.0"
    (finding,) = read_mail(sample("lhost-x3-06")).findings
    assert finding.status == "5.2.2", "over quota, whatever the summary says"


def test_what_a_mail_is_about_is_told_but_not_shown() -> None:
    report = read_mail(sample("lhost-postfix-13"))
    assert report.addressed_to[:1] == ("root@2jo.example.jp",)
    assert report.message_id == "20150213024748.CEEDB20C16@2jo.example.jp"
    assert "@" not in repr(report), "addresses must not get into logs by accident"


def test_each_recipient_has_a_meaning_of_their_own() -> None:
    report = read_mail(sample("lhost-outlook-04"))
    assert [finding.meaning for finding in report.findings] == [Meaning.PERMANENT, Meaning.FOR_NOW]
    assert [finding.code for finding in report.findings] == ["550 5.1.1", "550 5.2.2"]


def test_complaints_name_the_envelope_they_are_about() -> None:
    raw = (
        b"From: fbl@isp.example\r\nTo: b@bounces.example\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type=feedback-report; boundary="x"\r\n\r\n'
        b"--x\r\nContent-Type: text/plain\r\n\r\nThis is a complaint.\r\n"
        b"--x\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nVersion: 1\r\n"
        b"Original-Mail-From: <b+abc.def@bounces.example>\r\n\r\n"
        b"--x\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <k@harbour.example>\r\nSubject: x\r\n\r\n\r\n--x--\r\n"
    )
    report = read_mail(raw)
    assert (report.kind, report.feedback) == (MailKind.FEEDBACK, "abuse")
    assert report.returned_from == ("b+abc.def@bounces.example",)
    assert report.message_id == "k@harbour.example"


NESTED = b"".join(
    b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (depth, depth) for depth in range(3_000)
)
LONG_LINE = b"Content-Type: multipart/report; boundary=x\n\n--x\n" + b"a" * 20_000_000
MANY_PARTS = (
    b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\nContent-Type: message/delivery-status\n\n\n" * 20_000
)
MANY_RECIPIENTS = (
    b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
    + b"Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n" * 50_000
)
WRONG_CHARSET = (
    b'Subject: =?martian?B?//8=?=\nFrom: MAILER-DAEMON@x\nContent-Type: text/plain; charset="klingon"\n'
    b"Content-Transfer-Encoding: base64\n\n/////w==\n"
)
FIELDS_OF_NOISE = b"Content-Type: message/delivery-status\n\n" + b"Final-Recipient: ;;;<<<>>>@@@\nAction: \xff\xfe\n\n"
SLOW_ADDRESSES = b"To: " + b"a@" * 100_000 + b"\nContent-Type: text/plain\n\n" + b"<" * 50_000 + b"@" * 50_000


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00" * 1_000,
        b"\n\n\n",
        NESTED,
        LONG_LINE,
        MANY_PARTS,
        MANY_RECIPIENTS,
        WRONG_CHARSET,
        FIELDS_OF_NOISE,
        SLOW_ADDRESSES,
        b"Content-Type: message/rfc822\n\n" * 2_000,
        b"Content-Type: multipart/report\n\nno boundary",
        b"Content-Transfer-Encoding: uuencode\n\nbegin 644 x\n\xff\nend\n",
    ],
    ids=lambda raw: f"{len(raw)} bytes",
)
def test_hostile_mail_is_read_to_an_end(raw: bytes) -> None:
    began = time.process_time()
    report = read_mail(raw)
    assert len(report.findings) <= 50
    # Far from any tuning: what grows with the square of the size takes minutes.
    assert time.process_time() - began < 15


def test_a_report_of_20_mb_is_read_from_its_start() -> None:
    raw = sample("lhost-postfix-05").replace(b"\n\n--", b"\n\n" + b"-", 1) + b"x" * 20_000_000
    report = read_mail(sample("lhost-postfix-05") + b"\n" + b"padding line\n" * 1_600_000)
    assert report.fault == "too-long"
    assert [finding.status for finding in report.findings] == ["4.1.1"]
    assert read_mail(raw).fault == "too-long"
    assert len(raw) > MAX_BYTES


@given(st.binary(max_size=3_000))
@settings(max_examples=60, deadline=None)
def test_any_bytes(raw: bytes) -> None:
    read_mail(raw)


@pytest.mark.parametrize("seed", range(8))
def test_damaged_reports(seed: int) -> None:
    rng = random.Random(seed)
    for path in sorted(HERE.glob("*.eml")):
        raw = bytearray(path.read_bytes())
        for _ in range(12):
            place = rng.randrange(len(raw))
            change = rng.choice(("flip", "cut", "double"))
            if change == "flip":
                raw[place] = rng.randrange(256)
            elif change == "cut":
                del raw[place : place + rng.randrange(200)]
            else:
                raw[place:place] = raw[place : place + 300]
            if not raw:
                break
        read_mail(bytes(raw))


def test_every_rule_of_the_table_decides_somewhere() -> None:
    table = meanings()
    said = {"full": "quota exceeded", "unwanted": "spam", "suspended": "disabled", "unknown_address": "user unknown"}
    assert {
        name: table.of(action="failed", status="5.0.0", reply="550", command=None, answer=words)
        for name, words in said.items()
    } == {
        "full": Meaning.FOR_NOW,
        "unwanted": Meaning.POLICY,
        "suspended": Meaning.FOR_NOW,
        "unknown_address": Meaning.PERMANENT,
    }
    codes = {
        "5.1.1": Meaning.PERMANENT,
        "5.2.1": Meaning.FOR_NOW,
        "5.2.2": Meaning.FOR_NOW,
        "5.4.4": Meaning.PERMANENT,
        "4.4.7": Meaning.FOR_NOW,
        "5.7.1": Meaning.POLICY,
        "5.0.0": Meaning.UNKNOWN,
    }
    for code, meaning in codes.items():
        assert table.of(action="failed", status=code, reply=None, command=None, answer="") is meaning, code
    assert table.of(action="delayed", status="5.1.1", reply=None, command=None, answer="") is Meaning.DELAYED
    assert table.of(action="delivered", status="2.1.5", reply=None, command=None, answer="") is Meaning.NONE
