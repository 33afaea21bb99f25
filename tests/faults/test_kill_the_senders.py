"""The kill script in small: senders killed while stand-ins fail; and proof that it finds fault with a plain loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.kill_script import Plan, kill_ours, kill_the_plain_loop

SMALL = Plan(people=90, kills=6, seed=5, texts=0.3, tricks=0.15, batch=8, seconds=240)


@pytest.mark.slow
def test_nobody_is_lost_and_nobody_told_twice_unmarked(tmp_path: Path) -> None:
    report = asyncio.run(kill_ours(tmp_path, SMALL))
    assert report.kills >= SMALL.kills
    assert report.sound, report
    assert sum(report.outcomes.values()) == SMALL.people
    assert report.copies <= report.marked


@pytest.mark.slow
def test_the_same_script_finds_a_plain_loop_out(tmp_path: Path) -> None:
    report = asyncio.run(kill_the_plain_loop(tmp_path, SMALL))
    assert report.kills == SMALL.kills
    assert report.copies_by_kill, "somebody was told twice, and nothing says so"
    assert not report.sound
