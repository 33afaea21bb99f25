"""A PostgreSQL server of our own, from the binaries of this machine: for tests, and for measurements without one."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.ports import free_port


class NoPostgres(Exception):
    """There are no server binaries on this machine."""


def binaries() -> Path:
    """Where the newest server's programs are. NoPostgres when there are none."""

    def version(path: Path) -> int:
        return int(path.parent.name) if path.parent.name.isdigit() else 0

    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=version)
    on_path = shutil.which("pg_ctl")
    if not found and on_path:
        found = [Path(on_path).parent]
    if not found:
        raise NoPostgres("no server under /usr/lib/postgresql and no pg_ctl on the path")
    return found[-1]


class PostgresServer:
    """One server with its data in a folder under /tmp; made at once, running after `start`.

    Started again it has the same address and data, so a test may stop, kill and pause it.
    """

    def __init__(self, *options: str) -> None:
        """`options` are settings such as `max_prepared_transactions=5`."""
        self._binaries = binaries()
        # A short path: a socket's address has 107 characters at most.
        self._home = Path(tempfile.mkdtemp(prefix="tocsin-postgres-", dir="/tmp"))
        self._data = self._home / "data"
        self._as_user: list[str] = []
        if os.getuid() == 0:  # the server refuses to run as root
            owner = pwd.getpwnam("postgres")
            os.chown(self._home, owner.pw_uid, owner.pw_gid)
            self._as_user = ["runuser", "-u", "postgres", "--"]
        port = free_port()
        self._options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._home}"
        self._options += "".join(f" -c {option}" for option in ("max_connections=200", *options))
        self.url = f"postgresql://tocsin@127.0.0.1:{port}/postgres"
        """An address whose user may create databases."""
        self._run("initdb", "-A", "trust", "-U", "tocsin", "--locale=C.UTF-8", "-E", "UTF8")

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        self._run("pg_ctl", "-w", "-l", str(self._home / "log"), "-o", self._options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop: `fast` ends connections and writes everything, `immediate` leaves it to the recovery."""
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def pause(self) -> None:
        """SIGSTOP to every process of the server: connections hang rather than break."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def is_running(self) -> bool:
        """Whether there is a server on the data."""
        return (
            subprocess.run(self._command("pg_ctl", "status"), cwd="/", check=False, capture_output=True).returncode == 0
        )

    def folder(self, name: str) -> Path:
        """An empty folder beside the data that the server may write to, for a tablespace."""
        made = self._home / name
        made.mkdir()
        if self._as_user:
            owner = pwd.getpwnam("postgres")
            os.chown(made, owner.pw_uid, owner.pw_gid)
        return made

    def remove(self) -> None:
        """Stop it and delete its data."""
        if self.is_running():
            self.stop("immediate")
        shutil.rmtree(self._home, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        server = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        children = subprocess.run(
            ["pgrep", "-P", str(server)], check=True, capture_output=True, text=True
        ).stdout.split()
        # The server last when stopping and first when going on: it must not see its children as stuck.
        for process in [*map(int, children), server] if number is signal.SIGSTOP else [server, *map(int, children)]:
            os.kill(process, number)

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [*self._as_user, str(self._binaries / program), "-D", str(self._data), *arguments]

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            self._command(program, *arguments),
            check=True,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
