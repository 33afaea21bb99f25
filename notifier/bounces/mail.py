"""Raw mail to a parsed message, with bounded work whatever comes. Nothing here raises for what a mail holds."""

from __future__ import annotations

import email
import email.message
import email.policy
import re
from collections.abc import Iterator
from email.message import Message

import structlog

log = structlog.get_logger(__name__)

MAX_BYTES = 512 * 1024
"""What is looked at of a mail. Reports say what they have to say at the start; the returned mail comes after."""
MAX_LINES = 20_000
MAX_LINE = 4_096
MAX_BOUNDARIES = 40
"""Parts in parts: each level is compared with every line."""
MAX_PARTS = 200
_BOUNDARY = re.compile(rb"boundary\s*=", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"\\]{1,64}@[^\s<>()\[\],;:\"\\]{1,253}")


def parsed(raw: bytes) -> tuple[Message, str | None]:
    """The message, and what kept it from being read whole."""
    fault = None
    if len(raw) > MAX_BYTES:
        raw, fault = raw[:MAX_BYTES], "too-long"
    lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    if len(lines) > MAX_LINES:
        lines, fault = lines[:MAX_LINES], "too-long"
    if lines and lines[0].startswith(b"From "):  # of a mailbox file
        lines = lines[1:]
    text = b"\n".join(line[:MAX_LINE] for line in lines)
    if len(_BOUNDARY.findall(text)) > MAX_BOUNDARIES:
        return _headers_only(text), "too-many-parts"
    try:
        return email.message_from_bytes(text, policy=email.policy.compat32), fault
    except Exception as error:  # noqa: BLE001 - logged: a mail that breaks the parser is anybody's to send
        log.info("bounce.unparsable", reason=type(error).__name__)
        return _headers_only(text), "broken"


def _headers_only(text: bytes) -> Message:
    """The header lines that are well-formed, and no body."""
    message = email.message.Message()
    for line in text.partition(b"\n\n")[0].split(b"\n")[:200]:
        name, colon, value = line.decode("ascii", "replace").partition(":")
        if colon and re.fullmatch(r"[A-Za-z0-9-]{1,76}", name):
            message[name] = value.strip()
    return message


def parts_of(message: Message) -> Iterator[Message]:
    """The message and its parts, from the outside in, but not those of a returned mail."""
    waiting, seen = [message], 0
    while waiting and seen < MAX_PARTS:
        part = waiting.pop(0)
        seen += 1
        yield part
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            waiting[:0] = [one for one in part.get_payload() if isinstance(one, Message)]


def header(message: Message, name: str) -> str:
    """The first header of that name as one line, at most 2,000 signs."""
    return next(iter(headers(message, name)), "")


def headers(message: Message, name: str) -> list[str]:
    """All headers of that name, unfolded."""
    return [" ".join(str(value).split())[:2_000] for value in (message.get_all(name) or [])[:50]]


def text_of(part: Message) -> str:
    """The words of a text part, whatever charset it names."""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    charset = part.get_content_charset("utf-8")
    try:
        return payload.decode(charset, "replace")
    except (LookupError, ValueError):  # a charset that nobody knows
        return payload.decode("latin-1")


def address_in(text: str) -> str:
    """The first address in a text; empty where there is none."""
    found = _ADDRESS.search(text)
    return found.group().strip("'`.") if found else ""


def addresses_in(text: str) -> list[str]:
    """All addresses in a text."""
    return _ADDRESS.findall(text[:20_000])[:100]
