"""A lease has one holder at a time, runs out by the database's clock, and a fence tells its holders apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, update

from incidents.record.database import open_engine, writing
from incidents.record.leases import Leases
from incidents.record.tables import leases as table

LONG = timedelta(minutes=5)


class Uptime:
    """A machine's uptime, as the test likes it."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    table.create(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def of(engine: Engine) -> Callable[[str], Leases]:
    return lambda holder: Leases(engine, holder, LONG)


def run_out(engine: Engine, *names: str) -> None:
    with writing(engine) as connection:
        past = datetime(2020, 1, 1, tzinfo=UTC)
        connection.execute(update(table).where(table.c.name.in_(names)).values(until=past))


def test_one_holder_at_a_time(of: Callable[[str], Leases]) -> None:
    first, second = of("first"), of("second")

    assert set(first.acquire(["a", "b"])) == {"a", "b"}
    assert set(second.acquire(["a", "b", "c"])) == {"c"}
    assert set(second.renew(["a", "c"])) == {"c"}


def test_it_lasts_as_long_as_it_was_asked_for_and_not_longer(engine: Engine) -> None:
    short, other = Leases(engine, "short", timedelta(milliseconds=1)), Leases(engine, "other", LONG)
    short.acquire(["a"])

    def taken() -> bool:
        return bool(other.acquire(["a"]))

    assert any(taken() for _ in range(1000)), "a lease of a millisecond must be free by now"
    assert other.acquire(["a"])["a"].trusted_until > other.uptime() + LONG.total_seconds() - 60


def test_one_that_ran_out_is_not_renewed_but_taken_anew_with_a_greater_fence(
    engine: Engine, of: Callable[[str], Leases]
) -> None:
    first, second = of("first"), of("second")
    fences = [first.acquire(["a"])["a"].fence]
    assert first.renew(["a"])["a"].fence == fences[0], "kept without a break"
    run_out(engine, "a")

    assert first.renew(["a"]) == {}
    fences.append(first.acquire(["a"])["a"].fence)
    run_out(engine, "a")
    fences.append(second.acquire(["a"])["a"].fence)
    assert first.acquire(["a"]) == {}
    second.release(["a"])
    fences.append(first.acquire(["a"])["a"].fence)

    assert fences == sorted(set(fences))


def test_given_back_it_is_free_at_once_and_nobody_gives_back_anothers(of: Callable[[str], Leases]) -> None:
    first, second = of("first"), of("second")
    first.acquire(["a"])

    second.release(["a"])
    assert second.acquire(["a"]) == {}
    first.release(["a"])

    assert set(second.acquire(["a"])) == {"a"}


def test_it_is_trusted_from_before_it_was_asked_for(engine: Engine) -> None:
    uptime = Uptime()
    lease = Leases(engine, "first", timedelta(seconds=10), uptime=uptime).acquire(["a"])["a"]

    assert lease.trusted_until == 1010.0


def test_rows_say_who_and_whether_and_the_gone_are_forgotten(engine: Engine, of: Callable[[str], Leases]) -> None:
    of("first").acquire(["member/first", "work"])
    of("second").acquire(["member/second"])
    run_out(engine, "member/first")

    rows = of("any").rows("member/")
    of("any").forget("member/", timedelta(hours=1))

    assert {name: (row.holder, row.live) for name, row in rows.items()} == {
        "member/first": ("first", False),
        "member/second": ("second", True),
    }
    assert set(of("any").rows("")) == {"member/second", "work"}


def test_many_who_ask_at_once_get_each_lease_once(of: Callable[[str], Leases]) -> None:
    names = [f"work-{n}" for n in range(6)]

    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda n: set(of(f"holder-{n}").acquire(names[n:] + names[:n])), range(6)))

    assert sorted(name for mine in got for name in mine) == sorted(names)
