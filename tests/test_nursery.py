"""Processes that are forked are processes like any other: they end as they say, and none is taken for alive."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests import nursery
from tests.nursery import start

pytestmark = pytest.mark.slow

PROGRAM = """
import os, sys, time
print(os.environ["SAID"], time.tzname[0], len(sys.argv), flush=True)
if sys.stdin.readline() == "end\\n":
    sys.exit(7)
raise SystemError
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program of its own, found by its children beside everything else."""
    (tmp_path / "forked_program.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(nursery, "_nursery", lambda one=nursery.Nursery(): one)
    return "forked_program"


def test_they_have_arguments_an_environment_pipes_and_an_exit_code_of_their_own(module: str) -> None:
    variables = {"SAID": "hello", "TZ": "Asia/Tokyo"}
    child = start(module, "a", "b", stdin=subprocess.PIPE, stdout=subprocess.PIPE, variables=variables)
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        assert child.stdout.readline() == "hello JST 3\n"
        assert child.poll() is None
        child.stdin.write("end\n")
        child.stdin.flush()
        assert child.wait(30) == 7
    other = start(module, variables={**variables, "TZ": "UTC"})
    assert other.wait(30) == 1, "an error ends it as it ends any program"


def test_a_signal_ends_them_and_is_told(module: str) -> None:
    child = start(module, stdin=subprocess.PIPE, variables={"SAID": ""})
    assert child.stdin is not None
    with child.stdin:
        child.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.2)
        child.kill()
        assert child.wait(30) == -signal.SIGKILL


def test_when_the_nursery_dies_its_children_do(module: str) -> None:
    child = start(module, stdin=subprocess.PIPE, variables={"SAID": ""})
    os.kill(nursery._nursery()._process.pid, signal.SIGKILL)
    assert child.wait(30) == -signal.SIGKILL
    with pytest.raises(AssertionError, match="nursery"):
        start(module)
