"""Processes that are forked are processes like any other: they end as they say, and none is taken for alive."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests import nursery
from tests.nursery import Nursery, start

pytestmark = pytest.mark.slow

PROGRAM = """
import os, sys, time
print(os.environ["SAID"], time.tzname[0], len(sys.argv), flush=True)
if sys.stdin.readline() == "end\\n":
    sys.exit(7)
raise SystemError
"""


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """A nursery of these tests, which finds a program that nobody else knows."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "forked_program.py").write_text(PROGRAM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        made = Nursery()
    yield made
    made.close()


@pytest.fixture
def module(one: Nursery, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the program."""
    monkeypatch.setattr(nursery, "_nursery", lambda: one)
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


def test_when_the_nursery_dies_its_children_do(module: str, one: Nursery) -> None:
    """The last one here: nothing can be started after it."""
    child = start(module, stdin=subprocess.PIPE, variables={"SAID": ""})
    os.kill(one._process.pid, signal.SIGKILL)
    assert child.wait(30) == -signal.SIGKILL
    with pytest.raises(AssertionError, match="nursery"):
        start(module)
