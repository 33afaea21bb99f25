"""Audiences: who a campaign is for, by random recipient id. Contacts are in the vault, not here."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Index, Integer, LargeBinary, String, Table, Uuid, false, text

from incidents.record.database import UtcDateTime, metadata

audiences = Table(
    "audiences",
    metadata,
    Column("audience_id", Uuid, primary_key=True),
    Column("token", Uuid, nullable=False),
    Column("status", String(16), nullable=False),
    Column("imported_at", UtcDateTime, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("cause", String(120), nullable=False),
    Column("rows", Integer, nullable=False, default=0),
    Column("recipients", Integer, nullable=False, default=0),
    Column("folded", Integer, nullable=False, default=0),
    Column("faulty", Integer, nullable=False, default=0),
    Column("by_language", JSON, nullable=False, default=dict),
    Column("by_channel", JSON, nullable=False, default=dict),
    Column("by_country", JSON, nullable=False, default=dict),
    Column("digest", String(120), nullable=False, default=""),
    Column("faults", JSON, nullable=False, default=list),
    Column("accept_valid", Boolean, nullable=False, default=False, server_default=false()),
    Column("sms_places", JSON, nullable=False, default=dict, server_default=text("'{}'")),
    Column("read_digest", String(64), nullable=False, default="", server_default=""),
    Column("reach", JSON, nullable=False, default=dict, server_default=text("'{}'")),
    Index("ix_audiences_status", "status"),
)
"""`token` names the attempt that fills it. `status`: `importing` until every row is in, then `ready`.
`reach`: how many there are of each `country language channels`; less than all in audiences imported before it was
counted. `sms_places` is what an earlier version counted instead, and is not written any more.
`faults`: {row, field, reason}, never the value itself. While it is `importing`, the row says after every batch how far
it is: `rows` read so far, `read_digest` (keyed) of what stood in them, `imported_at` when that was."""

audience_members = Table(
    "audience_members",
    metadata,
    Column("audience_id", Uuid, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("recipient_id", Uuid, nullable=False, unique=True),
    Column("language", String(16), nullable=False),
    Column("country", String(2), nullable=False),
    Column("has_sms", Boolean, nullable=False),
    Column("has_email", Boolean, nullable=False),
    Column("has_im", Boolean, nullable=False, default=False, server_default=false()),
    Column("has_post", Boolean, nullable=False, default=False, server_default=false()),
    Column("leaf", LargeBinary(32)),
)
"""`position` counts from 1 in the order of the file; planning walks along it. `leaf`: the recipient's hash in the
tree that the audience's digest is the root of; NULL in audiences that were imported before there was one."""

audience_marks = Table(
    "audience_marks",
    metadata,
    Column("audience_id", Uuid, primary_key=True),
    Column("mark", LargeBinary(16), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("is_phone", Boolean, nullable=False),
    Column("other", LargeBinary(16)),
    Column("row", Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""Keyed hashes of the contacts that an import has taken in, to know a repeat by; afterwards a person is looked up by
them (`notifier.history`), and an erased person has none. `other`:
the mark of the same member's other contact. `row`: where in the file the member was first."""

audience_row_reports = Table(
    "audience_row_reports",
    metadata,
    Column("audience_id", Uuid, primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("field", String(16), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("reason", String(200), nullable=False),
)
"""Rows that made no recipient of their own, and why: `rejected`, or `folded` into an earlier row. Never what they
held."""
