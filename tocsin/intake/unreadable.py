"""Partitions that cannot be read on here: their next messages are damaged, or compressed in a way that this process
cannot undo.

The others are read on. What is wrong is said in the log, by a metric and by readiness until it has gone: messages that
expire, a topic that is made anew, a person who steps over them (`tocsin alert step-over`), or, where a library is
missing, a restart that finds it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog
from kafka.errors import UnsupportedCodecError

from tocsin.intake.offsets import Partition
from tocsin.kafka import is_unreadable

log = structlog.get_logger(__name__)

PACKAGES: Mapping[str, str] = {"lz4": "lz4", "snappy": "python-snappy", "zstd": "zstandard"}
"""The Python package that undoes each compression, where it is not part of Python."""
DAMAGED_AFTER = 3
"""So often in a row the same messages must have come damaged: once may have been the way they came."""
_NAMED = re.compile(r"Libraries for (\w+) ")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands in the way of reading a partition on."""

    offset: int
    """The first message at fault may be this one or any after it in its batch."""
    topic_id: str
    codec: str | None
    """Of messages that cannot be unpacked here; None: they are damaged."""

    @property
    def remedy(self) -> str:
        """What to do about it."""
        if self.codec is None:
            return "look at the brokers' disks; `tocsin alert step-over` reads on behind them"
        package = PACKAGES.get(self.codec)
        if package is None:
            return "let senders compress by gzip or not at all"
        return f"install the Python package {package} where Tocsin runs and restart it"

    def told(self, where: str) -> str:
        """What is wrong at some places, in one sentence."""
        if self.codec is None:
            return f"messages in {where} are damaged ({self.remedy})"
        return f"messages in {where} are compressed in a way that cannot be undone here ({self.codec}: {self.remedy})"


class Unreadable:
    """The partitions of this process that cannot be read on."""

    def __init__(self) -> None:
        self._obstacles: dict[Partition, Obstacle] = {}
        self._tries: dict[Partition, tuple[int, int]] = {}

    def failed(self, partition: Partition, offset: int, topic_id: str, error: Exception) -> bool:
        """Reading a partition on failed here. Whether that is so because of what stands there: then it is left out, at
        the latest when it fails there again."""
        if not is_unreadable(error):
            return False
        if isinstance(error, UnsupportedCodecError):
            named = _NAMED.search(str(error))
            self._leave_out(partition, Obstacle(offset, topic_id, named[1] if named else "an unknown codec"), error)
            return True
        before, tries = self._tries.get(partition, (offset, 0))
        tries = tries + 1 if before == offset else 1
        self._tries[partition] = (offset, tries)
        if tries >= DAMAGED_AFTER:
            self._leave_out(partition, Obstacle(offset, topic_id, None), error)
        else:
            log.warning("alerts.read-again", **partition._asdict(), offset=offset, reason=type(error).__name__)
        return True

    def _leave_out(self, partition: Partition, obstacle: Obstacle, error: Exception) -> None:
        self._tries.pop(partition, None)
        self._obstacles[partition] = obstacle
        said = {"reason": type(error).__name__} if obstacle.codec is None else {"codec": obstacle.codec}
        event = "alerts.damaged" if obstacle.codec is None else "alerts.codec-missing"
        log.error(event, **partition._asdict(), offset=obstacle.offset, remedy=obstacle.remedy, **said)

    def among(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Those of these that cannot be read on, and where they stopped."""
        return {one: self._obstacles[one].offset for one in partitions if one in self._obstacles}

    def is_gone(self, partition: Partition, *, oldest: int, topic_id: str, stored: int | None) -> bool:
        """Look whether what stood in the way has gone: expired, deleted, the topic made anew, or stepped over (`stored`
        is where reading is to go on)."""
        obstacle = self._obstacles[partition]
        stays = max(oldest, stored or 0) <= obstacle.offset
        if stays and topic_id in (obstacle.topic_id, ""):
            return False
        del self._obstacles[partition]
        log.info("alerts.read-on", **partition._asdict(), oldest=oldest, stored=stored)
        return True

    def told(self, partitions: Collection[Partition] | None) -> str | None:
        """What is wrong with these (None: with all that are known of); None when they can be read on."""
        at_fault = sorted(self._obstacles if partitions is None else self.among(partitions))
        places: dict[str | None, list[str]] = {}
        shown: dict[str | None, Obstacle] = {}
        for partition in at_fault:
            obstacle = self._obstacles[partition]
            codec = obstacle.codec
            place = f"{partition.topic}-{partition.partition} from {obstacle.offset} on"
            places.setdefault(codec, []).append(place if codec is None else partition.topic)
            shown[codec] = obstacle
        told = [shown[codec].told(", ".join(sorted(set(places[codec])))) for codec in sorted(shown, key=str)]
        return "; ".join(told) or None
