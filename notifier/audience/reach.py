"""How many people of an audience are where, read what, and can be reached by what: all that a forecast wants to know.

There are few such groups in the largest audience, so they are counted as people come in, and kept with the audience.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Group(NamedTuple):
    """People who are alike for sending. `channels` as of `Member.channels`, in that order."""

    country: str
    language: str
    channels: tuple[str, ...]


def as_kept(counts: Mapping[Group, int]) -> dict[str, int]:
    """As the database keeps it: `CN zh-Hans sms,email` to a number."""
    kept = {f"{one.country} {one.language} {','.join(one.channels)}": count for one, count in counts.items() if count}
    return dict(sorted(kept.items()))


def read_kept(kept: Mapping[str, int]) -> dict[Group, int]:
    """The same back."""
    found = {}
    for name, count in kept.items():
        country, language, channels = name.split(" ", 2)
        found[Group(country, language, tuple(filter(None, channels.split(","))))] = count
    return found
