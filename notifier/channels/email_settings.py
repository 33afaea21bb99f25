"""Where the mail server is, and who we are to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from notifier.channels.dkim import DkimSigner
from notifier.channels.return_path import ReturnPaths
from notifier.channels.unsubscribe import UnsubscribeUrls


@dataclass(frozen=True, slots=True)
class EmailSettings:
    """The mail server and who we are to it. Times in seconds.

    `security`: `starttls` (587), `tls` (465), or `plain` for a server on the same machine. Certificates are checked.
    `content_timeout` bounds the wait for the reply after the final dot; RFC 5321 section 4.5.3.2.6 says 10 minutes.
    """

    host: str
    port: int
    sender_address: str
    sender_name: str
    security: Literal["starttls", "tls", "plain"] = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    envelope_sender: str | None = None
    reply_to: str | None = None
    message_id_domain: str | None = None
    local_hostname: str | None = None
    cert_bundle: str | None = None
    connections: int = 8
    timeout: float = 30.0
    content_timeout: float = 600.0
    max_messages: int = 500
    """Messages per connection before it is renewed."""
    max_idle: float = 20.0
    """Idle seconds after which a kept connection is not trusted any more."""
    window: int = 1000
    """Messages that may be marked as under way at once, at the greatest speed; see `notifier.deliveries.lane`."""
    dsn: bool = True
    """Ask for reports of failure (RFC 3461) where the server offers it."""
    return_paths: ReturnPaths | None = None
    """Envelope senders that name the delivery; they go before `envelope_sender`."""
    signer: DkimSigner | None = None
    unsubscribe: UnsubscribeUrls | None = None
    """Where people unsubscribe from notices that no law demands."""
