"""Saving and reading events: our record against a bare `Application` with the stock JSON transcoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from bench.rounds import Comparison, Work, compare
from bench.streams import Alert, BareSide, OurSide, alerts, bare_application, our_record

PAGE = 1000
PER_INCIDENT = 19
"""Alerts of one incident; with its report, 20 events."""

ALERTS_PER_PAGE = PAGE // (PER_INCIDENT + 1) * PER_INCIDENT

S = TypeVar("S", OurSide, BareSide)


def _events(some: Sequence[Alert]) -> int:
    return len(some) + math.ceil(len(some) / PER_INCIDENT)


def _fresh(folder: Path) -> str:
    return str(folder / f"{uuid4().hex}.sqlite")


def save_single(folder: Path, events: int, runs: int) -> Comparison:
    """One command, one event, one transaction."""

    def ours(_run: int) -> Work:
        record, some = our_record(_fresh(folder)), alerts(events)

        def work() -> int:
            for start in range(0, len(some), PER_INCIDENT):
                side = OurSide()
                for alert in some[start : start + PER_INCIDENT]:
                    side.link(alert)
                    record.commit(side.incident)
            return _events(some)

        return work

    def bare(_run: int) -> Work:
        application, some = bare_application(_fresh(folder)), alerts(events)

        def work() -> int:
            for start in range(0, len(some), PER_INCIDENT):
                side = BareSide()
                for alert in some[start : start + PER_INCIDENT]:
                    side.link(alert)
                    application.save(side.incident)
            return _events(some)

        return work

    return compare("save, one event per transaction", aim=0.8, ours=ours, bare=bare, runs=runs)


def save_batches(folder: Path, events: int, runs: int) -> Comparison:
    """A thousand events per transaction, of many incidents."""

    def ours(_run: int) -> Work:
        record, some = our_record(_fresh(folder)), alerts(events)

        def work() -> int:
            for start in range(0, len(some), ALERTS_PER_PAGE):
                record.commit(*(side.incident for side in _sides(OurSide, some[start : start + ALERTS_PER_PAGE])))
            return _events(some)

        return work

    def bare(_run: int) -> Work:
        application, some = bare_application(_fresh(folder)), alerts(events)

        def work() -> int:
            for start in range(0, len(some), ALERTS_PER_PAGE):
                application.save(*(side.incident for side in _sides(BareSide, some[start : start + ALERTS_PER_PAGE])))
            return _events(some)

        return work

    return compare(f"save, {PAGE} events per transaction", aim=0.8, ours=ours, bare=bare, runs=runs)


def _sides(kind: type[S], some: Sequence[Alert]) -> list[S]:
    sides = []
    for start in range(0, len(some), PER_INCIDENT):
        side = kind()
        for alert in some[start : start + PER_INCIDENT]:
            side.link(alert)
        sides.append(side)
    return sides


def read(folder: Path, events: int, runs: int) -> Comparison:
    """The whole record in order, in pages, as event objects."""
    some = alerts(events)
    record, application = our_record(_fresh(folder)), bare_application(_fresh(folder))
    record.commit(*(side.incident for side in _sides(OurSide, some)))
    application.save(*(side.incident for side in _sides(BareSide, some)))

    def ours(_run: int) -> Work:
        def work() -> int:
            position, total = 0, 0
            while page := record.read(position, PAGE):
                position, total = page[-1].position, total + len(page)
            return total

        return work

    def bare(_run: int) -> Work:
        def work() -> int:
            position, total = 0, 0
            while page := application.recorder.select_notifications(position, PAGE, inclusive_of_start=False):
                events_read: list[Any] = [application.mapper.to_domain_event(stored) for stored in page]
                position, total = page[-1].id, total + len(events_read)
            return total

        return work

    return compare("read, in order", aim=0.8, ours=ours, bare=bare, runs=runs)
