"""How often the public pages may be asked: by one network, and by all together. In memory, for each process."""

from __future__ import annotations

from incidents.clock import Clock
from tocsin.api.attempts import Attempts

_EVERYBODY = "everybody"
_BURST_SECONDS = 10


class Throttle:
    """Token buckets. What it refuses has cost no look into the database."""

    def __init__(self, clock: Clock, *, per_address_minute: int, per_second: int) -> None:
        self._each = Attempts(clock, burst=per_address_minute, per_minute=per_address_minute)
        self._all = Attempts(clock, burst=per_second * _BURST_SECONDS, per_minute=per_second * 60, max_addresses=1)

    def wait_seconds(self, address: str) -> int:
        """Take one question of this address; 0, or how long it has to wait because there were too many."""
        wait = max(self._each.wait_seconds(address), self._all.wait_seconds(_EVERYBODY))
        if not wait:
            self._each.failed(address)
            self._all.failed(_EVERYBODY)
        return wait
