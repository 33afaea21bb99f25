"""What a process of Tocsin does, and the name it does it under."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Collection
from enum import StrEnum


class Role(StrEnum):
    """One kind of work. Any number of processes may do the same; see docs/operate.md."""

    API = "api"
    """Answers HTTP: API, console, receipts."""
    PROJECTIONS = "projections"
    """Keeps the read models up to date."""
    PLAYBOOKS = "playbooks"
    """Grades, derives duties, advances runs, opens campaigns, watches the clocks and the watchers."""
    NOTIFIER = "notifier"
    """Sends notices and records what became of them."""
    INTAKE = "intake"
    """Takes alerts from Kafka."""
    RELAY = "relay"
    """Publishes events to Kafka."""


EVERYTHING = frozenset(Role)
WORK = tuple(role for role in Role if role is not Role.API)
"""What `tocsin worker` can be told to do."""
ONLY_WITH_KAFKA = frozenset({Role.INTAKE, Role.RELAY})

_MOST = 64
"""Characters of a process's name; it stands in the rows that it claims."""


def process_name(roles: Collection[Role]) -> str:
    """A name that no other process has or ever had: `<role>-<host>-<pid>-<random>`."""
    if set(roles) >= EVERYTHING - ONLY_WITH_KAFKA:
        what = "serve"
    else:
        what = next(iter(roles)).value if len(roles) == 1 else "worker"
    own = f"{os.getpid()}-{secrets.token_hex(4)}"
    host = re.sub(r"[^A-Za-z0-9.-]", "", socket.gethostname())[: _MOST - len(what) - len(own) - 2]
    return f"{what}-{host}-{own}"
