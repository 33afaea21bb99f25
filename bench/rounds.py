"""Measuring two things fairly: turn by turn in one process, each several times, the order swapped every round."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

Work = Callable[[], int]
"""Does the work and returns how many events it handled."""


class Skipped(Exception):
    """A measurement cannot be made here; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Events per second of several runs."""

    rates: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rates)

    @property
    def spread(self) -> float:
        """Widest distance of a run from the median, as a share of it."""
        return max(abs(rate - self.median) for rate in self.rates) / self.median


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours against the bare library. `ratio` is the median of the ratios of runs that lay side by side."""

    name: str
    aim: float
    ours: Sample
    bare: Sample

    @property
    def ratio(self) -> float:
        return statistics.median(ours / bare for ours, bare in zip(self.ours.rates, self.bare.rates, strict=True))

    @property
    def reached(self) -> bool:
        return self.ratio >= self.aim


Prepare = Callable[[int], Work]
"""Makes ready the run of that number, which is not timed."""


def compare(name: str, *, aim: float, ours: Prepare, bare: Prepare, runs: int) -> Comparison:
    """Prepare and time both sides `runs` times."""
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    for run in range(runs):
        sides = [("ours", ours), ("bare", bare)]
        for side, prepare in sides if run % 2 == 0 else reversed(sides):
            rates[side].append(_rate(prepare(run)))
    return Comparison(name, aim, Sample(tuple(rates["ours"])), Sample(tuple(rates["bare"])))


def _rate(work: Work) -> float:
    with _quiet_collector():
        start = time.perf_counter()
        events = work()
        return events / (time.perf_counter() - start)


@contextmanager
def _quiet_collector() -> Iterator[None]:
    # A collection that the one side's garbage causes must not be paid by the other.
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
