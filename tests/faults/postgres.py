"""A PostgreSQL server of one's own, to stop, kill and start again."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port


class Postgres:
    """A server over one folder. Its address stays the same over restarts."""

    def __init__(self, binaries: Path, home: Path) -> None:
        self._binaries = binaries
        self._home = home
        self._port = free_port()
        self._as_user: list[str] = []
        if os.getuid() == 0:  # the server refuses to run as root
            owner = pwd.getpwnam("postgres")
            os.chown(home, owner.pw_uid, owner.pw_gid)
            self._as_user = ["runuser", "-u", "postgres", "--"]
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", "tocsin", "--locale=C.UTF-8", "-E", "UTF8")

    @property
    def url(self) -> str:
        return f"postgresql://tocsin@127.0.0.1:{self._port}/postgres"

    @property
    def port(self) -> int:
        return self._port

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._home}"
        options += " -c max_connections=200"
        self._run("pg_ctl", "-D", self._data, "-w", "-l", str(self._home / "log"), "-o", options, "start")

    def stop(self, how: str = "immediate") -> None:
        """`immediate` is a crash: nothing is flushed, connections break."""
        self._run("pg_ctl", "-D", self._data, "-m", how, "-w", "stop")

    def close(self) -> None:
        subprocess.run(
            [*self._as_user, str(self._binaries / "pg_ctl"), "-D", self._data, "-m", "immediate", "stop"],
            check=False,
            cwd="/",
            capture_output=True,
        )
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def _data(self) -> str:
        return str(self._home / "data")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._binaries / program), *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def own_postgres() -> Iterator[Postgres]:
    """A fresh server that runs. Skipped by name where its programs are missing; an error with CI=true."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [
        Path(path).parent for path in [shutil.which("pg_ctl")] if path
    ]
    if not found:
        reason = "no PostgreSQL of its own for this test: install the server"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    server = Postgres(found[-1], Path(tempfile.mkdtemp(prefix="tocsin-postgres-", dir="/tmp")))
    server.start()
    try:
        yield server
    finally:
        server.close()
