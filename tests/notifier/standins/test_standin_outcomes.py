"""The promise of the simulated addresses: the tables, the page that prints them, the segment count."""

from __future__ import annotations

from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.standins.outcomes import (
    CALL_ENDS,
    DELIVERED,
    DELIVERED_EMAIL,
    EMAIL_OUTCOMES,
    HEARD,
    NUMBER_RANGES,
    SMS_OUTCOMES,
    call_end,
    email_outcome,
    ordinary_numbers,
    simulated_number,
    sms_outcome,
)
from notifier.standins.receipt_plan import FINAL_STATES, states_after
from notifier.standins.sms_segments import segment_count

PAGE = Path(__file__).parents[3] / "docs" / "simulated-numbers.md"


@pytest.mark.parametrize("known", NUMBER_RANGES, ids=lambda r: r.country)
def test_every_outcome_can_be_reached_in_every_range(known: object) -> None:
    for outcome in SMS_OUTCOMES:
        for block in range(len(known.blocks)):
            number = simulated_number(outcome.name, known.country, block)
            assert known.pattern.fullmatch(number)
            assert sms_outcome(number) is outcome
            assert phonenumbers.is_possible_number(phonenumbers.parse(number))


@pytest.mark.parametrize("known", NUMBER_RANGES, ids=lambda r: r.country)
def test_ordinary_numbers_are_many_distinct_and_delivered(known: object) -> None:
    numbers = list(ordinary_numbers(known.country))
    assert len(numbers) == len(set(numbers)) == len(known.blocks) * (100 - len(SMS_OUTCOMES))
    assert all(sms_outcome(number) is DELIVERED for number in numbers)


def test_us_numbers_pass_a_strict_number_plan() -> None:
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(number)) for number in ordinary_numbers("US"))


@pytest.mark.parametrize("number", ["+8613912345611", "+447911123411", "+12025550211", "+84912345611"])
def test_a_number_outside_the_ranges_is_never_simulated(number: str) -> None:
    assert sms_outcome(number) is DELIVERED


@given(st.text(max_size=40))
def test_any_text_has_an_outcome(text: str) -> None:
    assert sms_outcome(text) is not None
    assert email_outcome(text) is not None


@pytest.mark.parametrize("known", EMAIL_OUTCOMES, ids=lambda o: o.name)
def test_every_email_word_works_with_and_without_a_tag(known: object) -> None:
    word = known.name.replace("5.y.z", "5.7.1").replace("4.y.z", "4.2.2")
    for address in (f"{word}@x.example", f"{word}+tag@y.example", f"{word.upper()}+a+b@z.example"):
        found = email_outcome(address)
        assert (found.fate, found.code) == (known.fate, known.code)
        if "y.z" in known.name:
            assert found.status in {"5.7.1", "4.2.2"}


@pytest.mark.parametrize("address", ["an@x.example", "x+bounce-5.1.1@x.example", "bounce-5.1.1", "an@slow"])
def test_ordinary_addresses_are_delivered(address: str) -> None:
    assert email_outcome(address) is DELIVERED_EMAIL


def test_the_page_prints_exactly_the_tables() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for outcome in SMS_OUTCOMES:
        assert f"| `{outcome.digits}` | {outcome.name} | {outcome.about} |" in page
    for outcome in EMAIL_OUTCOMES:
        assert f"| `{outcome.name}` | {outcome.about} |" in page
    for known in NUMBER_RANGES:
        assert known.authority in page
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for end in CALL_ENDS:
        assert f"| `{end.digits}` | {end.name} | {end.about} |" in page
    assert len(rows) == len(SMS_OUTCOMES) + len(EMAIL_OUTCOMES) + len(CALL_ENDS)


@pytest.mark.parametrize("outcome", [DELIVERED, *SMS_OUTCOMES], ids=lambda o: o.name)
@pytest.mark.parametrize("first", ["queued", "accepted", "scheduled"])
def test_every_plan_ends_where_the_outcome_says(outcome: object, first: str) -> None:
    states = states_after(first, outcome)
    assert states[-1].status == outcome.final
    assert states[-1].error_code == outcome.final_code
    for index, state in enumerate(states):  # taken up in the middle, the rest is the same
        assert states_after(state.status, outcome) == states[index + 1 :]
    assert all(states_after(final, outcome) == () for final in FINAL_STATES)


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1),
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("x" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("x" * 152 + "€" + "x" * 152, 3),  # the two septets of the euro sign do not straddle
        ("你" * 70, 1),
        ("你" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 66, 2),
        ("😀" * 67, 3),  # 33 pairs fit into 67 units
        ("à la carte", 1),
    ],
)
def test_segments_are_counted_as_on_the_air(text: str, segments: int) -> None:
    assert segment_count(text) == segments


def test_the_page_names_every_end_of_a_call() -> None:
    page = PAGE.read_text("utf-8")
    for end in CALL_ENDS:
        assert f"| `{end.digits}` | {end.name} | {end.about} |" in page
        for known in NUMBER_RANGES:
            number = known.form.format(block=known.blocks[0], last=end.digits)
            assert call_end(number) is end
    assert call_end("+447911123421") is HEARD
