"""Sees that the record has grown by commits of other processes, for all who follow it here.

One short question a second, in place of two by each follower. On PostgreSQL the listener hears of most commits before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from incidents.record import Record

NAME: Final = "record-head"


class HeadWatch:
    """Wakes the workers of this process when there are events that they may not have seen."""

    def __init__(self, record: Record, wake: Callable[[], None]) -> None:
        self._record = record
        self._wake = wake
        self._head = -1

    def look(self) -> int:
        """Always 0: the next look is after the pause."""
        head = self._record.head()
        if head != self._head:
            self._head = head
            self._wake()
        return 0
