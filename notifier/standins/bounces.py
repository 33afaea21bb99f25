"""Bounce messages: delivery status notifications as RFC 3464 lays them out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.parser import BytesHeaderParser
from email.utils import format_datetime

import aiosmtplib

RETRY = 0.5
"""Seconds before a server that was away is tried again."""

BounceSink = Callable[[str, bytes], Awaitable[None]]
"""Takes the envelope sender the bounce goes to, and the bounce message."""


def bounce_message(
    *, reporting_host: str, envelope_sender: str, recipient: str, status: str, original: bytes, at: datetime
) -> bytes:
    """A failure report about ``recipient`` with the enhanced status code ``status``, as bytes to send."""
    report = MIMEMultipart("report")
    report.set_param("report-type", "delivery-status")
    report["From"] = f"Mail Delivery System <MAILER-DAEMON@{reporting_host}>"
    report["To"] = envelope_sender
    report["Subject"] = "Undelivered Mail Returned to Sender"
    report["Date"] = format_datetime(at)
    report["Auto-Submitted"] = "auto-replied"
    reply = f"550 {status} simulated bounce"
    text = f"Your message to {recipient} could not be delivered.\n\nThe reply was: {reply}\n"
    report.attach(MIMEText(text, "plain", "utf-8"))
    report.attach(_delivery_status(reporting_host, recipient, status, at))
    headers = BytesHeaderParser().parsebytes(original)
    headers.set_payload("")
    returned = MIMEBase("text", "rfc822-headers")
    returned.set_payload(headers.as_string())
    report.attach(returned)
    return report.as_bytes()


def _delivery_status(host: str, recipient: str, status: str, at: datetime) -> Message:
    about_message, about_recipient = Message(), Message()
    about_message["Reporting-MTA"] = f"dns; {host}"
    about_message["Arrival-Date"] = format_datetime(at)
    about_recipient["Final-Recipient"] = f"rfc822; {recipient}"
    about_recipient["Action"] = "failed"
    about_recipient["Status"] = status
    about_recipient["Diagnostic-Code"] = f"smtp; 550 {status} simulated bounce"
    part = MIMEBase("message", "delivery-status")
    part.set_payload([about_message, about_recipient])
    return part


def smtp_bounce_sink(host: str, port: int, *, timeout: float = 10.0, retry_for: float = 60.0) -> BounceSink:
    """A sink that hands bounces to an SMTP server, with the empty sender bounces must have. A server that is away or
    puts it off is tried again for so many seconds, as a mail server would."""

    async def send(envelope_sender: str, content: bytes) -> None:
        until = asyncio.get_running_loop().time() + retry_for
        while True:
            try:
                await deliver(envelope_sender, content)
            except aiosmtplib.SMTPResponseException as error:
                if error.code >= 500 or asyncio.get_running_loop().time() >= until:
                    raise
            except (aiosmtplib.SMTPException, OSError):
                if asyncio.get_running_loop().time() >= until:
                    raise
            else:
                return
            await asyncio.sleep(RETRY)

    async def deliver(envelope_sender: str, content: bytes) -> None:
        client = aiosmtplib.SMTP(hostname=host, port=port, timeout=timeout, start_tls=False)
        async with client:
            await client.mail("")
            await client.rcpt(envelope_sender)
            await client.data(content)

    return send
