"""Whom a filing under a contract goes to: confirmed contacts, and what is wrong with them is said."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from incidents.record import Context
from playbooks.filings.receivers import WORDS, Receivers, receivers_of
from playbooks.parties.contacts import SealedPoint
from playbooks.parties.events import Direction, PartyDescription
from playbooks.parties.party import Party
from tests.conftest import NIGHT

DESK, PAY = UUID(int=1), UUID(int=2)


def by(minutes: int = 0) -> Context:
    return Context(actor="user:lan", cause=f"command:{uuid4()}", recorded_at=NIGHT + timedelta(minutes=minutes))


def point(number: int) -> SealedPoint:
    return SealedPoint(UUID(int=number), "0" * 64, ("email",))


@pytest.fixture
def mill() -> Party:
    described = PartyDescription(name="Mill GmbH", direction=Direction.DOWNSTREAM, roles=("mill.desk",))
    return Party.register(UUID(int=9), by(), described)


def codes(found: Receivers) -> list[str]:
    return [warning.code for warning in found.warnings]


def test_nobody_in_the_register_is_said(mill: Party) -> None:
    assert codes(receivers_of("mill.desk", [])) == ["no_party"]
    mill.retire(by(), "Contract ended.")
    assert codes(receivers_of("mill.desk", [mill])) == ["no_party"]


def test_a_party_without_a_confirmed_contact_is_said(mill: Party) -> None:
    assert codes(receivers_of("mill.desk", [mill])) == ["no_contact"]

    mill.state_contact(by(), DESK, "incidents", point(11))
    found = receivers_of("mill.desk", [mill])

    assert (codes(found), found.lines) == (["unconfirmed"], ())
    assert "NO CONTACT of Mill GmbH IS CONFIRMED (incidents)" in found.warnings[0].words("en")


def test_the_confirmed_contact_for_incidents_counts(mill: Party) -> None:
    mill.state_contact(by(), PAY, "payments", point(12))
    mill.confirm_contact(by(), PAY, point(12).point, "called")
    assert receivers_of("mill.desk", [mill]).points == (point(12).point,), "any, where none is for incidents"

    mill.state_contact(by(), DESK, "incidents", point(11))
    mill.confirm_contact(by(), DESK, point(11).point, "called")

    found = receivers_of("mill.desk", [mill])
    assert (found.points, codes(found)) == ((point(11).point,), [])


def test_a_newer_address_that_waits_is_said_and_the_one_before_counts(mill: Party) -> None:
    mill.state_contact(by(), DESK, "incidents", point(11))
    mill.confirm_contact(by(), DESK, point(11).point, "called")
    mill.change_contact(by(5), DESK, point(13), "moved")

    found = receivers_of("mill.desk", [mill])

    assert (found.points, codes(found)) == ((point(11).point,), ["pending"])
    assert "2026-11-20 01:05 UTC" in found.warnings[0].words("zh-Hans")


def test_a_contact_that_changed_after_the_filing_was_drawn_up_is_said(mill: Party) -> None:
    mill.state_contact(by(), DESK, "incidents", point(11))
    mill.confirm_contact(by(), DESK, point(11).point, "called")
    drawn_up = {"drawn_up_at": NIGHT + timedelta(minutes=2), "drawn_up_with": receivers_of("mill.desk", [mill]).points}
    assert codes(receivers_of("mill.desk", [mill], **drawn_up)) == []

    mill.change_contact(by(5), DESK, point(13), "moved")
    mill.confirm_contact(by(6), DESK, point(13).point, "called")

    found = receivers_of("mill.desk", [mill], **drawn_up)
    assert (found.points, codes(found)) == ((point(13).point,), ["changed_since"])
    mill.erase_contact(by(7), DESK, "left")
    assert codes(receivers_of("mill.desk", [mill], **drawn_up)) == ["no_contact", "changed_since"]


def test_each_warning_has_words_in_both_languages() -> None:
    assert all(set(words) == {"en", "zh-Hans"} for words in WORDS.values())
