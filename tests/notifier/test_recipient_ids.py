"""Ids of recipients lie side by side, and nobody can tell by them who is who."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import RFC_4122, UUID

import pytest

from notifier.audience.ids import MOST, ids_side_by_side

NOW = datetime(2026, 11, 22, 23, 41, 5, 218_000, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def random_part(one: UUID) -> int:
    return one.int & (1 << 62) - 1


def test_those_of_one_block_lie_together_however_the_database_compares_them() -> None:
    blocks = [ids_side_by_side(2_000, NOW + number * MILLISECOND) for number in range(3)]

    for written in (lambda one: one, lambda one: one.hex, lambda one: one.bytes):
        assert max(map(written, blocks[0])) < min(map(written, blocks[1]))
        assert max(map(written, blocks[1])) < min(map(written, blocks[2]))
    assert len({one for block in blocks for one in block}) == 6_000


def test_they_are_of_version_seven_and_say_when() -> None:
    for one in ids_side_by_side(100, NOW):
        assert (one.version, one.variant) == (7, RFC_4122)
        assert datetime.fromtimestamp((one.int >> 80) / 1000, UTC) == NOW


def test_their_order_tells_nothing_of_the_order_in_the_file() -> None:
    ids = ids_side_by_side(MOST, NOW)
    places = [sorted(ids).index(one) for one in ids[:200]]
    by_random_part = [one for _, one in sorted((random_part(one), place) for place, one in enumerate(ids))]

    for order in (places, by_random_part):
        risen = sum(first < second for first, second in pairwise(order))
        assert 0.3 < risen / (len(order) - 1) < 0.7, "neither ascending nor descending"
    again = ids_side_by_side(MOST, NOW)
    assert [sorted(again).index(one) for one in again[:200]] != places


def test_the_same_instant_gives_other_ids_each_time() -> None:
    first, second = ids_side_by_side(500, NOW), ids_side_by_side(500, NOW)
    assert not set(map(random_part, first)) & set(map(random_part, second))
    seen = 0
    for one in first:
        seen |= random_part(one)
    assert seen == (1 << 62) - 1, "every bit of it is drawn"


def test_more_than_there_are_counts_are_refused() -> None:
    assert ids_side_by_side(0, NOW) == []
    with pytest.raises(ValueError, match="4097 ids"):
        ids_side_by_side(MOST + 1, NOW)
