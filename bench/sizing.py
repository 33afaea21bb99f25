"""Sizes of an installation for a load, from measured figures: workers, partitions, storage, cost.

`figures.json` holds what was measured, each figure with the command that measures it and the load that the machine had.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("figures.json")
FULL = 0.7
"""How far a part is filled: the rest is for what comes unevenly."""
MONTH_HOURS = 730


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    name: str
    about: str
    value: float
    unit: str
    command: str
    load: float
    """Load average of the machine before; above 1 on two cores the figure is too low."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an installation is to stand."""

    recipients: int = 100_000_000
    hours: float = 24.0
    """Within which all recipients are tried once."""
    alerts: float = 50_000.0
    """A second, all day long."""
    incidents_share: float = 1e-4
    """Of alerts that declare an incident."""
    keep_days: int = 30
    """How long alerts' events stay on fast storage, and rows of a campaign after it."""


@dataclass(frozen=True, slots=True)
class Size:
    """What one part of an installation needs."""

    part: str
    needs: int
    of: str
    because: str


@dataclass(frozen=True, slots=True)
class Prices:
    """Examples in US dollars; replace them by your own."""

    core_hour: float = 0.04
    gigabyte_month: float = 0.10
    archive_gigabyte_month: float = 0.02
    thousand_mails: float = 0.10


def read_figures(path: Path = FILE) -> dict[str, Figure]:
    """The measured figures by name."""
    return {name: Figure(name, **values) for name, values in json.loads(path.read_text("utf-8"))["figures"].items()}


def plan(wanted: Wanted, figures: Mapping[str, float]) -> Sequence[Size]:
    """Sizes for a campaign, and so many alerts a second at the same time.

    `figures` are rates of one process, and bytes, by the names in `figures.json`.
    """
    a_second = wanted.recipients / (wanted.hours * 3600)
    incidents = wanted.alerts * wanted.incidents_share
    day = wanted.alerts * 86_400

    def workers(load: float, figure: str) -> int:
        return math.ceil(load / (figures[figure] * FULL))

    def gigabytes(units: float, *names: str) -> int:
        return math.ceil(units * sum(figures[name] for name in names) / 1e9)

    intake, notifier = workers(wanted.alerts, "alerts_a_process"), workers(a_second, "recipients_a_process")
    # Every alert is an event: one record takes as many as it can commit in order, and as its slowest read model folds.
    databases = max(1, *(workers(wanted.alerts, name) for name in ("alert_events_a_database", "folds_of_a_model")))
    deriving, folding = workers(incidents, "derivations_a_process"), workers(wanted.alerts, "folds_a_process")
    sending, persons = "bytes_of_sending", "bytes_of_a_person"
    return (
        Size("databases", databases, "installations", f"{wanted.alerts:,.0f} alerts/s, each an event of one record"),
        Size("intake", intake, "processes", f"{wanted.alerts:,.0f} alerts/s"),
        Size("alert topic", 2 * intake, "partitions", "twice the processes, to grow"),
        Size("playbooks", max(2, deriving), "processes", f"{incidents:,.1f} incidents/s"),
        Size("projections", max(2, folding), "processes", "every event is folded"),
        Size("notifier", max(2, notifier), "processes", f"{a_second:,.0f} recipients/s"),
        Size("own partitions", 2, "a campaign", "from `deliveries.partition_from` recipients on"),
        Size("rows of sending", gigabytes(wanted.recipients, sending), "GB", "dropped after the retention"),
        Size("audience, vault", gigabytes(wanted.recipients, persons), "GB", "while people can be asked for"),
        Size(
            "record of sending", gigabytes(wanted.recipients, "bytes_on_record"), "GB", "with its read model, for ever"
        ),
        Size("alerts, a day", gigabytes(day, "bytes_of_an_alert"), "GB", "events and findings, all databases together"),
        Size(
            "alerts, kept fast",
            gigabytes(day * wanted.keep_days, "bytes_of_an_alert"),
            "GB",
            f"{wanted.keep_days} days; older segments on cheaper storage",
        ),
        Size("Kafka, a day", gigabytes(day, "bytes_of_a_message"), "GB", "times the replication factor"),
    )


def cost(wanted: Wanted, sizes: Sequence[Size], prices: Prices) -> Sequence[Size]:
    """US dollars: a month of the machines, and the sending once. A process takes a core, a database four more."""
    needs = {size.part: size.needs for size in sizes}
    cores = sum(needs[part] for part in ("intake", "playbooks", "projections")) + 4 * needs["databases"]
    fast = needs["alerts, kept fast"] + needs["record of sending"]
    campaign_core_hours = needs["notifier"] * wanted.hours
    held = (needs["rows of sending"] + needs["audience, vault"]) * wanted.keep_days / 30
    return (
        Size("alerts: cores", round(cores * prices.core_hour * MONTH_HOURS), "$ a month", f"{cores:,} cores"),
        Size("alerts: storage", round(fast * prices.gigabyte_month), "$ a month", f"{fast:,} GB fast"),
        Size(
            "alerts: archive",
            round(needs["alerts, a day"] * 30 * prices.archive_gigabyte_month),
            "$ a month more",
            "each month that is kept adds so much",
        ),
        Size(
            "campaign: machines",
            math.ceil(campaign_core_hours * prices.core_hour + held * prices.gigabyte_month),
            "$ once",
            f"{campaign_core_hours:,.0f} core hours, {held:,.0f} GB months",
        ),
        Size(
            "campaign: mails",
            round(wanted.recipients / 1000 * prices.thousand_mails),
            "$ once",
            "a provider's price; text messages cost a hundred times more",
        ),
    )


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    return "\n".join([*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows)])
