"""Addresses that simulate each outcome: a public promise, kept as data.

A phone number in a simulated range chooses what happens to a message by its last two digits; an email
address chooses by its local part, in any domain. Everything else is delivered. The tables here are
printed for people in ``docs/simulated-numbers.md``; a test holds the two together.

The idea is GOV.UK Notify's: numbers whose behaviour is documented let anyone rehearse a failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """What the stand-in does with a request to send an SMS."""

    ACCEPT = "accept"  # kept, answered 201
    REFUSE = "refuse"  # not kept, answered with an error that is about this recipient
    BUSY_FIRST = "busy_first"  # the first tries are answered 429 and not kept, later ones accepted
    ERROR_NOT_KEPT = "error_not_kept"  # not kept, answered 5xx
    ERROR_KEPT = "error_kept"  # kept, and yet answered 500: the sender cannot know
    CUT_NOT_KEPT = "cut_not_kept"  # not kept, connection cut without an answer
    CUT_KEPT = "cut_kept"  # kept, connection cut without an answer
    SLOW = "slow"  # kept at once, answered late


class Receipts(StrEnum):
    """How status callbacks of an accepted SMS travel."""

    IN_ORDER = "in_order"
    NONE = "none"  # the state moves on, but only polling shows it
    TWICE = "twice"  # every callback arrives two times
    LATEST_FIRST = "latest_first"  # "delivered" arrives before "sent"


@dataclass(frozen=True, slots=True)
class SmsOutcome:
    """One simulated fate of an SMS.

    ``digits`` are the last two of the number; ``http_status`` and ``error_code`` belong to the answer
    when it is an error; ``final`` and ``final_code`` are where an accepted message ends.
    """

    digits: str
    name: str
    about: str
    answer: Answer = Answer.ACCEPT
    http_status: int = 201
    error_code: int | None = None
    final: str = "delivered"
    final_code: int | None = None
    receipts: Receipts = Receipts.IN_ORDER


DELIVERED = SmsOutcome("", "delivered", "Accepted, sent, delivered.")

BUSY_TRIES = 2
"""How many tries the numbers of ``busy-first`` and the addresses of ``greylist`` turn away."""

SMS_OUTCOMES: tuple[SmsOutcome, ...] = (
    SmsOutcome("01", "queue-overflow", "Failed, 30001: queue overflow.", final="failed", final_code=30001),
    SmsOutcome(
        "03",
        "unreachable",
        "Undelivered, 30003: phone off or out of reach.",
        final="undelivered",
        final_code=30003,
    ),
    SmsOutcome("04", "blocked", "Undelivered, 30004: message blocked.", final="undelivered", final_code=30004),
    SmsOutcome("05", "unknown-handset", "Undelivered, 30005: no such phone.", final="undelivered", final_code=30005),
    SmsOutcome("06", "landline", "Undelivered, 30006: landline.", final="undelivered", final_code=30006),
    SmsOutcome("07", "filtered", "Failed, 30007: filtered as unwanted.", final="failed", final_code=30007),
    SmsOutcome("08", "unknown-error", "Undelivered, 30008: unknown error.", final="undelivered", final_code=30008),
    SmsOutcome("10", "opted-out", "Refused, 400 with 21610: recipient opted out.", Answer.REFUSE, 400, 21610),
    SmsOutcome("11", "invalid-number", "Refused, 400 with 21211: invalid number.", Answer.REFUSE, 400, 21211),
    SmsOutcome("12", "no-route", "Refused, 400 with 21612: no route to this number.", Answer.REFUSE, 400, 21612),
    SmsOutcome("14", "not-mobile", "Refused, 400 with 21614: not a mobile number.", Answer.REFUSE, 400, 21614),
    SmsOutcome("29", "busy-first", "First two tries 429 with 20429, then delivered.", Answer.BUSY_FIRST, 429, 20429),
    SmsOutcome("40", "silent", "Delivered, but no callback is ever sent.", receipts=Receipts.NONE),
    SmsOutcome("41", "callbacks-twice", "Delivered; every callback arrives twice.", receipts=Receipts.TWICE),
    SmsOutcome(
        "42",
        "callbacks-reversed",
        "Delivered; callbacks arrive latest first.",
        receipts=Receipts.LATEST_FIRST,
    ),
    SmsOutcome("44", "never-confirmed", "Stays at sent: the network never confirms.", final="sent"),
    SmsOutcome("45", "slow", "Accepted at once, answered late, delivered.", Answer.SLOW),
    SmsOutcome("50", "error-not-accepted", "500 with 20500; not accepted.", Answer.ERROR_NOT_KEPT, 500, 20500),
    SmsOutcome(
        "51",
        "error-but-accepted",
        "500 with 20500, although accepted; delivered.",
        Answer.ERROR_KEPT,
        500,
        20500,
    ),
    SmsOutcome("52", "answer-lost", "Accepted, connection cut before the answer; delivered.", Answer.CUT_KEPT),
    SmsOutcome("53", "request-lost", "Connection cut before the answer; not accepted.", Answer.CUT_NOT_KEPT),
    SmsOutcome("54", "unavailable", "503 with 20503; not accepted.", Answer.ERROR_NOT_KEPT, 503, 20503),
)

_BY_DIGITS = {outcome.digits: outcome for outcome in SMS_OUTCOMES}
_BY_NAME = {outcome.name: outcome for outcome in (DELIVERED, *SMS_OUTCOMES)}


@dataclass(frozen=True, slots=True)
class NumberRange:
    """A range whose last two digits choose the outcome.

    ``form`` holds ``{block}`` and ``{last}``; ``blocks`` are the values ``{block}`` can take;
    ``pattern`` matches every number of the range; ``authority`` says why nobody owns these numbers.
    """

    country: str
    form: str
    blocks: tuple[str, ...]
    pattern: re.Pattern[str]
    authority: str


_US_AREAS = ("202", "206", "212", "213", "303", "312", "404", "415", "503", "617")

NUMBER_RANGES: tuple[NumberRange, ...] = (
    NumberRange(
        "GB",
        "+447700900{block}{last}",
        tuple(str(n) for n in range(10)),
        re.compile(r"\+447700900\d{3}"),
        "Ofcom keeps 07700 900000 to 900999 free for drama.",
    ),
    NumberRange(
        "US",
        "+1{block}55501{last}",
        _US_AREAS,
        re.compile(r"\+1[2-9]\d{2}55501\d{2}"),
        "555-0100 to 555-0199 is set aside for fiction in every area code.",
    ),
    NumberRange(
        "CN",
        "+861400000{block}{last}",
        tuple(f"{n:02d}" for n in range(100)),
        re.compile(r"\+861400000\d{4}"),
        "China sets nothing aside for fiction; 140 is for machines, whose numbers have 13 digits, so an "
        "11-digit 140 number rings nobody.",
    ),
    NumberRange(
        "VN",
        "+8450000{block}{last}",
        tuple(f"{n:02d}" for n in range(100)),
        re.compile(r"\+8450000\d{4}"),
        "Viet Nam sets nothing aside for fiction; no operator holds the prefix 050.",
    ),
)

MAGIC_NUMBERS: dict[str, SmsOutcome] = {
    "+15005550001": _BY_NAME["invalid-number"],
    "+15005550002": _BY_NAME["no-route"],
    "+15005550003": SmsOutcome("", "no-permission", "Refused: 21408.", Answer.REFUSE, 400, 21408),
    "+15005550004": _BY_NAME["opted-out"],
    "+15005550009": _BY_NAME["not-mobile"],
}
"""Twilio's own test numbers mean here what they mean to Twilio's test credentials."""


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call to a simulated number ends. ``receipts`` is how often each callback is sent; ``presses`` is the key
    that is pressed where the TwiML listens for one."""

    digits: str
    name: str
    about: str
    status: str = "completed"
    answered_by: str = "human"
    seconds: int = 45
    presses: str = ""
    receipts: int = 1


HEARD = CallEnd("", "heard", "Answered by a person, heard to the end.")
CALL_ENDS: tuple[CallEnd, ...] = (
    CallEnd("21", "confirmed", "Answered; the person presses 1.", presses="1"),
    CallEnd("22", "busy", "Busy.", "busy", "", 0),
    CallEnd("23", "no-answer", "Rings out, nobody answers.", "no-answer", "", 0),
    CallEnd("24", "dead-line", "The call fails.", "failed", "", 0),
    CallEnd("25", "machine", "An answering machine takes it.", answered_by="machine_end_beep", seconds=60),
    CallEnd("26", "hung-up", "Answered; hung up after 3 seconds.", seconds=3),
    CallEnd("27", "wrong-key", "Answered; the person presses 7.", presses="7"),
    CallEnd("40", "silent-call", "Heard, but no callback is ever sent.", receipts=0),
    CallEnd("41", "calls-back-twice", "Heard; every callback arrives twice.", receipts=2),
)
_CALLS_BY_DIGITS = {end.digits: end for end in CALL_ENDS}


def call_end(number: str) -> CallEnd:
    """How a call to ``number`` ends, once it is accepted."""
    if any(known.pattern.fullmatch(number) for known in NUMBER_RANGES):
        return _CALLS_BY_DIGITS.get(number[-2:], HEARD)
    return HEARD


def sms_outcome(number: str) -> SmsOutcome:
    """The fate of a message to ``number`` (E.164, with the plus sign)."""
    if number in MAGIC_NUMBERS:
        return MAGIC_NUMBERS[number]
    if any(known.pattern.fullmatch(number) for known in NUMBER_RANGES):
        return _BY_DIGITS.get(number[-2:], DELIVERED)
    return DELIVERED


def outcome_named(name: str) -> SmsOutcome:
    """Look an outcome up by its name.

    Raises:
        KeyError: no outcome has this name.
    """
    return _BY_NAME[name]


def _range_of(country: str) -> NumberRange:
    for known in NUMBER_RANGES:
        if known.country == country:
            return known
    raise KeyError(country)


def simulated_number(name: str, country: str = "GB", block: int = 0) -> str:
    """A number in ``country`` that meets the outcome ``name``; ``block`` picks among several.

    Raises:
        KeyError: no such outcome, or no simulated range for the country.
        IndexError: the range has fewer blocks.
    """
    outcome, known = _BY_NAME[name], _range_of(country)
    return known.form.format(block=known.blocks[block], last=outcome.digits or "99")


def ordinary_numbers(country: str = "GB") -> Iterator[str]:
    """All numbers of the country's simulated range whose messages are simply delivered, in order.

    Raises:
        KeyError: no simulated range for the country.
    """
    known = _range_of(country)
    for block in known.blocks:
        for last in range(100):
            if f"{last:02d}" not in _BY_DIGITS:
                yield known.form.format(block=block, last=f"{last:02d}")


class MailFate(StrEnum):
    """What the SMTP stand-in does with a recipient or its message."""

    ACCEPT = "accept"
    REFUSE_RECIPIENT = "refuse_recipient"  # reply with ``code`` at RCPT
    REFUSE_FIRST = "refuse_first"  # the same for the first tries only
    REFUSE_CONTENT = "refuse_content"  # reply with ``code`` after the final dot
    CLOSE = "close"  # reply 421 at RCPT and close
    CUT_AT_RECIPIENT = "cut_at_recipient"  # cut without a reply at RCPT
    CUT_KEPT = "cut_kept"  # kept, cut after the final dot without a reply
    CUT_NOT_KEPT = "cut_not_kept"  # not kept, cut after the final dot without a reply
    SLOW = "slow"  # kept at once, final reply late
    BOUNCE_LATER = "bounce_later"  # kept, reported by a bounce message afterwards


@dataclass(frozen=True, slots=True)
class EmailOutcome:
    """One simulated fate of an email; ``status`` is an enhanced status code (RFC 3463) or empty."""

    name: str
    about: str
    fate: MailFate = MailFate.ACCEPT
    code: int = 250
    status: str = ""


DELIVERED_EMAIL = EmailOutcome("delivered", "Accepted and delivered.")

EMAIL_OUTCOMES: tuple[EmailOutcome, ...] = (
    EmailOutcome("bounce-5.y.z", "550 5.y.z at RCPT.", MailFate.REFUSE_RECIPIENT, 550, "5.1.1"),
    EmailOutcome("temporary-4.y.z", "450 4.y.z at RCPT, every time.", MailFate.REFUSE_RECIPIENT, 450, "4.2.1"),
    EmailOutcome("greylist", "451 4.7.1 at RCPT for two tries, then accepted.", MailFate.REFUSE_FIRST, 451, "4.7.1"),
    EmailOutcome("refuse-data", "554 5.7.1 after the final dot.", MailFate.REFUSE_CONTENT, 554, "5.7.1"),
    EmailOutcome("shutdown", "421 4.3.2 at RCPT, then closed.", MailFate.CLOSE, 421, "4.3.2"),
    EmailOutcome("drop-at-rcpt", "Connection cut at RCPT; not accepted.", MailFate.CUT_AT_RECIPIENT),
    EmailOutcome("drop-after-dot", "Accepted, connection cut after the final dot without a reply.", MailFate.CUT_KEPT),
    EmailOutcome(
        "lose-after-dot",
        "Connection cut after the final dot without a reply; not accepted.",
        MailFate.CUT_NOT_KEPT,
    ),
    EmailOutcome("slow", "Accepted at once, final reply late.", MailFate.SLOW),
    EmailOutcome(
        "late-bounce-5.y.z",
        "Accepted; a bounce message (RFC 3464) with 5.y.z follows.",
        MailFate.BOUNCE_LATER,
        250,
        "5.1.1",
    ),
)

_EMAIL_BY_NAME = {outcome.name: outcome for outcome in (DELIVERED_EMAIL, *EMAIL_OUTCOMES)}
_STATUS_IN_NAME = re.compile(r"(bounce|late-bounce|temporary)-(([245])\.\d{1,3}\.\d{1,3})")


def email_outcome(address: str) -> EmailOutcome:
    """The fate of mail to ``address``, by its local part up to the first plus sign, in any case."""
    word = address.rpartition("@")[0].partition("+")[0].lower()
    if word in _EMAIL_BY_NAME:
        return _EMAIL_BY_NAME[word]
    match = _STATUS_IN_NAME.fullmatch(word)
    if match is None:
        return DELIVERED_EMAIL
    kind, status, first = match.groups()
    if first != ("4" if kind == "temporary" else "5"):
        return DELIVERED_EMAIL
    family = _EMAIL_BY_NAME[f"{kind}-{first}.y.z"]
    return EmailOutcome(word, family.about, family.fate, family.code, status)
