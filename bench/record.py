"""Saving and reading events: our record against a bare `Application` with the stock JSON transcoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.rounds import Comparison, Work, compare
from bench.streams import BareSide, OurSide, alerts, bare_application, our_record

PAGE = 1000


def _fresh(folder: Path) -> str:
    return str(folder / f"{uuid4().hex}.sqlite")


def save_single(folder: Path, events: int, runs: int) -> Comparison:
    """One command, one event, one transaction."""

    def ours(_run: int) -> Work:
        record, side, some = our_record(_fresh(folder)), OurSide(), alerts(events)
        record.commit(side.incident)

        def work() -> int:
            for alert in some:
                side.link(alert)
                record.commit(side.incident)
            return len(some)

        return work

    def bare(_run: int) -> Work:
        application, side, some = bare_application(_fresh(folder)), BareSide(), alerts(events)
        application.save(side.incident)

        def work() -> int:
            for alert in some:
                side.link(alert)
                application.save(side.incident)
            return len(some)

        return work

    return compare("save, one event per transaction", aim=0.8, ours=ours, bare=bare, runs=runs)


def save_batches(folder: Path, events: int, runs: int) -> Comparison:
    """A thousand events per transaction."""

    def ours(_run: int) -> Work:
        record, side, some = our_record(_fresh(folder)), OurSide(), alerts(events)

        def work() -> int:
            for start in range(0, len(some), PAGE):
                for alert in some[start : start + PAGE]:
                    side.link(alert)
                record.commit(side.incident)
            return len(some)

        return work

    def bare(_run: int) -> Work:
        application, side, some = bare_application(_fresh(folder)), BareSide(), alerts(events)

        def work() -> int:
            for start in range(0, len(some), PAGE):
                for alert in some[start : start + PAGE]:
                    side.link(alert)
                application.save(side.incident)
            return len(some)

        return work

    return compare(f"save, {PAGE} events per transaction", aim=0.8, ours=ours, bare=bare, runs=runs)


def read(folder: Path, events: int, runs: int) -> Comparison:
    """The whole record in order, in pages, as event objects."""
    some = alerts(events)
    record, ours_side = our_record(_fresh(folder)), OurSide()
    application, bare_side = bare_application(_fresh(folder)), BareSide()
    for alert in some:
        ours_side.link(alert)
        bare_side.link(alert)
    record.commit(ours_side.incident)
    application.save(bare_side.incident)

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
