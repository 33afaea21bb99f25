"""What a mail that came back says. Addresses stay out of `repr`, and must not go into logs or events."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from notifier.bounces.meanings import Action, Command, Meaning


class MailKind(StrEnum):
    """What a mail is."""

    DSN = "dsn"
    """A delivery status notification (RFC 3464): failure, delay or success."""
    BOUNCE = "bounce"
    """A report of failure or delay in a form of its own."""
    AUTO_REPLY = "auto-reply"
    """Sent by a machine for its owner (RFC 3834): away, ticket opened."""
    FEEDBACK = "feedback-report"
    """Somebody called our mail unwanted (RFC 5965)."""
    NONE = "none"
    """Anything else."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a report says of one recipient.

    `recipient` is the address that the mail was sent to, as far as the report tells; `final_recipient` the one it was
    last tried at. `status` is an enhanced code (RFC 3463), `reply` an SMTP reply code.
    """

    recipient: str = field(repr=False)
    final_recipient: str = field(repr=False)
    action: Action
    status: str | None
    reply: str | None
    command: Command | None
    meaning: Meaning

    @property
    def code(self) -> str:
        """Reply and enhanced code, as kept with a delivery; never a text."""
        return " ".join(part for part in (self.reply, self.status) if part) or "bounce"


@dataclass(frozen=True, slots=True)
class MailReport:
    """A mail, read. `envelope_id` is what we called the mail when we sent it (ENVID, RFC 3461); `message_id` is that of
    the mail it is about, without angle brackets; `feedback` the kind of a complaint."""

    kind: MailKind
    digest: str
    """SHA-256 of the mail, in hexadecimal."""
    findings: tuple[Finding, ...] = ()
    addressed_to: tuple[str, ...] = field(default=(), repr=False)
    """Where it was sent to, as far as its headers tell: one of them may be an envelope sender of ours."""
    returned_from: tuple[str, ...] = field(default=(), repr=False)
    """Envelope senders of the mail it is about, where it says so."""
    envelope_id: str | None = None
    message_id: str | None = field(default=None, repr=False)
    feedback: str | None = None
    fault: str | None = None
    """Why it could not be read whole."""
