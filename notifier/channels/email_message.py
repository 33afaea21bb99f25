"""The bytes of one email: multipart/alternative, the same Message-ID whenever it is told again."""

from __future__ import annotations

from datetime import datetime
from email.charset import BASE64, SHORTEST, Charset
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from uuid import UUID

from incidents.errors import InvalidInput
from notifier.templates import RenderedEmail

_UTF_8 = Charset("utf-8")
"""Our own, because libraries (Apprise is one) change how the whole process encodes; a form is cut by its base64."""
_UTF_8.header_encoding, _UTF_8.body_encoding = SHORTEST, BASE64


def message_id(key: UUID, domain: str) -> str:
    """Depends on the recipient of the campaign only: a repeat carries the same one, so that receivers can fold it."""
    return f"<{key.hex}@{domain}>"


def email_bytes(
    content: RenderedEmail,
    *,
    sender_name: str,
    sender_address: str,
    reply_to: str | None,
    recipient: str,
    language: str,
    identifier: str,
    campaign: UUID,
    at: datetime,
    unsubscribe: str | None = None,
) -> bytes:
    """Headers and both bodies with CRLF line ends. InvalidInput for a line break in any header value."""
    headers = {
        "From": formataddr((sender_name, sender_address), charset=_UTF_8),
        "To": recipient,
        "Subject": Header(content.subject, _UTF_8, header_name="Subject").encode()
        if not content.subject.isascii()
        else content.subject,
        "Date": format_datetime(at),
        "Message-ID": identifier,
        "Auto-Submitted": "auto-generated",  # RFC 3834: no vacation replies, please
        "Content-Language": language,
        "X-Tocsin-Campaign": str(campaign),
    }
    if unsubscribe:
        headers["List-Unsubscribe"] = f"<{unsubscribe}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058 section 3.1
    if reply_to:
        headers["Reply-To"] = reply_to
    for name in ("From", "To", "Reply-To", "List-Unsubscribe"):
        if any(sign in headers.get(name, "") for sign in "\r\n\x00"):
            raise InvalidInput("A mail header cannot hold a line break.", field=name.lower())
    if any(sign in content.subject for sign in "\r\n\x00"):
        raise InvalidInput("A mail subject cannot hold a line break.", field="subject")
    # Boundaries come from the id: no randomness, and the base64 bodies cannot contain them.
    message = MIMEMultipart("alternative", boundary=f"=_{identifier[1:33]}")
    for name, value in headers.items():
        message[name] = value
    message.attach(MIMEText(content.text, "plain", _UTF_8))  # type: ignore[arg-type]  # the stub lacks what it takes
    message.attach(MIMEText(content.html, "html", _UTF_8))  # type: ignore[arg-type]
    return message.as_bytes(policy=message.policy.clone(linesep=SMTP.linesep))
