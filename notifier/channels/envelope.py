"""What is said to a mail server about one mail, beside its content: MAIL and RCPT, with what reports are asked for."""

from __future__ import annotations

from uuid import UUID

from incidents.errors import InvalidInput
from notifier.channels.email_form import envelope_address
from notifier.channels.email_settings import EmailSettings


class Envelopes:
    """Makes the commands. `dsn`: the server knows RFC 3461, so that only headers come back, under a name of ours."""

    def __init__(self, settings: EmailSettings, *, dsn: bool) -> None:
        sender = envelope_address(settings.envelope_sender or settings.sender_address)
        if sender is None:
            raise InvalidInput("The sender of our mail is not an address.", field="smtp.sender")
        self._fixed_sender = sender
        self._paths = settings.return_paths
        self._dsn = dsn

    def sender(self, delivery_id: UUID) -> bytes:
        """Where reports about this delivery go."""
        return self._fixed_sender if self._paths is None else self._paths.sender(delivery_id)

    def options(self, delivery_id: UUID, recipient: bytes) -> tuple[list[bytes], list[bytes]]:
        """Parameters of MAIL and of RCPT. Success is not reported: for millions it would be as many mails again."""
        if not self._dsn:
            return [], []
        name = delivery_id.hex.encode() if self._paths is None else self._paths.name(delivery_id)
        return [b"RET=HDRS", b"ENVID=" + name], [b"NOTIFY=FAILURE,DELAY", b"ORCPT=rfc822;" + _xtext(recipient)]

    def commands(self, delivery_id: UUID, recipient: bytes) -> tuple[bytes, bytes]:
        """MAIL and RCPT, without line ends."""
        of_mail, of_rcpt = self.options(delivery_id, recipient)
        mail = b" ".join((b"MAIL FROM:<%b>" % self.sender(delivery_id), *of_mail))
        return mail, b" ".join((b"RCPT TO:<%b>" % recipient, *of_rcpt))


def _xtext(address: bytes) -> bytes:
    """RFC 3461 section 4: `+` and `=` written as hexadecimal; everything else in an address stands for itself."""
    return address.replace(b"+", b"+2B").replace(b"=", b"+3D")
