"""What a person sees of an email: headers, plain text, HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from html import unescape

_SHOWN_HEADERS = (
    "From",
    "To",
    "Reply-To",
    "Date",
    "Subject",
    "Message-ID",
    "List-Unsubscribe",
    "Auto-Submitted",
)


@dataclass(frozen=True, slots=True)
class EmailContent:
    """An email, decoded: ``headers`` are the ones worth showing, in order; absent parts are empty."""

    subject: str
    message_id: str
    campaign: str
    headers: tuple[tuple[str, str], ...]
    text: str
    html: str
    attachments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EmailSummary:
    """What is kept beside the bytes of an email, to find it by."""

    subject: str
    message_id: str
    campaign: str
    readable: str


def summary_of(raw: bytes) -> EmailSummary:
    """The summary of an email, by Python's older parser: many times faster, which matters where thousands come."""
    message = message_from_bytes(raw)
    parts = {kind: text for kind in ("plain", "html") if (text := _text_of(message, kind))}
    return EmailSummary(
        subject=_decoded(message, "Subject"),
        message_id=_decoded(message, "Message-ID"),
        campaign=_decoded(message, "X-Tocsin-Campaign")[:200],
        readable=parts.get("plain") or _words(parts.get("html", "")),
    )


def _decoded(message: Message, name: str) -> str:
    value = str(message.get(name, ""))
    try:
        return " ".join(str(make_header(decode_header(value))).split())
    except (HeaderParseError, LookupError, ValueError):  # what is no header is shown as it is
        return value.strip()


def _text_of(message: Message, kind: str) -> str:
    for part in message.walk():
        if part.get_content_type() != f"text/{kind}" or part.get_content_disposition() == "attachment":
            continue
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            try:
                return content.decode(part.get_content_charset("utf-8"), "replace").replace("\r\n", "\n")
            except LookupError:  # an unknown charset
                return content.decode("utf-8", "replace")
    return ""


def read_email(raw: bytes) -> EmailContent:
    """Decode an email. Nothing in a malformed one raises: what cannot be read is left empty or replaced."""
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)  # noqa: S101 - what policy.default makes
    headers = tuple((name, value) for name in _SHOWN_HEADERS if (value := _header(message, name)))
    return EmailContent(
        subject=_header(message, "Subject"),
        message_id=_header(message, "Message-ID"),
        campaign=_header(message, "X-Tocsin-Campaign")[:200],
        headers=headers,
        text=_part(message, "plain"),
        html=_part(message, "html"),
        attachments=tuple(part.get_filename() or part.get_content_type() for part in _attachments(message)),
    )


def _header(message: EmailMessage, name: str) -> str:
    try:
        return str(message.get(name, "")).strip()
    except (ValueError, IndexError, AttributeError):  # the stdlib parser gives up so on some broken headers
        return ""


def _part(message: EmailMessage, kind: str) -> str:
    try:
        part = message.get_body(preferencelist=(kind,))
        return str(part.get_content()) if part is not None else ""
    except (KeyError, LookupError, ValueError, AttributeError):  # unknown charset or broken structure
        return ""


def _attachments(message: EmailMessage) -> list[EmailMessage]:
    try:
        return [part for part in message.iter_attachments() if isinstance(part, EmailMessage)]
    except (KeyError, ValueError, AttributeError):  # a "multipart" that holds no parts
        return []


def _words(html: str) -> str:
    without_blocks = re.sub(r"(?is)<(style|script|head)\b.*?</\1\s*>", " ", html)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", without_blocks))).strip()
