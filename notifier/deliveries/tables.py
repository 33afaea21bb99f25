"""The tables of sending. The record says what happened; these say what is to be done next, and survive a kill."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Uuid

from incidents.record.database import UtcDateTime, metadata

_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")

sendings = Table(
    "sendings",
    metadata,
    Column("campaign_id", Uuid, primary_key=True),
    Column("incident_id", Uuid, nullable=False),
    Column("audience_id", Uuid, nullable=False),
    Column("started_reference", String(80), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("drill", Boolean, nullable=False),
    Column("policy", String(16), nullable=False),
    Column("planned_to", Integer, nullable=False, default=0),
    Column("planned", Boolean, nullable=False, default=False),
    Column("open", Integer, nullable=False, default=0),
    Column("reached", Integer, nullable=False, default=0),
    Column("accepted", Integer, nullable=False, default=0),
    Column("failed", Integer, nullable=False, default=0),
    Column("ambiguous", Integer, nullable=False, default=0),
    Column("held_until", UtcDateTime),
    Column("held_code", String(40)),
    Column("relay_batch", Integer, nullable=False, default=0),
    Column("finished_at", UtcDateTime),
    Index("ix_sendings_finished_at", "finished_at"),
)
"""One row per started campaign. `open` ... `ambiguous` count recipients by outcome and are kept as outcomes change,
never counted. `held_until`: after a fault of ours (account, sender), nothing is claimed until then."""

campaign_recipients = Table(
    "campaign_recipients",
    metadata,
    Column("campaign_id", Uuid, primary_key=True),
    Column("recipient_id", Uuid, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("language", String(16), nullable=False),
    Column("channels", String(40), nullable=False),
    Column("reference", String(16), nullable=False),
    Column("outcome", String(16), nullable=False),
    Index("ix_campaign_recipients_reference", "reference"),
)
"""One row per person. `channels` in the order to try; `reference` is the code printed in the notice."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", Uuid, primary_key=True),
    Column("campaign_id", Uuid, nullable=False),
    Column("recipient_id", Uuid, nullable=False),
    Column("channel", String(16), nullable=False),
    Column("repeat", Integer, nullable=False, default=0),
    Column("state", String(16), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("tries", Integer, nullable=False, default=0),
    Column("checks", Integer, nullable=False, default=0),
    Column("lease_owner", String(64)),
    Column("lease_fence", Integer, nullable=False, default=0),
    Column("lease_until", UtcDateTime),
    Column("written_at", UtcDateTime),
    Column("provider_id", String(120)),
    Column("code", String(40)),
    Column("changed_at", UtcDateTime, nullable=False),
    Index("ix_deliveries_phase_due_at", "phase", "due_at"),
    Index("ix_deliveries_campaign_id_recipient_id", "campaign_id", "recipient_id"),
    Index("ix_deliveries_provider_id", "provider_id"),
    Index("ix_deliveries_lease_owner", "lease_owner"),
)
"""One row per attempt on one channel. `state` and `rank` are what is known of it (forward only); `phase` is what is
to be done with it. `lease_fence` grows with every claim: whoever holds an older one has lost the right to act."""

delivery_log = Table(
    "delivery_log",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("campaign_id", Uuid, nullable=False),
    Column("recipient_id", Uuid, nullable=False),
    Column("delivery_id", Uuid, nullable=False),
    Column("channel", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("provider_id", String(120)),
    Column("code", String(40)),
    Column("batch", Integer),
    Index("ix_delivery_log_campaign_id_batch", "campaign_id", "batch"),
    sqlite_autoincrement=True,
)
"""The outbox: moves not yet copied to the record. `batch` is the version of the event that will hold them."""
