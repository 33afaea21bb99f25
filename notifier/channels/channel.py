"""What the delivery engine asks of a channel. SMS and calls by Twilio, email by SMTP, instant messages.

A channel never raises for what a provider or network does; it returns an `Outcome`. Just before the instant from
which a message may be on its way it awaits `about_to_write`, which makes that known durably. If that raises, the
channel must not write, and lets the exception through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from notifier.channels.outcome import DeliveryState, Outcome, kept_id
from notifier.channels.personal import PersonalEmail
from notifier.templates import RenderedEmail, RenderedSms, RenderedVoice

AboutToWrite = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One notice to one person by one channel. Address and content stay out of `repr`.

    `marker` is in the content and in no other person's notice; `message_key` is the same for every repeat.
    """

    delivery_id: UUID
    campaign_id: UUID
    message_key: UUID
    address: str = field(repr=False)
    content: RenderedSms | RenderedEmail | RenderedVoice | PersonalEmail = field(repr=False)
    language: str
    marker: str = field(repr=False)
    unsubscribe: str | None = field(default=None, repr=False)
    """Where this person unsubscribes from such notices; None for a notice that the law demands."""


@dataclass(frozen=True, slots=True)
class Found:
    """A message the provider knows of."""

    provider_id: str
    state: DeliveryState
    code: str | None = None
    made_at: datetime | None = None
    """By the provider's clock, where it was asked for."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "provider_id", kept_id(self.provider_id))


class ProviderUnavailable(Exception):
    """The provider did not say; ask again later. Carries a code, no text. `lasting`: it refuses to say, and will until
    somebody mends what it refuses for."""

    def __init__(self, code: str, *, lasting: bool = False) -> None:
        super().__init__(code)
        self.lasting = lasting


class Channel(Protocol):
    """One way to reach people."""

    name: str
    concurrency: int
    """How many sends may run at once."""
    write_timeout: float
    """Seconds after `about_to_write` within which `send` returns."""
    reconciles: bool
    """Whether `find` can tell what became of a message whose answer was lost."""
    has_receipts: bool
    """Whether the provider later reports more than acceptance."""

    async def send(self, message: Outgoing, about_to_write: AboutToWrite) -> Outcome:
        """Try once."""

    async def find(self, address: str, marker: str, after: datetime) -> list[Found]:
        """Messages to this address that carry the marker, sent after that instant. ProviderUnavailable."""

    async def look_up(self, provider_id: str) -> Found | None:
        """What the provider says of one message now. ProviderUnavailable."""

    async def close(self) -> None:
        """Let go of connections."""
