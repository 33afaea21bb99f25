"""Processes of ours for tests that start and kill many: forked from one that has loaded everything once.

What runs is what `python -m MODULE ARGUMENT...` runs, in a process of its own, with an environment, a standard output
and an end of its own, in the folder of the repository; only the two seconds that a machine of two cores takes to load
it are not spent each time. (All share the seed of Python's hashes.) Where loading is part of what is tested, or a
library is to be put before it, a test starts a process in the ordinary way.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]
LOADED = ("tests.faults.one_process", "tocsin.demo", "notifier.standins.runner")
"""What most of them need."""
PATIENCE = 240.0
"""How long a machine with much else to do may take to load all that."""
_LARGEST = 1 << 20


@dataclass(eq=False)
class Child:
    """A process that was started; as much of `subprocess.Popen` as tests use."""

    arguments: Sequence[str]
    stdin: IO[str] | None = None
    stdout: IO[str] | None = None
    pid: int = 0
    returncode: int | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The same, when it has ended. TimeoutExpired when it does not."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.returncode is not None, timeout):
                raise subprocess.TimeoutExpired(self.arguments, timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        with self._changed:
            if self.returncode is None and self.pid > 0:
                with suppress(ProcessLookupError):  # it ended, and nobody has said so yet
                    os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def note(self, **said: int) -> None:
        """What the nursery says of it."""
        with self._changed:
            self.pid = said.get("pid", self.pid)
            self.returncode = said.get("ended", self.returncode)
            self._changed.notify_all()

    def wait_until_started(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.pid, PATIENCE), "the nursery does not answer"
            assert self.pid > 0, "the nursery has ended"


class Nursery:
    """The process that everything is forked from, as its user sees it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.nursery", str(theirs.fileno())]
        self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()])
        theirs.close()
        self._numbers = count(1)
        self._children: dict[int, Child] = {}
        threading.Thread(target=self._listen, name="nursery", daemon=True).start()
        atexit.register(self.close)

    def start(self, module: str, arguments: Sequence[str], files: Sequence[int], environment: dict[str, str]) -> Child:
        """`files`: standard input, output and error."""
        number, child = next(self._numbers), Child([module, *arguments])
        self._children[number] = child
        request = {"number": number, "module": module, "arguments": list(arguments), "environment": environment}
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], list(files))
        except OSError as error:
            raise AssertionError("the nursery has ended") from error
        child.wait_until_started()
        return child

    def close(self) -> None:
        """End it and whatever of its children still runs."""
        with suppress(OSError):  # it is closed already, or the nursery is dead
            self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait(20)
        self._socket.close()

    def _listen(self) -> None:
        with suppress(OSError):  # closed
            while said := self._socket.recv(_LARGEST):
                message: dict[str, int] = json.loads(said)
                self._children[message.pop("number")].note(**message)
        for child in self._children.values():  # whose end nobody will tell of any more
            if child.returncode is None:
                child.kill()
                child.note(pid=child.pid or -1, ended=-signal.SIGKILL)


@cache
def _nursery() -> Nursery:
    return Nursery()


def start(
    module: str,
    *arguments: str,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[Any] = subprocess.DEVNULL,
    stderr: IO[Any] | None = None,
    variables: dict[str, str] | None = None,
) -> Child:
    """Run `python -m module argument...`. `stdin` and `stdout` may be PIPE, for text; `variables` go into its
    environment, beside those that there are."""
    with ExitStack() as opened:
        nothing = opened.enter_context(Path(os.devnull).open("r+b")).fileno()
        to_child = from_child = None
        given = taken = nothing
        if stdin == subprocess.PIPE:
            given, writing = os.pipe()
            opened.callback(os.close, given)
            to_child = os.fdopen(writing, "w")
        if stdout == subprocess.PIPE:
            reading, taken = os.pipe()
            opened.callback(os.close, taken)
            from_child = os.fdopen(reading)
        elif not isinstance(stdout, int):
            taken = stdout.fileno()
        ours = sys.__stderr__ if stderr is None else stderr
        files = [given, taken, nothing if ours is None else ours.fileno()]
        child = _nursery().start(module, arguments, files, {**os.environ, **(variables or {})})
        child.stdin, child.stdout = to_child, from_child
        return child


# What runs in the nursery itself


def _serve(home: socket.socket) -> dict[str, Any] | None:
    """Fork whatever is asked for. Returns in the child, with what it is to be; None when there is nothing more."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([home, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell_of_the_dead(home, running)
        if home not in ready:
            continue
        said, files, _, _ = socket.recv_fds(home, _LARGEST, 3)
        if not said:
            for pid in running:
                os.kill(pid, signal.SIGKILL)
            return None
        request: dict[str, Any] = json.loads(said)
        if not (pid := os.fork()):
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for place, file in enumerate(files):
                os.dup2(file, place)
            for file in (*files, woken, wake):
                os.close(file)
            home.close()
            return request
        for file in files:
            os.close(file)
        running[pid] = request["number"]
        home.send(json.dumps({"number": request["number"], "pid": pid}).encode())


def _tell_of_the_dead(home: socket.socket, running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        ended = os.waitstatus_to_exitcode(status)
        with suppress(OSError):  # nobody is there any more to be told
            home.send(json.dumps({"number": running.pop(pid), "ended": ended}).encode())


def main() -> None:
    for name in LOADED:
        import_module(name)
    assert threading.active_count() == 1, "what has threads cannot be forked"
    gc.collect()
    gc.freeze()  # so that what all share is not copied because it is looked at
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the test run is told; it ends this
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    if request is None:
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.argv = [request["module"], *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
