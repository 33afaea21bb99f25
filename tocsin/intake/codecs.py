"""Partitions that cannot be read here, because messages in them are compressed in a way this process cannot undo.

The others are read on. What is missing is said in the log and by readiness until it is there: a library is found when
the process starts, so it ends with this process, or when the messages at fault are gone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog
from kafka.errors import UnsupportedCodecError

from tocsin.intake.offsets import Partition

log = structlog.get_logger(__name__)

PACKAGES: Mapping[str, str] = {"lz4": "lz4", "snappy": "python-snappy", "zstd": "zstandard"}
"""The Python package that undoes each compression, where it is not part of Python."""
_NAMED = re.compile(r"Libraries for (\w+) ")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands in the way of reading a partition on."""

    offset: int
    """The first message at fault may be this one or any after it in its batch."""
    topic_id: str
    codec: str

    @property
    def remedy(self) -> str:
        """What to do about it."""
        package = PACKAGES.get(self.codec)
        if package is None:
            return "let senders compress by gzip or not at all"
        return f"install the Python package {package} where Tocsin runs and restart it"


class Unreadable:
    """The partitions of this process that cannot be read."""

    def __init__(self) -> None:
        self._obstacles: dict[Partition, Obstacle] = {}

    def add(self, partition: Partition, offset: int, topic_id: str, error: UnsupportedCodecError) -> None:
        """Leave a partition out from now on."""
        named = _NAMED.search(str(error))
        obstacle = Obstacle(offset, topic_id, named[1] if named else "an unknown codec")
        self._obstacles[partition] = obstacle
        log.error(
            "alerts.codec-missing", **partition._asdict(), offset=offset, codec=obstacle.codec, remedy=obstacle.remedy
        )

    def among(self, partitions: Collection[Partition]) -> set[Partition]:
        """Those of these that cannot be read."""
        return {partition for partition in partitions if partition in self._obstacles}

    def is_gone(self, partition: Partition, *, oldest: int, topic_id: str) -> bool:
        """Look whether what stood in the way has gone: expired, deleted, or the topic made anew."""
        obstacle = self._obstacles[partition]
        if oldest <= obstacle.offset and topic_id in (obstacle.topic_id, ""):
            return False
        del self._obstacles[partition]
        log.info("alerts.codec-not-needed-any-more", **partition._asdict(), codec=obstacle.codec)
        return True

    def told(self, partitions: Collection[Partition] | None) -> str | None:
        """What is wrong with these (None: with all that are known of), in one sentence; None when they can be read."""
        at_fault = sorted(self._obstacles if partitions is None else self.among(partitions))
        if not at_fault:
            return None
        by_codec = {self._obstacles[partition].codec: self._obstacles[partition].remedy for partition in at_fault}
        topics = ", ".join(sorted({partition.topic for partition in at_fault}))
        remedies = "; ".join(f"{codec}: {remedy}" for codec, remedy in sorted(by_codec.items()))
        return f"messages in {topics} are compressed in a way that cannot be undone here ({remedies})"
