"""Failed attempts to authenticate, by the caller's network: after too many it has to wait.

A token bucket per address (IPv6: per /64, which one customer holds whole). Memory is bounded: the addresses that
failed longest ago are forgotten first.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from datetime import datetime
from threading import Lock

from incidents.clock import Clock


class Attempts:
    """Counts failures. Safe to use from many threads."""

    def __init__(self, clock: Clock, *, burst: int = 10, per_minute: float = 6.0, max_addresses: int = 10_000) -> None:
        self._clock = clock
        self._burst = float(burst)
        self._per_second = per_minute / 60
        self._max_addresses = max_addresses
        self._left: OrderedDict[str, tuple[float, datetime]] = OrderedDict()
        self._lock = Lock()

    def wait_seconds(self, address: str) -> int:
        """How long the address has to wait before it may try again; 0 when it may now."""
        key = network_of(address)
        with self._lock:
            left = self._now_left(key, self._clock.now())
        return 0 if left >= 1 else max(1, math.ceil((1 - left) / self._per_second))

    def failed(self, address: str) -> None:
        """An attempt from there failed."""
        key = network_of(address)
        now = self._clock.now()
        with self._lock:
            self._left[key] = (max(0.0, self._now_left(key, now) - 1), now)
            self._left.move_to_end(key)
            while len(self._left) > self._max_addresses:
                self._left.popitem(last=False)

    def _now_left(self, key: str, now: datetime) -> float:
        left, since = self._left.get(key, (self._burst, now))
        return min(self._burst, left + max(0.0, (now - since).total_seconds()) * self._per_second)


def network_of(address: str) -> str:
    """The key of an address: itself for IPv4, its /64 for IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
