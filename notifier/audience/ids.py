"""Ids of recipients: random, and side by side for people who were imported together.

Millions of ids in no order at all are written and read all over the database; those of one block lie together, as do
the contacts and the attempts of its people. Within a block they are given out in random order: who has the file and
sees the record must not be able to tell by the ids who is who. And nobody guesses one.
"""

from __future__ import annotations

import os
from datetime import datetime
from uuid import UUID

MOST = 1 << 12
_RANDOM_BYTES = 8


def ids_side_by_side(count: int, now: datetime) -> list[UUID]:
    """New ids of the instant `now` (UUID version 7, RFC 9562 section 5.7, told apart by a counter and 62 random bits),
    at most 4,096, in random order."""
    if count > MOST:
        raise ValueError(f"{count} ids at once; there are {MOST} counts")
    instant = int(now.timestamp() * 1000)
    random, chance = (os.urandom(count * _RANDOM_BYTES) for _ in range(2))
    parts = [slice(number * _RANDOM_BYTES, (number + 1) * _RANDOM_BYTES) for number in range(count)]
    begin, marks = instant << 80 | 7 << 76, 2 << 62
    ids = [
        UUID(int=begin | counter << 64 | marks | int.from_bytes(random[part]) >> 2)
        for counter, part in enumerate(parts)
    ]
    shuffled = sorted(range(count), key=[chance[part] for part in parts].__getitem__)
    return [ids[place] for place in shuffled]
