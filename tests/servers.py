"""Real servers for tests: an address in the environment first, then the binaries of this machine, else a skip by name.

With CI=true a server that is missing is an error, not a skip: a green run must have tried everything.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text

POSTGRES_VARIABLE = "TOCSIN_TEST_POSTGRES_URL"
BACKENDS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.slow))


@contextmanager
def fresh_database(backend: str, folder: Path) -> Iterator[str]:
    """The address of an empty database of that kind; dropped afterwards."""
    if backend == "sqlite":
        yield f"sqlite:///{folder / f'{uuid4().hex}.sqlite'}"
        return
    server = make_url(postgres()).set(drivername="postgresql+psycopg")
    name = f"tocsin_{uuid4().hex}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


def postgres() -> str:
    """The address of a PostgreSQL server whose user may create databases."""
    address = os.environ.get(POSTGRES_VARIABLE) or _own_postgres()
    if address is None:
        reason = f"no PostgreSQL: set {POSTGRES_VARIABLE} or install the server"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return address


@cache
def _own_postgres() -> str | None:
    """Start a server from this machine's binaries, once; it is stopped when the tests end."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [
        Path(path).parent for path in [shutil.which("pg_ctl")] if path
    ]
    if not found:
        return None
    binaries, home = found[-1], Path(tempfile.mkdtemp(prefix="tocsin-postgres-", dir="/tmp"))
    as_user: list[str] = []
    if os.getuid() == 0:  # the server refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(home, owner.pw_uid, owner.pw_gid)
        as_user = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    data = str(home / "data")
    run(str(binaries / "initdb"), "-D", data, "-A", "trust", "-U", "tocsin", "--locale=C.UTF-8", "-E", "UTF8")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c max_connections=200"
    run(str(binaries / "pg_ctl"), "-D", data, "-w", "-l", str(home / "log"), "-o", options, "start")

    def stop() -> None:
        run(str(binaries / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(home, ignore_errors=True)

    atexit.register(stop)
    return f"postgresql://tocsin@127.0.0.1:{port}/postgres"
