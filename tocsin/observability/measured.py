"""What is measured in the database and so is the same whoever measures it: shown while it is fresh, and not after.

A process whose database hangs must not go on showing an old number beside the true one of its neighbour, because the
greatest of them is what people look at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

FRESH_SECONDS = 60.0
"""How old a measurement may be and still be shown."""

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gauged:
    """A gauge that is measured: what it says, and its labels in order."""

    says: str
    labels: Labels = ()


MEASURED: Mapping[str, Gauged] = MappingProxyType(
    {
        "tocsin_follower_lag_events": Gauged("Events recorded but not yet handled.", ("follower",)),
        "tocsin_follower_lag_seconds": Gauged(
            "How long the oldest event that is not yet handled has been on record.", ("follower",)
        ),
        "tocsin_open_duties": Gauged(
            "Open duties by the percent of the window that was called out last (0: nothing yet), or missed.", ("used",)
        ),
        "tocsin_open_duties_by_time_left": Gauged("Open duties by the time left to the strict deadline.", ("left",)),
        "tocsin_next_deadline_timestamp_seconds": Gauged("The next strict deadline of an open duty."),
        "tocsin_recipients": Gauged("People of all campaigns, by outcome.", ("outcome",)),
        "tocsin_deliveries": Gauged(
            "People told or to be told, by the channel and the state of the delivery that counts for them.",
            ("channel", "state"),
        ),
        "tocsin_campaigns_in_trouble": Gauged(
            "Campaigns being sent that rest after a fault, are filtered, or whose provider does not answer.",
            ("trouble",),
        ),
        "tocsin_delivery_moves_waiting": Gauged("Moves of deliveries not yet in the record."),
        "tocsin_timers_late": Gauged("Reminders whose time came and that were not called out yet."),
        "tocsin_timers_late_seconds": Gauged("How late the oldest of them is."),
        "tocsin_relay_lag_events": Gauged("Events recorded but not yet published to Kafka."),
        "tocsin_relay_lag_seconds": Gauged("How long the oldest of them has been on record."),
        "tocsin_leases_held": Gauged("Leases that some process holds, by what they are for.", ("lease",)),
        "tocsin_last_backup_timestamp_seconds": Gauged("When the newest finished backup was made."),
        "tocsin_measured_timestamp_seconds": Gauged("When all of this was measured, by this process."),
    }
)
"""All of them by name."""

Samples = Mapping[str, Mapping[Labels, float]]
"""Values by name, then by the labels' values."""


class Measured(Collector):
    """Shows the last measurement while it is fresh."""

    def __init__(
        self, *, fresh_seconds: float = FRESH_SECONDS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._fresh = fresh_seconds
        self._monotonic = monotonic
        self._at = 0.0
        self._samples: Samples = {}

    def show(self, samples: Samples) -> None:
        """Show these from now on, instead of all before. KeyError for a name that is not in `MEASURED`."""
        for name in samples:
            MEASURED[name]
        self._samples, self._at = samples, self._monotonic()

    def collect(self) -> Iterator[Metric]:
        """The families of the last measurement; none once it is old."""
        samples, at = self._samples, self._at
        if not samples or self._monotonic() - at > self._fresh:
            return
        for name, values in samples.items():
            gauged = MEASURED[name]
            family = GaugeMetricFamily(name, gauged.says, labels=gauged.labels)
            for labels, value in values.items():
                family.add_metric(labels, value)
            yield family
