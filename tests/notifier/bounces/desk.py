"""One person of one campaign who was told by email, and the mail that comes back."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, insert, select

from incidents.clock import ManualClock
from incidents.record.database import writing
from notifier.bounces.desk import BounceDesk
from notifier.bounces.tables import bounces
from notifier.channels.return_path import ReturnPaths
from notifier.deliveries import DeliveryBook
from notifier.deliveries.moves import new_delivery
from notifier.deliveries.tables import campaign_recipients, deliveries, sendings
from notifier.standins.bounces import bounce_message
from notifier.suppression import SuppressionBook, SuppressionKey
from notifier.suppression.learning import Learner
from notifier.vault import Contact, MasterKeys, Vault
from tests.rows import sending_row

MAILBOX = "b@bounces.harbour.example"
SECRET = b"bounce-secret-for-tests"
KEYS = MasterKeys("test", {"test": bytes(range(32))})
ADDRESS = "Lan.Anh@mail.example"


class Desk:
    """Everything a test of bounces touches, without a server."""

    def __init__(self, engine: Engine, clock: ManualClock) -> None:
        self.engine = engine
        self.clock = clock
        self.paths = ReturnPaths(MAILBOX, SECRET)
        self.book = DeliveryBook(engine, clock, worker="door")
        self.vault = Vault(engine, KEYS, clock)
        self.suppressions = SuppressionBook(engine, SuppressionKey(engine, KEYS), clock)
        self.bounces = BounceDesk(self.book, self.paths, Learner(self.suppressions, self.vault))
        self.campaign = uuid4()
        (self.person,) = self.vault.add([Contact(name="Lan Anh", phone="+447700900123", email=ADDRESS)])
        with writing(engine) as connection:
            connection.execute(
                insert(sendings).values(sending_row(self.campaign, clock.now(), planned=True, open=0, accepted=1))
            )
        self.delivery: UUID = new_delivery(self.campaign, self.person, "email", 0, clock.now())["delivery_id"]

    def told(self, **changes: Any) -> None:
        """The mail was accepted."""
        row = new_delivery(self.campaign, self.person, "email", 0, self.clock.now())
        values = {"state": "accepted", "rank": 3, "phase": "done", "provider_id": "k@harbour.example", **changes}
        with writing(self.engine) as connection:
            connection.execute(
                insert(campaign_recipients).values(
                    campaign_id=self.campaign,
                    recipient_id=self.person,
                    position=1,
                    language="en",
                    channels="email,sms",
                    reference="AAAAA-AAAAA",
                    outcome="accepted",
                )
            )
            connection.execute(insert(deliveries).values(**row | values))

    def report(self, status: str = "5.1.1", *, sender: str | None = None, action: str = "failed") -> bytes:
        """A report about the mail, as a mail server writes one."""
        raw = bounce_message(
            reporting_host="mx.mail.example",
            envelope_sender=self.paths.sender(self.delivery).decode() if sender is None else sender,
            recipient=ADDRESS,
            status=status,
            original=b"Message-ID: <k@harbour.example>\r\nSubject: x\r\n\r\n",
            at=self.clock.now(),
        )
        return raw.replace(b"Action: failed", b"Action: " + action.encode())

    def attempts(self) -> list[tuple[str, str, str | None]]:
        """Channel, state and code of each attempt."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(deliveries).order_by(deliveries.c.channel, deliveries.c.repeat)).all()
        return [(row.channel, row.state, row.code) for row in rows]

    def noted(self) -> list[Any]:
        """What is kept of reports."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(bounces).order_by(bounces.c.status)).all())
