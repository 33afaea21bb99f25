"""Audiences: whom a campaign tells, imported from CSV, with contacts in the vault."""

from notifier.audience.csv_records import ImportLimits
from notifier.audience.folding import Member
from notifier.audience.importer import Audience, AudienceRefused, Audiences
from notifier.audience.row import Person, RowChecker, RowFault, language_chooser

__all__ = [
    "Audience",
    "AudienceRefused",
    "Audiences",
    "ImportLimits",
    "Member",
    "Person",
    "RowChecker",
    "RowFault",
    "language_chooser",
]
