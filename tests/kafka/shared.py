"""One broker for all test processes of a run, kept by a process of its own for as long as any of them lives.

Each test process holds a shared lock on `users`; the keeper waits for an exclusive one, which it gets when the last of
them has ended, however it ended. So nothing is counted, and a killed test process leaves no broker behind.

`python -m tests.kafka.shared FOLDER` is the keeper.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from tests.kafka.broker import PATIENCE, KafkaBroker, NoKafka, find_runtime

RUN_VARIABLE = "PYTEST_XDIST_TESTRUNUID"
_held: list[int] = []


@cache
def shared_broker() -> str:
    """The address of the broker of this run, started if nobody has yet. NoKafka when none can be run."""
    find_runtime()
    name = os.environ.get(RUN_VARIABLE) or f"alone-{os.getpid()}"
    folder = Path(tempfile.gettempdir()) / f"tocsin-kafka-{os.getuid()}-{name}"
    address = folder / "address"
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        with contextlib.ExitStack() as held:
            starting = _locked(held, folder / "starting", fcntl.LOCK_EX)
            users = _locked(held, folder / "users", fcntl.LOCK_SH)  # waits for a keeper that is just leaving
            if starting is None or users is None:
                continue  # a keeper that left took the folder with it
            if not (address.exists() and _answers(address.read_text("utf-8"))):
                address.unlink(missing_ok=True)
                _start_keeper(folder, address)
            _held.append(os.dup(users))  # the lock lives as long as this process
            return address.read_text("utf-8")


def _locked(held: contextlib.ExitStack, path: Path, how: int) -> int | None:
    """A descriptor that holds a lock on a file; None when the file was removed while we waited for it."""
    try:
        file = held.enter_context(path.open("w"))
        fcntl.flock(file, how)
        return file.fileno() if os.path.samestat(path.stat(), os.fstat(file.fileno())) else None
    except FileNotFoundError:
        return None


def _start_keeper(folder: Path, address: Path) -> None:
    with (folder / "keeper.out").open("w") as out:
        command = [sys.executable, "-m", "tests.kafka.shared", str(folder)]
        root = Path(__file__).parents[2]
        keeper = subprocess.Popen(command, cwd=root, stdout=out, stderr=out, start_new_session=True)
    deadline = time.monotonic() + PATIENCE
    while not address.exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            raise NoKafka(
                f"the shared Kafka broker did not start: {(folder / 'keeper.out').read_text('utf-8')[-1500:]}"
            )
        time.sleep(0.05)
    return address.read_text("utf-8")


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=2):
        return True
    return False


def keep(folder: Path) -> None:
    """Run a broker until no test process uses it any more."""
    address = folder / "address"
    with (folder / "users").open("w") as users, KafkaBroker(folder / "broker") as broker:
        unfinished = folder / "address.new"
        unfinished.write_text(broker.bootstrap, "utf-8")
        unfinished.rename(address)
        fcntl.flock(users, fcntl.LOCK_EX)
        address.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
