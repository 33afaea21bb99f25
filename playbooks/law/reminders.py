"""Internal reminders for duties whose law has a word ("promptly") and no number. Never a legal date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from playbooks.law.pack import Promptness, Rule
from playbooks.law.period import Unit, Yardstick, duration

DEFAULTS: Mapping[Promptness, timedelta] = MappingProxyType(
    {
        Promptness.IMMEDIATE: timedelta(hours=2),
        Promptness.FIRST_MOMENT: timedelta(hours=1),
        Promptness.PROMPT: timedelta(hours=24),
        Promptness.WITHOUT_UNDUE_DELAY: timedelta(hours=24),
        Promptness.AS_SOON_AS_POSSIBLE: timedelta(hours=24),
        Promptness.EXPEDIENT: timedelta(hours=72),
        Promptness.AT_LATEST: timedelta(hours=24),
        Promptness.AS_REQUIRED: timedelta(hours=24),
    }
)
"""How long after its clock a duty without a number rings, by the word of the law. A choice of this project, not law."""


def _expected(yardstick: Yardstick) -> timedelta | None:
    amount = yardstick.amount_min if yardstick.amount_min is not None else yardstick.amount_max
    unit = {
        Unit.MINUTES: timedelta(minutes=1),
        Unit.HOURS: timedelta(hours=1),
        Unit.CALENDAR_DAYS: timedelta(days=1),
    }.get(yardstick.unit)
    return unit * amount if unit is not None and amount is not None else None


def reminder_after(rule: Rule, start: datetime) -> datetime | None:
    """When an internal reminder rings: the pack's own, else the regulator's yardstick, else the default of the word."""
    wait = duration(rule.reminder) if rule.reminder is not None else None
    if wait is None and rule.period.yardstick is not None:
        wait = _expected(rule.period.yardstick)
    if wait is None and rule.promptness is not None:
        wait = DEFAULTS.get(rule.promptness)
    return start.astimezone(UTC) + wait if wait is not None else None
