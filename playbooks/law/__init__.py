"""Law as data: packs, periods, and the pure derivation of duties from facts. docs/law.md tells how."""

from playbooks.law.calendars import Calendars, HolidayCalendars, WorkCalendar, standard_calendars
from playbooks.law.derive import derive
from playbooks.law.duty import Duty, DutyStatus
from playbooks.law.law import Law, assemble, load_law
from playbooks.law.pack import Pack, Party, Promptness, Recipient, RecipientKind, Rule, Stage, Status
from playbooks.law.reading import parse_pack

__all__ = [
    "Calendars",
    "Duty",
    "DutyStatus",
    "HolidayCalendars",
    "Law",
    "Pack",
    "Party",
    "Promptness",
    "Recipient",
    "RecipientKind",
    "Rule",
    "Stage",
    "Status",
    "WorkCalendar",
    "assemble",
    "derive",
    "load_law",
    "parse_pack",
    "standard_calendars",
]
