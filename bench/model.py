"""What workers that share something can do together: a small model, held against what was measured.

Every path of Tocsin is workers that take turns between their own computing and a part that only one can do at a time
(the record's lock and the flush of its commit). That is a closed network of two stations, the cores and the lock, and
has an exact solution (mean value analysis, Reiser and Lavenberg 1980; several cores after Seidmann 1987). Its two
numbers per path are measured with one worker alone: the seconds that the machine's cores were busy for one unit of
work, and what is left of its time, which is waiting for what all share. The rates of two, four and eight workers are
then predicted and compared with measured ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ALLOWED = 0.25
"""How far the model may be off, as a share of what was measured."""


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds that one unit (an event, an alert, a recipient) costs: computing, and under what all share."""

    computing: float
    shared: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Units a second of so many workers, and the seconds that all cores together were busy for each."""

    rate: float
    busy: float


@dataclass(frozen=True, slots=True)
class Checked:
    """Units a second of so many workers, measured and as the model says."""

    workers: int
    measured: float
    model: float

    @property
    def off(self) -> float:
        """How far the model is off, as a share of what was measured; above 0 it promises too much."""
        return self.model / self.measured - 1


def rate(work: Work, workers: int, cores: int) -> float:
    """Units a second that so many workers do together on so many cores."""
    queued, waiting = work.computing / cores, work.computing * (cores - 1) / cores
    at_cores = at_lock = found = 0.0
    for number in range(1, workers + 1):
        cores_time, lock_time = queued * (1 + at_cores), work.shared * (1 + at_lock)
        found = number / (cores_time + lock_time + waiting)
        at_cores, at_lock = found * cores_time, found * lock_time
    return found


def work_of(alone: Measured) -> Work:
    """The two numbers, from one worker alone. What it did not compute, it waited."""
    computing = min(alone.busy, 1 / alone.rate)
    return Work(computing, 1 / alone.rate - computing)


def check(found: Mapping[int, Measured], cores: int) -> list[Checked]:
    """The model, which knows one worker, against all that was measured."""
    work = work_of(found[1])
    return [Checked(workers, seen.rate, rate(work, workers, cores)) for workers, seen in sorted(found.items())]


def is_good(checked: list[Checked]) -> bool:
    """Whether the model is near enough everywhere."""
    return all(abs(one.off) <= ALLOWED for one in checked)
