"""Ids of recipients ascend, so that those of one file lie together, and nobody can tell one from another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

from notifier.audience.ids import ascending_ids

NOW = datetime(2026, 11, 22, 23, 41, 5, 218_000, tzinfo=UTC)


def test_they_ascend_in_whatever_order_the_database_compares_them() -> None:
    ids = list(ascending_ids(10_000, NOW)) + list(ascending_ids(10, NOW + timedelta(seconds=1)))

    assert ids == sorted(set(ids))
    assert [one.hex for one in ids] == sorted(one.hex for one in ids)
    assert [one.bytes for one in ids] == sorted(one.bytes for one in ids)


def test_they_are_of_version_seven_and_say_when() -> None:
    for number, one in enumerate(ascending_ids(4_100, NOW)):
        assert (one.version, one.variant) == (7, RFC_4122)
        made = datetime.fromtimestamp((one.int >> 80) / 1000, UTC)
        assert made == NOW + timedelta(milliseconds=number // 4_096)


def test_the_same_instant_gives_other_ids_each_time() -> None:
    def random_part(one: UUID) -> int:
        return one.int & (1 << 62) - 1

    first, second = list(ascending_ids(500, NOW)), list(ascending_ids(500, NOW))
    assert not {random_part(one) for one in first} & {random_part(one) for one in second}
    assert len({random_part(one) for one in first}) == 500
    seen = 0
    for one in first:
        seen |= random_part(one)
    assert seen == (1 << 62) - 1, "every bit of it is drawn"
