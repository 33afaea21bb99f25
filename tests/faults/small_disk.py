"""A disk that can be filled up without harm to others.

It is a small file system in memory where we may mount one, else a limit on the size of the process's files (the system
then says "file too large" instead of "no space left").
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.faults.installation import Process

MEGABYTES = 64


class Disk(Protocol):
    """Where the database of a test lies."""

    folder: Path

    def fill(self, process: Process) -> None:
        """From now on the process's files cannot grow."""

    def free(self, process: Process) -> None:
        """Now they can again."""


class Mounted:
    """A file system of its own, filled by a large file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, process: Process) -> None:
        with self._ballast.open("wb", buffering=0) as ballast:
            for size in (1_048_576, 4_096, 1):
                try:
                    while True:
                        ballast.write(bytes(size))
                except OSError:
                    continue
        assert os.statvfs(self.folder).f_bavail == 0

    def free(self, process: Process) -> None:
        self._ballast.unlink()


class Limited:
    """An ordinary folder, and a limit on the files of one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, process: Process) -> None:
        # The log beside the database is often larger, because it is used again from its beginning; with its size as the
        # limit the database could go on growing.
        (database,) = self.folder.glob("*.sqlite")
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (database.stat().st_size, resource.RLIM_INFINITY))

    def free(self, process: Process) -> None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """A disk at this folder."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tocsin-test", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        yield Limited(folder)
        return
    try:
        yield Mounted(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
