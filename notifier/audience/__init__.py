"""Audiences: whom a campaign tells, imported from CSV, NDJSON or Parquet, with contacts in the vault."""

from notifier.audience.folding import Member
from notifier.audience.importer import Audience, AudienceRefused, Audiences, RowReport
from notifier.audience.records import AudienceFormat, ImportLimits
from notifier.audience.row import Person, RowChecker, RowFault, language_chooser

__all__ = [
    "Audience",
    "AudienceFormat",
    "AudienceRefused",
    "Audiences",
    "ImportLimits",
    "Member",
    "Person",
    "RowChecker",
    "RowFault",
    "RowReport",
    "language_chooser",
]
