"""References of incidents."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.errors import InvalidInput
from incidents.reference import parse_reference, reference_of


def test_it_is_the_first_forty_bits() -> None:
    assert reference_of(UUID(int=0)) == "INC-0000-0000"
    assert reference_of(UUID("ffffffff-ff00-4000-8000-000000000000")) == "INC-ZZZZ-ZZZZ"
    assert reference_of(UUID("00000000-1f00-4000-8000-000000000000")) == "INC-0000-000Z"


@given(st.uuids())
def test_every_reference_reads_back_in_any_spelling(incident_id: UUID) -> None:
    written = reference_of(incident_id)
    bare = written.removeprefix("INC-")
    for typed in (written, written.lower(), bare, bare.replace("-", ""), f" {written} ", written.replace("-", "")):
        assert parse_reference(typed) == written
    assert parse_reference(f"INC-{bare.replace('0', 'O').replace('1', 'l')}") == written


@pytest.mark.parametrize("text", ["", "INC-", "INC-123", "INC-7F3K-9Q2U", "INC-7F3K-9Q2M-1", "x" * 1000])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_reference(text)
    assert caught.value.errors[0].field == "reference"
    assert len(caught.value.detail) < 200
