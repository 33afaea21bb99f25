"""What every decision on record asks for, whatever it is about: a person who takes it, and a reason. Pure."""

from __future__ import annotations

from incidents.errors import Forbidden, InvalidInput
from incidents.privacy import refuse_contacts
from incidents.record import Context

MAX_REASON = 2000


def must_be_person(context: Context, do_what: str) -> None:
    """Forbidden for machines. `do_what`: "pause a campaign"."""
    if not context.actor.startswith("user:"):
        raise Forbidden(f"Only a person may {do_what}.")


def tidy_reason(text: str, field: str = "reason", *, most: int = MAX_REASON, wanted: str = "Give a reason.") -> str:
    """The reason as it goes on record. InvalidInput when it is missing (`wanted` says what is), too long, or names a
    contact."""
    reason = text.strip()
    if not reason:
        raise InvalidInput(wanted, field=field)
    if len(reason) > most:
        raise InvalidInput(f"The reason is longer than {most} characters.", field=field)
    refuse_contacts(reason, field)
    return reason
