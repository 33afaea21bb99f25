"""The buckets that all workers share: whoever draws, and however many do, gets the rate and no more."""

from __future__ import annotations

from datetime import timedelta
from threading import Thread

import pytest
from sqlalchemy import Engine, select

from incidents.clock import ManualClock
from incidents.record.database import reading
from notifier.pacing.book import Drawn, PaceBook
from notifier.pacing.tables import pace_buckets, provider_states


@pytest.fixture
def book(engine: Engine, clock: ManualClock) -> PaceBook:
    return PaceBook(engine, clock)


def test_a_bucket_gives_its_rate_and_no_more(book: PaceBook, clock: ManualClock) -> None:
    assert book.draw("a", 10, 10, 1, 100).units == 10, "it was full"
    wait = book.draw("a", 10, 10, 1, 100)
    assert wait == Drawn(0.0, 0.1)
    given = 0.0
    for _ in range(40):
        clock.advance(timedelta(seconds=0.25))
        given += book.draw("a", 10, 10, 1, 5).units
    assert given == pytest.approx(100, abs=5)
    assert book.draw("b", 10, 10, 1, 100).units == 10, "another bucket is not touched"


def test_what_is_greater_than_the_bucket_goes_when_it_is_full_and_is_owed(book: PaceBook, clock: ManualClock) -> None:
    """A message of four segments by a number that passes one a second."""
    assert book.draw("a", 1, 1, 4, 4).units == 4
    assert book.draw("a", 1, 1, 1, 1).units == 0
    clock.advance(timedelta(seconds=3.9))
    assert book.draw("a", 1, 1, 1, 1).units == 0
    clock.advance(timedelta(seconds=0.2))
    assert book.draw("a", 1, 1, 1, 1).units == 1


def test_a_clock_that_was_set_back_stalls_nothing_for_longer_than_the_limit(
    book: PaceBook, engine: Engine, clock: ManualClock
) -> None:
    assert book.draw("a", 10, 10, 1, 10).units == 10
    clock.advance(timedelta(hours=-3))
    wait = book.draw("a", 10, 10, 1, 10)
    assert (wait.units, wait.wait) == (0.0, 0.1), "as from an empty bucket: not three hours, and nothing for nothing"
    clock.advance(timedelta(seconds=wait.wait))
    assert book.draw("a", 10, 10, 1, 10).units == 1
    with reading(engine) as connection:
        assert connection.execute(select(pace_buckets.c.free_at)).scalar_one() == clock.now()


def test_clocks_that_disagree_give_a_few_buckets_and_not_an_endless_pace(engine: Engine, clock: ManualClock) -> None:
    ahead = ManualClock(clock.now() + timedelta(seconds=8))
    books = (PaceBook(engine, ahead, uptime=lambda: 0.0), PaceBook(engine, clock, uptime=lambda: 0.0))
    given = 0.0
    for _ in range(100):
        given += sum(book.draw("a", 100, 50, 1, 50).units for book in books)
        for one in (ahead, clock):
            one.advance(timedelta(seconds=0.02))
    assert given <= 2 * 100 + 3 * 50, "two seconds' worth, the first full bucket, and one more for setting it right"


def test_what_a_long_message_owes_is_no_clock_set_back(book: PaceBook, clock: ManualClock) -> None:
    assert book.draw("a", 1, 1, 24, 24).units == 24
    assert book.draw("a", 1, 1, 1, 1).wait == pytest.approx(24, abs=1)


def test_many_workers_together_get_the_rate_of_one(book: PaceBook, clock: ManualClock) -> None:
    """Eight at once on one bucket, from an empty start: what they get together is what one would."""
    book.draw("a", 50, 50, 1, 50)
    got: list[float] = []

    def worker() -> None:
        got.extend(book.draw("a", 50, 50, 1, 5).units for _ in range(5))

    for _ in range(3):
        clock.advance(timedelta(seconds=0.5))
        threads = [Thread(target=worker) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(got) == pytest.approx(75)


def test_everybody_sees_which_provider_rests(engine: Engine, book: PaceBook, clock: ManualClock) -> None:
    until = clock.now() + timedelta(seconds=30)
    book.rests("sms", "twilio-2", until, "20003")
    with reading(engine) as connection:
        (row,) = connection.execute(select(provider_states)).all()
    assert (row.channel, row.name, row.rests_until, row.code) == ("sms", "twilio-2", until, "20003")
    book.rests("sms", "twilio-2", None, None)
    with reading(engine) as connection:
        (row,) = connection.execute(select(provider_states)).all()
    assert row.rests_until is None
