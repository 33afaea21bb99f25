"""Whom a filing under a contract goes to: the confirmed contacts of the parties, and what is wrong with them. Pure.

Addresses are opened by the service, for those who may see them; here are versions and warnings only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from playbooks.parties.party import ContactHistory, ContactVersion, Party

PURPOSE = "incidents"
"""Contacts for this purpose go before those for others."""

Code = Literal["no_party", "no_contact", "unconfirmed", "pending", "changed_since"]

WORDS: Mapping[Code, Mapping[str, str]] = {
    "no_party": {
        "en": "NO PARTY is registered for the role {role}. Register it and confirm a contact before you send this.",
        "zh-Hans": "尚未登记角色为 {role} 的相对方。报送前请先登记并确认其联系方式。",
    },
    "no_contact": {
        "en": "{party} has NO CONTACT for this. State one and confirm it before you send this.",
        "zh-Hans": "{party} 没有可用的联系方式。报送前请先填写并确认。",
    },
    "unconfirmed": {
        "en": "NO CONTACT of {party} IS CONFIRMED ({purpose}). Confirm the address before you send this.",
        "zh-Hans": "{party} 的联系方式（{purpose}）尚未确认。报送前请先确认地址。",
    },
    "pending": {
        "en": "A NEWER ADDRESS of {party} ({purpose}), stated {at}, WAITS FOR CONFIRMATION. The one before is shown.",
        "zh-Hans": "{party} 的新联系方式（{purpose}，填写于 {at}）尚待确认；此处显示的是此前确认的地址。",
    },
    "changed_since": {
        "en": "THE CONTACT of {party} CHANGED after this filing was drawn up ({at}). Check whom it goes to.",
        "zh-Hans": "本文件拟定（{at}）之后，{party} 的联系方式已变更。请核对报送对象。",
    },
}


@dataclass(frozen=True, slots=True)
class Line:
    """One contact of one party that counts."""

    party: UUID
    name: str
    contact: UUID
    purpose: str
    version: ContactVersion


@dataclass(frozen=True, slots=True)
class Warned:
    """What is wrong with whom the filing goes to."""

    code: Code
    values: Mapping[str, str]

    def words(self, language: str) -> str:
        """In `en` or `zh-Hans`."""
        return WORDS[self.code][language].format(**self.values)


@dataclass(frozen=True, slots=True)
class Receivers:
    """Whom it goes to, and what must be said about that."""

    lines: tuple[Line, ...] = ()
    warnings: tuple[Warned, ...] = ()

    @property
    def points(self) -> tuple[UUID, ...]:
        """The versions that count."""
        return tuple(line.version.point for line in self.lines)


def receivers_of(
    role: str,
    parties: Sequence[Party],
    *,
    drawn_up_at: datetime | None = None,
    drawn_up_with: Sequence[UUID] = (),
) -> Receivers:
    """The contacts of the parties with a role. `drawn_up_with`: the versions that counted when it was drawn up."""
    live = [party for party in parties if party.retired_because is None]
    if not live:
        return Receivers(warnings=(Warned("no_party", {"role": role}),))
    lines: list[Line] = []
    warnings: list[Warned] = []
    for party in live:
        found, wrong = _of_party(party)
        lines += found
        warnings += wrong
        if drawn_up_at is not None and _changed(party, found, drawn_up_with):
            values = {"party": party.description.name, "at": drawn_up_at.strftime("%Y-%m-%d %H:%M UTC")}
            warnings.append(Warned("changed_since", values))
    return Receivers(tuple(lines), tuple(warnings))


def _of_party(party: Party) -> tuple[list[Line], list[Warned]]:
    contacts = [one for one in party.contacts.values() if one.erased_at is None]
    own = [one for one in contacts if one.purpose == PURPOSE] or contacts
    name = party.description.name
    if not own:
        return [], [Warned("no_contact", {"party": name})]
    lines: list[Line] = []
    warnings: list[Warned] = []
    for one in own:
        current = one.current
        if current is not None:
            lines.append(Line(party.id, name, one.contact, one.purpose, current))
        if current is None or one.latest != current:
            warnings.append(_unsure(one, name))
    return lines, warnings


def _unsure(one: ContactHistory, name: str) -> Warned:
    values = {"party": name, "purpose": one.purpose, "at": one.latest.stated_at.strftime("%Y-%m-%d %H:%M UTC")}
    return Warned("unconfirmed" if one.current is None else "pending", values)


def _changed(party: Party, now: Sequence[Line], drawn_up_with: Sequence[UUID]) -> bool:
    """Whether the versions of this party that count are others than those the filing was drawn up with."""
    own = {version.point for one in party.contacts.values() for version in one.versions}
    return {line.version.point for line in now} != own & set(drawn_up_with)
