"""Who owns a duty: whom it was given to, else whose it is by the settings, else the incident's owner, else the desk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from incidents.errors import InvalidInput
from playbooks.directory import role_of
from projections.deadlines.deadlines import Deadline
from projections.paging import Page
from tocsin.settings_warnings import OwnerSettings, WarningSettings

By = Literal["assignment", "rule", "incident", "default"]
DESK = ""
"""Id of the default list."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner, and what made it one. The default list has no id and no name."""

    id: str
    name: str
    by: By

    def shown(self) -> dict[str, str]:
        """For an answer: no address."""
        return {"id": self.id, "name": self.name, "by": self.by}


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """What the owner of a duty depends on."""

    duty_id: str
    rule: str
    jurisdiction: str
    recipient_kind: str
    assigned_to: str = ""
    incident_assignee: str = ""


def of_deadline(duty: Deadline) -> Owned:
    """What the owner of a duty depends on, from the deadlines."""
    return Owned(
        duty_id=duty.duty_id,
        rule=duty.rule,
        jurisdiction=duty.jurisdiction,
        recipient_kind=duty.recipient_kind,
        assigned_to=duty.assigned_to or "",
        incident_assignee=duty.incident_assignee or "",
    )


def with_owners(page: Page[Deadline], settings: WarningSettings) -> Page[Deadline]:
    """The deadlines with the owner of each."""
    owners = Owners(settings)
    items = tuple(duty.model_copy(update={"owner": owners.of(of_deadline(duty)).shown()}) for duty in page.items)
    return page.model_copy(update={"items": items})


class Owners:
    """The owners of the settings."""

    def __init__(self, settings: WarningSettings) -> None:
        self._owners: Mapping[str, OwnerSettings] = settings.owners

    def known(self) -> dict[str, str]:
        """Id to name."""
        return {owner_id: owner.name for owner_id, owner in self._owners.items()}

    def named(self, owner_id: str) -> OwnerSettings:
        """The owner of that id. InvalidInput names those there are."""
        if owner_id not in self._owners:
            there = ", ".join(sorted(self._owners)) or "none; name them under [warnings.owners]"
            raise InvalidInput(
                f"There is no owner {owner_id[:64]!r} in the settings; there are: {there}.", field="owner"
            )
        return self._owners[owner_id]

    def of(self, duty: Owned) -> Owner:
        """Who owns it. An owner who is no longer in the settings owns nothing: the next in line does."""
        if duty.assigned_to in self._owners:
            return self._owner(duty.assigned_to, "assignment")
        fitting = [(_fit(owner, duty), owner_id) for owner_id, owner in self._owners.items()]
        best = max((found for found in fitting if found[0]), key=lambda found: found[0], default=None)
        if best is not None:
            return self._owner(best[1], "rule")
        assignee = duty.incident_assignee.lower()
        if assignee in self._owners:
            return self._owner(assignee, "incident")
        return Owner(DESK, "", "default")

    def _owner(self, owner_id: str, by: By) -> Owner:
        return Owner(owner_id, self._owners[owner_id].name, by)


def _fit(owner: OwnerSettings, duty: Owned) -> tuple[int, ...]:
    """How exactly an owner's criteria name a duty: empty when one of them does not, or where there are none.

    The rule counts most, then the recipient's role, the jurisdiction, the kind of recipient; a whole word counts more
    than one with a star. Of two that fit alike the first in the file owns it.
    """
    stated: Sequence[tuple[Sequence[str], str]] = (
        (owner.rules, duty.rule),
        (owner.roles, role_of(duty.duty_id)),
        (owner.jurisdictions, duty.jurisdiction),
        (owner.recipient_kinds, duty.recipient_kind),
    )
    if not any(patterns for patterns, _ in stated):
        return ()
    fits = []
    for patterns, word in stated:
        closest = max((_closeness(pattern, word) for pattern in patterns), default=0)
        if patterns and not closest:
            return ()
        fits.append(closest)
    return tuple(fits)


_WHOLE = 1_000


def _closeness(pattern: str, word: str) -> int:
    if pattern.endswith("*"):
        return len(pattern) if word.startswith(pattern[:-1]) else 0
    return _WHOLE if pattern == word else 0
