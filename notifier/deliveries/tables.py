"""The tables of sending. The record says what happened; these say what is to be done next, and survive a kill."""

from __future__ import annotations

from typing import Any

from sqlalchemy import DDL, BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text, Uuid, event, text

from incidents.record.database import UtcDateTime, metadata

BY_CAMPAIGN: dict[str, Any] = {"postgresql_partition_by": "LIST (campaign_id)"}
"""On PostgreSQL a large campaign has a partition of its own (`notifier.deliveries.partitions`); the rest share one."""

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
    Column("batches", Integer, nullable=False, default=0, server_default="0"),
    Column("channel_order", String(40)),
    Column("channel_rules", Text),
    Column("open", Integer, nullable=False, default=0),
    Column("reached", Integer, nullable=False, default=0),
    Column("accepted", Integer, nullable=False, default=0),
    Column("failed", Integer, nullable=False, default=0),
    Column("ambiguous", Integer, nullable=False, default=0),
    Column("suppressed", Integer, nullable=False, default=0, server_default="0"),
    Column("cancelled", Integer, nullable=False, default=0, server_default="0"),
    Column("cancelled_at", UtcDateTime),
    Column("paused_at", UtcDateTime),
    Column("control_version", Integer, nullable=False, default=0, server_default="0"),
    Column("held_until", UtcDateTime),
    Column("held_code", String(40)),
    Column("holds", Integer, nullable=False, default=0, server_default="0"),
    Column("quiet", String(16)),
    Column("deadline", UtcDateTime),
    Column("measured_at", UtcDateTime),
    Column("measured_done", Integer),
    Column("per_hour", Float),
    Column("relay_batch", Integer, nullable=False, default=0),
    Column("texts_ended", Integer, nullable=False, default=0, server_default="0"),
    Column("texts_filtered", Integer, nullable=False, default=0, server_default="0"),
    Column("filtered_at", UtcDateTime),
    Column("unanswered", String(40)),
    Column("finished_at", UtcDateTime),
    Index("ix_sendings_finished_at", "finished_at"),
)
"""One row per started campaign. `open` ... `cancelled` count recipients by outcome and are kept as outcomes change,
never counted. From `cancelled_at` on nothing new is tried; while `paused_at` is set nobody new is written to. Both
follow from the campaign's events, up to the one of `control_version`. `planned_to` is the position in the audience up
to which batches are cut (`batches` of them); `channel_order` the order in which a person's channels are tried, kept
because it decides who is in which batch.
`held_until`: after a fault of ours (account, sender), nothing is claimed until then; `holds` counts them since somebody
was last told. `quiet`: channels whose batches are cut by country, because there are hours in which people are not
disturbed; `deadline`: when the law wants everybody told. `per_hour`: first attempts an hour, as measured at
`measured_at`, when `measured_done` of them were made. `texts_ended`: text messages of which a network said what became
of them, `texts_filtered` those of them that it filtered, or that went nobody knows why; `filtered_at`: when that was
called out. `unanswered`: why a provider did not say what became of a message, the last time that it did not."""

delivery_batches = Table(
    "delivery_batches",
    metadata,
    Column("campaign_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("channel", String(16), nullable=False),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("recipients", Integer, nullable=False),
    Column("state", String(8), nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("wire_to", Integer, nullable=False),
    Column("settled", Integer, nullable=False),
    Column("zone", String(2)),
    Column("cancelled", Integer, nullable=False, default=0, server_default="0"),
    Column("owner", String(120)),
    Column("fence", Integer, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("claimed_at", UtcDateTime),
    # Both leave out what is done, which is nearly everything after a while.
    Index(
        "ix_delivery_batches_ready",
        "campaign_id",
        "channel",
        "number",
        sqlite_where=text("state = 'ready'"),
        postgresql_where=text("state = 'ready'"),
    ),
    Index(
        "ix_delivery_batches_held",
        "lease_until",
        sqlite_where=text("state = 'held'"),
        postgresql_where=text("state = 'held'"),
    ),
)
"""The first attempt on everybody, by batches: the recipients in audience positions `first` to `last` whose first
channel is `channel` and, where `zone` is set, whose country it is. `state`: `ready` to be claimed from `due_at` on,
`held` by `owner` until `lease_until`, `done`.

Who holds the batch says here, before it writes, up to which position messages may be on the wire (`wire_to`). Whoever
of the batch has a row in `campaign_recipients` is settled or handed to the single attempts below; of those up to
`wire_to` without a row nobody knows, if the holder dies. `settled` counts the rows, `cancelled` those who get none
because the campaign was cancelled before anybody wrote to them. `fence` grows with every claim:
whoever holds an older one can neither move `wire_to` nor enter an outcome."""

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
    **BY_CAMPAIGN,
)
"""One row per person, made when the outcome of the first attempt is entered. `channels` in the order to try;
`reference` is the code printed in the notice."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", Uuid, primary_key=True),
    Column("campaign_id", Uuid, primary_key=True),
    Column("recipient_id", Uuid, nullable=False),
    Column("channel", String(16), nullable=False),
    Column("repeat", Integer, nullable=False, default=0),
    Column("state", String(16), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("tries", Integer, nullable=False, default=0),
    Column("checks", Integer, nullable=False, default=0),
    Column("lease_owner", String(120)),
    Column("lease_fence", Integer, nullable=False, default=0),
    Column("lease_until", UtcDateTime),
    Column("written_at", UtcDateTime),
    Column("provider_id", String(120)),
    Column("code", String(40)),
    Column("provider", String(40)),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("unclear_at", UtcDateTime),
    Column("silent_since", UtcDateTime),
    Index(
        "ix_deliveries_open",
        "campaign_id",
        "due_at",
        sqlite_where=text("phase <> 'done'"),
        postgresql_where=text("phase <> 'done'"),
    ),
    Index("ix_deliveries_campaign_id_recipient_id", "campaign_id", "recipient_id"),
    Index(
        "ix_deliveries_lease_until",
        "lease_until",
        sqlite_where=text("lease_owner IS NOT NULL"),
        postgresql_where=text("lease_owner IS NOT NULL"),
    ),
    **BY_CAMPAIGN,
)
"""One row per attempt on one channel; the first one of each person comes from a batch. `state` and `rank` are what is
known of it (forward only); `phase` is what is to be done with it. `lease_fence` grows with every claim: whoever holds
an older one has lost the right to act. `provider`: by which of the channel's providers it was tried last. `unclear_at`:
when it became unclear what came of it; `silent_since`: when the provider that is asked first gave no answer, as long as
it gives none."""

delivery_log = Table(
    "delivery_log",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("campaign_id", Uuid, nullable=False),
    Column("recipient_id", Uuid),
    Column("delivery_id", Uuid),
    Column("channel", String(16), nullable=False),
    Column("state", String(16)),
    Column("at", UtcDateTime, nullable=False),
    Column("provider_id", String(120)),
    Column("code", String(40)),
    Column("batch", Integer),
    Column("moved", Integer, nullable=False, default=1, server_default="1"),
    Column("moves", Text),
    Index("ix_delivery_log_campaign_id_batch", "campaign_id", "batch"),
    sqlite_autoincrement=True,
)
"""The outbox: moves not yet copied to the record. `batch` is the version of the event that will hold them. A row is one
move, or, where `moves` is set, all those of one group of first attempts (`notifier.deliveries.groups`)."""

early_receipts = Table(
    "early_receipts",
    metadata,
    Column("provider_id", String(64), primary_key=True),
    Column("status", String(32), primary_key=True),
    Column("delivery_id", Uuid, nullable=False),
    Column("campaign_id", Uuid, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("code", String(16)),
    Index("ix_early_receipts_delivery_id", "delivery_id"),
)
"""Receipts of deliveries whose first outcome is not entered yet; they are entered right after it."""

campaign_rows = Table(
    "campaign_rows",
    metadata,
    Column("campaign_id", Uuid, primary_key=True),
    Column("analyzed_at", UtcDateTime),
    Column("exported_at", UtcDateTime),
    Column("exported_rows", BigInteger),
    Column("export_digest", String(64)),
    Column("removal_asked_at", UtcDateTime),
    Column("removal_by", String(120)),
    Column("removal_reason", Text),
    Column("persons", BigInteger),
    Column("attempts", BigInteger),
    Column("removed_at", UtcDateTime),
)
"""What became of the rows of a finished campaign: written to a file, taken away (`notifier.deliveries.retention`).
`removal_asked_at` without `removed_at`: a removal that a kill broke off, and that goes on."""

for _partitioned in (campaign_recipients, deliveries):
    _rest = DDL(f"CREATE TABLE {_partitioned.name}_rest PARTITION OF {_partitioned.name} DEFAULT")  # type: ignore[no-untyped-call]
    event.listen(_partitioned, "after_create", _rest.execute_if(dialect="postgresql"))
