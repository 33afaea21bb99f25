"""The bytes of an email, made once by the `email` library and filled in for each person.

Everything that differs goes through one of three gates: an address must be made of signs that can stand in an envelope
and in a header; ids and dates are of our own making; what stands in a body is base64. So nothing a person is called can
become a header.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from datetime import UTC, datetime
from email.utils import format_datetime
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from markupsafe import escape

from notifier.channels.email_message import email_bytes, message_id
from notifier.channels.personal import EmailWords, PersonalEmail, Piece
from notifier.templates import RenderedEmail

_LINE = 76
_KEY = UUID("6f1d43aa-8d52-4b5e-9c0e-3a7f51e2d9b4")
_TO = "tocsin.place.of.the.recipient@example.invalid"
_AT = datetime(1971, 2, 3, 4, 5, 6, tzinfo=UTC)
_BODIES = ("place of the plain text", "place of the hypertext")
# RFC 5321 section 4.1.2 without quoted strings: what can stand in an envelope and a header as it is.
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+")


class EmailForm:
    """A mail of one campaign in one language by one sender."""

    def __init__(
        self,
        words: EmailWords,
        *,
        sender_name: str,
        sender_address: str,
        reply_to: str | None,
        language: str,
        campaign: UUID,
        domain: str,
    ) -> None:
        """ValueError when the library writes the mail in a way that cannot be cut."""
        made = email_bytes(
            RenderedEmail(subject=words.subject, text=_BODIES[0], html=_BODIES[1]),
            sender_name=sender_name,
            sender_address=sender_address,
            reply_to=reply_to,
            recipient=_TO,
            language=language,
            identifier=message_id(_KEY, domain),
            campaign=campaign,
            at=_AT,
        )
        text, html = (b2a_base64(body.encode()).replace(b"\n", b"\r\n") for body in _BODIES)
        places = {_TO.encode(): "to", _KEY.hex.encode(): "key", _date(_AT): "date", text: "text", html: "html"}
        parts = re.split(b"(" + b"|".join(re.escape(place) for place in places) + b")", made)
        self._fixed = parts[::2]
        self._slots = [places[part] for part in parts[1::2]]
        if any(self._slots.count(slot) != 1 for slot in ("to", "date", "text", "html")) or "key" not in self._slots:
            raise ValueError("the mail cannot be cut")
        # A line that starts with a full stop could end the content (RFC 5321 section 4.5.2). Base64 has none.
        if any(part.startswith(b".") for part in made.split(b"\n")):
            raise ValueError("a line of the mail starts with a full stop")
        self._text, self._html = Base64Form(words.text), Base64Form(words.html)

    def write(self, email: PersonalEmail, recipient: bytes, key: UUID, date: bytes) -> bytes:
        """The content to one person, ready to be sent: lines end with CRLF, none starts with a full stop."""
        name, reference = email.name.encode(), email.reference.encode()
        safe = str(escape(email.name)).encode()
        values = {
            "to": recipient,
            "key": key.hex.encode(),
            "date": date,
            "text": self._text.write({"name": name, "reference": reference}),
            "html": self._html.write({"name": safe, "reference": reference}),
        }
        pieces = [self._fixed[0]]
        for slot, fixed in zip(self._slots, self._fixed[1:], strict=True):
            pieces += (values[slot], fixed)
        return b"".join(pieces)


class Base64Form:
    """A body in base64 (RFC 2045 section 6.8), of which what is the same for everybody is encoded once.

    Three bytes make four signs, so a piece that is the same is encoded for each of the three ways it can be shifted by
    what stands before it. What differs has lines of its own, which may be shorter than the others.
    """

    def __init__(self, pieces: tuple[Piece, ...]) -> None:
        self._pieces = [(tuple(_shifted(words.encode(), by) for by in range(3)), slot) for words, slot in pieces]

    def write(self, values: dict[str, bytes]) -> bytes:
        """The encoded body, with a line break at its end."""
        lines: list[bytes] = []
        open_bytes = b""
        for shifts, slot in self._pieces:
            before, encoded, after = shifts[len(open_bytes) % 3]
            open_bytes += before
            if encoded:
                if open_bytes:
                    lines.append(base64_lines(open_bytes))
                lines.append(encoded)
                open_bytes = after
            if slot is not None:
                open_bytes += values[slot]
        if open_bytes or not lines:
            lines.append(base64_lines(open_bytes))
        return b"".join(lines)


def base64_lines(content: bytes) -> bytes:
    """Base64 in lines of 76 signs, each ended by CRLF."""
    signs = b2a_base64(content, newline=False)
    if len(signs) <= _LINE:
        return signs + b"\r\n"
    return b"".join(signs[at : at + _LINE] + b"\r\n" for at in range(0, len(signs), _LINE))


def _shifted(words: bytes, shift: int) -> tuple[bytes, bytes, bytes]:
    """The words behind `shift` bytes of an unfinished triple: what completes it, what is encoded already, what is left.

    Words too short for that are not encoded yet."""
    ahead = -shift % 3
    whole = (len(words) - ahead) // 3 * 3
    if whole <= 0:
        return words, b"", b""
    return words[:ahead], base64_lines(words[ahead : ahead + whole]), words[ahead + whole :]


def envelope_address(address: str) -> bytes | None:
    """The address as SMTP and a header carry it, an international domain in its ASCII form; None where neither can."""
    if not address.isascii():
        try:
            checked = validate_email(address, check_deliverability=False, allow_smtputf8=False, test_environment=True)
        except EmailNotValidError:
            return None
        address = checked.ascii_email or ""
    if len(address) > 254 or not _ADDRESS.fullmatch(address):
        return None
    return address.encode("ascii")


def _date(at: datetime) -> bytes:
    return format_datetime(at).encode()


class DateHeader:
    """The value of a Date header, made once a second."""

    def __init__(self) -> None:
        self._second: datetime | None = None
        self._value = b""

    def at(self, instant: datetime) -> bytes:
        """The value for an instant."""
        second = instant.replace(microsecond=0)
        if second != self._second:
            self._second, self._value = second, _date(second)
        return self._value
