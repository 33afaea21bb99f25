"""Ids of recipients: random, and ascending in the order of the file.

Millions of ids in no order at all are written and read all over the database; ascending ones lie side by side, as do
the contacts of the people of one batch. What is random in them is enough that nobody guesses one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

_COUNTS = 1 << 12
_RANDOM_BYTES = 8


def ascending_ids(count: int, now: datetime) -> Iterator[UUID]:
    """So many new ids of the instant `now` (UUID version 7, RFC 9562 section 5.7, ordered by a counter, section 6.2
    method 1), each greater than the one before; behind 4,096 of them those of the next millisecond."""
    instant, random = int(now.timestamp() * 1000), os.urandom(count * _RANDOM_BYTES)
    for number in range(count):
        milliseconds, counter = instant + number // _COUNTS, number % _COUNTS
        tail = int.from_bytes(random[number * _RANDOM_BYTES : (number + 1) * _RANDOM_BYTES]) >> 2
        yield UUID(int=(milliseconds << 80) | (7 << 76) | (counter << 64) | (2 << 62) | tail)
