"""Ports for servers that tests start: nobody listens there, and nobody comes to in between."""

from __future__ import annotations

import socket
from random import SystemRandom

_BELOW_OUTGOING = range(15_000, 32_000)
"""Below those that outgoing connections get. One of these may be taken by any connection of any test between the
moment it is found free and the moment its server listens, or while that is restarted."""


def free_port() -> int:
    """A port nobody listens at."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many different ones."""
    found: list[int] = []
    while len(found) < count:
        port = SystemRandom().choice(_BELOW_OUTGOING)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
