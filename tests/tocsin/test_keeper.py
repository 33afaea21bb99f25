"""Work is shared evenly among the processes that are there, and moves when one goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from incidents.record.database import open_engine, writing
from incidents.record.leases import Leases, Row
from incidents.record.tables import leases as table
from tocsin.keeper import Keeper, share

WORK = [f"playbooks/work-{n}" for n in range(7)]
LONG = timedelta(minutes=5)


class Uptime:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def keeper(engine: Engine, holder: str, work: list[str] | None = None, uptime: Uptime | None = None) -> Keeper:
    leases = Leases(engine, holder, LONG, uptime=uptime or Uptime())
    return Keeper(leases, {"playbooks": lambda: WORK if work is None else work}, duration=LONG)


def settle(*keepers: Keeper) -> None:
    for _ in range(3):
        for one in keepers:
            one.round()


def die(engine: Engine, holder: str) -> None:
    """What the database looks like some time after a process died."""
    past = datetime(2020, 1, 1, tzinfo=UTC)
    with writing(engine) as connection:
        connection.execute(update(table).where(table.c.holder == holder).values(until=past))


def test_alone_it_holds_everything_and_with_others_an_even_share(engine: Engine) -> None:
    first, second, third = (keeper(engine, name) for name in ("a", "b", "c"))
    settle(first)
    assert first.held() == WORK

    settle(first, second, third)

    shares = [first.held(), second.held(), third.held()]
    assert sorted(len(mine) for mine in shares) == [2, 2, 3]
    assert sorted(name for mine in shares for name in mine) == WORK


def test_who_dies_is_replaced_and_who_ends_well_at_once(engine: Engine) -> None:
    first, second, third = (keeper(engine, name) for name in ("a", "b", "c"))
    settle(first, second, third)

    die(engine, "a")
    settle(second, third)
    assert sorted(second.held() + third.held()) == WORK
    second.close()
    settle(third)

    assert third.held() == WORK


def test_who_stood_still_holds_nothing_without_asking(engine: Engine) -> None:
    uptime = Uptime()
    stopped, other = keeper(engine, "a", uptime=uptime), keeper(engine, "b")
    settle(stopped)
    assert stopped.holds(WORK[0])

    uptime.seconds += LONG.total_seconds()

    assert not stopped.holds(WORK[0])
    assert stopped.held() == []
    die(engine, "a")
    settle(other)
    stopped.round()
    assert not set(stopped.held()) & set(other.held())


def test_work_that_comes_and_goes_is_taken_and_given_back(engine: Engine) -> None:
    work = WORK[:2]
    one = keeper(engine, "a", work)
    settle(one)

    work[:] = WORK[1:4]
    settle(one)

    assert one.held() == WORK[1:4]
    assert not keeper(engine, "b")._leases.rows(WORK[0])[WORK[0]].live


def test_more_to_do_is_told_and_only_then(engine: Engine) -> None:
    told = []
    one, other = keeper(engine, "a"), keeper(engine, "b")
    one.on_change = lambda: told.append(len(one.held()))

    settle(one, other)
    assert told == [7]
    other.close()
    settle(one)

    assert told == [7, 7]


def test_a_database_that_is_away_is_survived_and_counted(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'nothing.sqlite'}")  # without tables
    one = keeper(engine, "a")

    one._try()
    one._try()

    assert one.failures == 2
    assert one.held() == []
    one.close()


@pytest.mark.parametrize("members", range(1, 12))
def test_shares_fit_together(members: int) -> None:
    """Reckoned by each for itself: all of it is held once, and nobody has two more than another."""
    names, there = [f"w{n:02}" for n in range(9)], [f"m{n:02}" for n in range(members)]
    rows: dict[str, Row] = {}
    for _ in range(2):
        for me in there:
            wanted = share(names, there, me, rows)
            rows = {name: row for name, row in rows.items() if row.holder != me or name in wanted}
            rows |= {name: Row(me, 1, True) for name in wanted}
    counts = sorted(sum(row.holder == me for row in rows.values()) for me in there)

    assert set(rows) == set(names)
    assert counts[-1] - counts[0] <= 1


def test_who_is_not_on_the_books_holds_nothing() -> None:
    assert share(["a"], ["somebody"], "me", {}) == set()


def test_what_it_holds_again_after_standing_still_may_have_work_that_nobody_did(engine: Engine) -> None:
    uptime, changes = Uptime(), list[int]()
    one = keeper(engine, "a", uptime=uptime)
    settle(one)
    one.on_change = lambda: changes.append(1)
    one.round()
    assert changes == []
    uptime.seconds += LONG.total_seconds() + 1
    assert one.held() == []
    one.round()
    assert one.held() == WORK
    assert changes == [1]
