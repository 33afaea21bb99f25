"""The folding process may be killed at any instruction; the next one ends where an untroubled one would."""

from __future__ import annotations

import random
import signal
import subprocess
import time

import pytest

from projections.catalogue import all_projections
from projections.runner import Runner
from tests.nursery import start
from tests.projections.conftest import Installation
from tests.projections.notes import rows_of
from tests.projections.stories import Teller, many_stories


def fold_and_kill(url: str, chance: random.Random, what: str) -> bool:
    """Start a folding process and kill it at a random moment after some steps. Returns whether it was killed."""
    process = start("tests.projections.folding_process", url, "11", what, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        for _ in range(chance.randint(1, 4)):
            if not process.stdout.readline():
                break
            process.stdin.write("go on\n")
            process.stdin.flush()
        time.sleep(chance.random() * 0.02)  # not to wait for anything: to hit another instruction every time
        process.send_signal(signal.SIGKILL)
    finally:
        process.stdout.close()
        process.stdin.close()
        process.wait()
    return process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("what", ["drain", "rebuild"])
def test_killed_again_and_again_it_ends_as_if_never_killed(installation: Installation, what: str) -> None:
    for _ in many_stories(Teller(installation.record, installation.clock), 4):
        pass
    runner = Runner(installation.record, installation.engine, all_projections(), installation.clock)
    if what == "rebuild":
        runner.drain()
    chance = random.Random(20261120)
    killed = sum(fold_and_kill(installation.url, chance, what) for _ in range(4))
    assert killed >= 3, "the story is too short to be killed in"

    runner.drain()
    after_kills = rows_of(installation.engine, all_projections())
    runner.rebuild()
    assert after_kills == rows_of(installation.engine, all_projections())
    assert {lag.behind for lag in runner.lag()} == {0}
