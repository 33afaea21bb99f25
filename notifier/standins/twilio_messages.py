"""The shapes of Twilio's Messages resource: what a request may say, what an answer looks like.

Source: Twilio's OpenAPI description ``twilio_api_v2010`` and its error dictionary.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import phonenumbers

from notifier.standins.outbox_store import StoredMessage

MAX_BODY = 1600
DEFAULT_SENDER = "+15005550006"  # Twilio's own test sender; stands for a number of a Messaging Service

_SERVICE_SID = re.compile(r"MG[0-9a-f]{32}", re.IGNORECASE)
_ALPHANUMERIC_SENDER = re.compile(r"[A-Za-z0-9 +&_-]{1,11}")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9-]+)*\.?|\[[0-9A-Fa-f:.]+\]")

ERROR_TEXT: dict[int, str] = {
    20003: "Authenticate",
    20404: "The requested resource was not found",
    20429: "Too Many Requests",
    20500: "An internal server error has occurred",
    20503: "Service is temporarily unavailable",
    21211: "Invalid 'To' Phone Number: {to}",
    21212: "The 'From' number is not a valid phone number, shortcode, or alphanumeric sender ID.",
    21408: "Permission to send an SMS has not been enabled for the region indicated by the 'To' number: {to}.",
    21602: "Message body is required.",
    21603: "A 'From' phone number is required.",
    21604: "A 'To' phone number is required.",
    21609: "The 'StatusCallback' URL is not a valid URL.",
    21610: "Attempt to send to unsubscribed recipient",
    21612: "The 'To' phone number: {to}, is not currently reachable via SMS from this sender.",
    21614: "To number: {to}, is not a mobile number",
    21617: "The concatenated message body exceeds the 1600 character limit.",
    21624: "Invalid validity period value",
    21701: "The Messaging Service does not exist.",
    30001: "Queue overflow",
    30003: "Unreachable destination handset",
    30004: "Message blocked",
    30005: "Unknown destination handset",
    30006: "Landline or unreachable carrier",
    30007: "Message filtered",
    30008: "Unknown error",
    30409: "Message is not in a cancelable state.",
    35111: "The SendAt timestamp is missing or cannot be read.",
    35118: "MessagingServiceSid is required to schedule a message",
}


class TwilioProblem(Exception):
    """An error answer of the API: HTTP ``status`` and Twilio ``code``.

    Like the real ones, some messages repeat the number ``to``: who logs them logs personal data.
    """

    def __init__(self, status: int, code: int, message: str = "", *, to: str = "") -> None:
        self.status, self.code = status, code
        self.message = message or ERROR_TEXT[code].replace("{to}", to)
        super().__init__(self.message)

    def body(self) -> dict[str, Any]:
        """The JSON body Twilio gives with an error."""
        return {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """A request to send, checked."""

    to: str
    sender: str
    service_sid: str
    body: str
    status_callback: str
    send_at: datetime | None

    @property
    def campaign(self) -> str:
        """What the sender calls the campaign: the ``campaign`` parameter of its callback address."""
        return parse_qs(urlsplit(self.status_callback).query).get("campaign", [""])[0][:200]


def read_request(form: dict[str, str]) -> MessageRequest:
    """Check the form of a create request in the order Twilio does.

    Raises:
        TwilioProblem: with the code Twilio gives for the first fault found.
    """
    to, sender, service = form.get("To", ""), form.get("From", ""), form.get("MessagingServiceSid", "")
    body = form.get("Body", "")
    if not to:
        raise TwilioProblem(400, 21604)
    if not sender and not service:
        raise TwilioProblem(400, 21603)
    if service and not _SERVICE_SID.fullmatch(service):
        raise TwilioProblem(400, 21701)
    if sender and not _is_sender(sender):
        raise TwilioProblem(400, 21212)
    if not body:
        raise TwilioProblem(400, 21602)
    if not is_number(to):
        raise TwilioProblem(400, 21211, to=to)
    if len(body) > MAX_BODY:
        raise TwilioProblem(400, 21617)
    callback = form.get("StatusCallback", "")
    if callback and not _is_callback(callback):
        raise TwilioProblem(400, 21609)
    period = form.get("ValidityPeriod", "36000")
    if not (period.isascii() and period.isdigit() and 1 <= int(period) <= 36000):
        raise TwilioProblem(400, 21624)
    return MessageRequest(to, sender or DEFAULT_SENDER, service, body, callback, _send_at(form))


def is_number(text: str) -> bool:
    """Whether ``text`` is a possible number in E.164 form."""
    if not re.fullmatch(r"\+[1-9]\d{5,14}", text):
        return False
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(text, None))
    except phonenumbers.NumberParseException:
        return False


def _is_sender(text: str) -> bool:
    return is_number(text) or bool(re.fullmatch(r"\d{3,8}", text) or _ALPHANUMERIC_SENDER.fullmatch(text))


def _is_callback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(_HOST.fullmatch(host) or ":" in host)


def _send_at(form: dict[str, str]) -> datetime | None:
    if form.get("ScheduleType") != "fixed":
        return None
    if not form.get("MessagingServiceSid"):
        raise TwilioProblem(400, 35118)
    try:
        when = datetime.fromisoformat(form.get("SendAt", ""))
    except ValueError:
        raise TwilioProblem(400, 35111) from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def message_body(message: StoredMessage, account_sid: str) -> dict[str, Any]:
    """The Messages resource as JSON. With a Messaging Service the sender and the number of segments
    are known only once the message left its first state."""
    undecided = bool(message.service_sid) and message.status in {"accepted", "scheduled"}
    uri = f"/2010-04-01/Accounts/{account_sid}/Messages/{message.sid}"
    return {
        "account_sid": account_sid,
        "api_version": "2010-04-01",
        "body": message.body,
        "date_created": _rfc2822(message.accepted_at),
        "date_sent": _rfc2822(message.sent_at),
        "date_updated": _rfc2822(message.updated_at),
        "direction": "outbound-api",
        "error_code": int(message.error_code) if message.error_code else None,
        "error_message": ERROR_TEXT.get(int(message.error_code)) if message.error_code else None,
        "from": None if undecided else message.sender,
        "messaging_service_sid": message.service_sid or None,
        "num_media": "0",
        "num_segments": "0" if undecided else str(message.segments),
        "price": None,
        "price_unit": "USD",
        "sid": message.sid,
        "status": message.status,
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": message.recipient,
        "uri": f"{uri}.json",
    }


def _rfc2822(moment: datetime | None) -> str | None:
    return format_datetime(moment.astimezone(UTC)) if moment is not None else None
