"""Every step, up and down, on rows of the version before it: nothing of them is lost or changed."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from incidents.record import open_record
from tests.tocsin.migrations.rows import Tables, shared
from tocsin.migrations import run
from tocsin.migrations.steps import BASE, HEAD, all_steps
from tocsin.services import registry

pytestmark = pytest.mark.slow

A_FEW = 4


def go(engine: Engine, target: str, *, back: bool = False) -> None:
    """As a process of its own does it: connections of before know statements of before."""
    (run.downgrade if back else run.upgrade)(engine, target)
    engine.dispose()


def test_rows_of_each_version_go_up_and_down_unharmed(engine: Engine, empty_url: str) -> None:
    open_record(empty_url, registry()).close()
    tables = Tables(engine)
    seeded = 1
    for before, after in zip((None, *all_steps()), all_steps(), strict=False):
        tables.seed(range(seeded, seeded + A_FEW))
        seeded += A_FEW
        old = tables.rows()

        go(engine, after.revision)
        left, right = shared(old, tables.rows())
        assert left == right, f"step {after.revision} up"
        assert set(left) == set(old), f"step {after.revision} took a table away"

        go(engine, before.revision if before else BASE, back=True)
        assert tables.rows() == old, f"step {after.revision} down"

        go(engine, after.revision)
        assert shared(old, tables.rows()) == (left, right), f"step {after.revision} up again"
    assert run.is_current(engine)
    assert run.differences(engine) == []


@pytest.mark.parametrize("step", [all_steps()[number].revision for number in (0, len(all_steps()) // 2, -2)])
def test_all_steps_at_once_from_a_version_of_before(engine: Engine, step: str) -> None:
    """As an installation meets it that left versions out."""
    tables = Tables(engine)
    go(engine, step)
    tables.seed(range(1, 1 + A_FEW))
    old = tables.rows()

    go(engine, HEAD)

    left, right = shared(old, tables.rows())
    assert left == right
    go(engine, step, back=True)
    assert tables.rows() == old
